//! Commands whose cases several machines share: together they do what one does.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::program::{contents, files, good, json, sconce, trained, workplace};

/// Runs all shards of a command at the same time; each must end with `code`, and what it printed.
fn shards(folder: &Path, line: &str, count: usize, code: i32) -> anyhow::Result<Vec<String>> {
    thread::scope(|scope| {
        let one = |index: usize| {
            let line = format!("{line} --shard {index}/{count}");
            scope.spawn(move || -> anyhow::Result<String> {
                let ran = sconce(folder, line.split_whitespace())?;
                assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
                Ok(ran.out)
            })
        };
        let running: Vec<_> = (1..=count).map(one).collect();
        running.into_iter().map(|it| it.join().expect("no shard panics")).collect()
    })
}

/// Names and bytes below a folder, but for the files of shards.
fn results(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let named = contents(folder)?.into_iter().map(|(path, bytes)| {
        (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes)
    });
    Ok(named.filter(|(name, _)| !name.starts_with("part-")).collect())
}

#[test]
fn shards_predict_each_image_once_into_one_folder() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    fs::create_dir(folder.join("images"))?;
    for case in 1..=5 {
        let image = folder.join(format!("data/case{case:02}/image.nii.gz"));
        fs::copy(image, folder.join(format!("images/case{case:02}.nii.gz")))?;
    }
    let line = "predict -m run -i images --probabilities --device cpu";
    good(folder, &format!("{line} -o whole"))?;

    let reports = shards(folder, &format!("{line} -o shared --format json"), 3, 0)?;

    assert_eq!(results(&folder.join("shared"))?, results(&folder.join("whole"))?);
    let mut written = Vec::new();
    for report in &reports {
        let report: Value = serde_json::from_str(report)?;
        written.extend(report["written"].as_array().expect("a list").clone());
    }
    let mut names: Vec<&str> = written.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((written.len(), names.len()), (10, 10));
    // A shard without any image has nothing to do.
    let ran = sconce(folder, format!("{line} -o shared --shard 7/7").split(' '))?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "written to shared: 0\n"), "{ran:?}");
    let ran = sconce(folder, format!("{line} -o ./images --shard 1/2").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.error().contains("take them for images; name another --output"), "{ran:?}");
    let ran = sconce(folder, format!("{line} -o shared --shard 0/2").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    Ok(())
}

#[test]
fn shards_of_an_evaluation_merge_to_the_bytes_of_one() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    // The same command, but for where its results lie.
    let (whole, shared) = (folder.join("whole"), folder.join("shared"));
    for place in [&whole, &shared] {
        fs::create_dir(place)?;
    }
    let line = "evaluate -m ../run --data ../data --all --metrics all --challenge lits --device cpu -o scores";
    let text = good(&whole, line)?;

    let reports = shards(&shared, line, 4, 0)?;

    assert_eq!(results(&shared.join("scores"))?, Vec::new(), "a part is no evaluation");
    assert!(reports[0].starts_with("scored 2 of 6 cases: scores/part-1-of-4.json"), "{reports:?}");
    assert!(reports[3].contains("sconce evaluate merge scores"), "{reports:?}");
    assert_eq!(good(&shared, "evaluate merge scores")?, text);
    let merged = results(&shared.join("scores"))?;
    assert!(merged.len() >= 2, "{merged:?}");
    assert!(merged == results(&whole.join("scores"))?, "the shards have other scores");
    let found = json(&shared, "evaluate merge scores")?;
    assert_eq!(found["cases"].as_array().map(Vec::len), Some(6));
    assert!(!found["provenance"]["command"].to_string().contains("shard"), "{found}");
    Ok(())
}

#[test]
fn shards_of_label_files_merge_and_what_is_missing_is_named() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    good(folder, "dataset phantom data --cases 5 --raters 3 --rank 2")?;
    for rater in 1..=3 {
        fs::create_dir(folder.join(format!("rater{rater}")))?;
        for case in 1..=5 {
            let file = format!("data/case{case:02}/task01_seg{rater:02}.nii.gz");
            fs::copy(folder.join(file), folder.join(format!("rater{rater}/case{case}.nii.gz")))?;
        }
    }
    fs::copy(folder.join("rater1/case1.nii.gz"), folder.join("rater1/other.nii.gz"))?;
    let line = "evaluate --predictions rater1 --references rater2 rater3 --members rater2";
    good(folder, &format!("{line} -o scores"))?;
    let whole = results(&folder.join("scores"))?;
    for path in files(&folder.join("scores"))? {
        fs::remove_file(path)?;
    }

    // One is not yet there.
    for shard in [2, 3] {
        good(folder, &format!("{line} -o scores --shard {shard}/3"))?;
    }
    let ran = sconce(folder, "evaluate merge scores".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.error(), "error: scores lacks the file of --shard 1/3; run it, or wait for it");
    good(folder, &format!("{line} -o scores --shard=1/3"))?;
    good(folder, "evaluate merge scores")?;
    assert!(results(&folder.join("scores"))? == whole, "the shards have other scores");
    // Of another evaluation.
    good(folder, &format!("{line} --metrics dice -o scores --shard 1/3"))?;
    let ran = sconce(folder, "evaluate merge scores".split(' '))?;
    assert!(ran.error().contains("cannot merge scores: "), "{ran:?}");
    let ran = sconce(folder, format!("{line} -o scores.json --shard 1/3").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    Ok(())
}

#[test]
fn shards_of_a_check_see_what_one_sees() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    // The same image twice, a file that is none, and a label that is empty of what it should hold.
    fs::copy(folder.join("data/case01/image.nii.gz"), folder.join("data/case04/image.nii.gz"))?;
    fs::write(folder.join("data/case02/image.nii.gz"), "no image")?;
    let line = "dataset check data --format json";
    let whole = sconce(folder, line.split(' '))?;
    assert_eq!(whole.code, Some(1), "{whole:?}");
    assert!(whole.out.contains("duplicate_image") && whole.out.contains("unreadable"), "{whole:?}");

    let mut cases = 0;
    for shard in 1..=3 {
        let ran = sconce(folder, format!("{line} --facts facts --shard {shard}/3").split(' '))?;
        // case02 is of the second.
        assert_eq!(ran.code, Some(i32::from(shard == 2)), "{ran:?}");
        let report: Value = serde_json::from_str(&ran.out)?;
        cases += report["cases"].as_u64().unwrap_or_default();
        assert!(!ran.out.contains("duplicate_image"), "{ran:?}");
    }
    assert_eq!(cases, 6);

    let together = sconce(folder, format!("{line} --facts facts").split(' '))?;
    assert_eq!((together.code, together.out), (whole.code, whole.out));
    // Facts of other cases are none of these.
    fs::rename(folder.join("data/case06"), folder.join("data/case07"))?;
    let ran = sconce(folder, format!("{line} --facts facts").split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("case07 is in none of them; run all shards again"), "{ran:?}");
    let alone = sconce(folder, "dataset check data --shard 1/2".split(' '))?;
    assert!(alone.err.contains("what compares cases"), "{alone:?}");
    Ok(())
}
