use std::fs;

use serde_json::Value;

use crate::program::{files, sconce, workplace};

const TRAIN: &str = "train run.toml --data data --output run --device cpu";

#[test]
fn a_quiet_program_says_its_result_and_nothing_else() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    for line in ["dataset check data", TRAIN, "predict -m run -i data/case01/image.nii.gz -o out"] {
        let line = format!("{line} --quiet --format json");
        let ran = sconce(folder, line.split_whitespace())?;

        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line}");
        let result: Value = serde_json::from_str(&ran.out)?;
        assert!(result.is_object(), "{line}: {result}");
    }
    // What went wrong must be known all the same.
    let failed = sconce(folder, format!("-q {TRAIN}").split_whitespace())?;
    assert_eq!(failed.code, Some(1));
    assert_eq!(failed.err.lines().count(), 1);
    assert!(failed.error().contains("choose another folder"), "{failed:?}");
    Ok(())
}

#[test]
fn a_run_leaves_curves_and_a_log() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    for more in ["--set train.epochs=1", "--resume"] {
        let ran = sconce(folder, format!("{TRAIN} {more}").split_whitespace())?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    let curves = files(&folder.join("run/tensorboard"))?;
    assert_eq!(curves.len(), 2, "{curves:?}");
    for file in curves {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        assert!(text.contains("brain.Event:2") && text.contains("dice/organ"), "{file:?}");
    }
    let log = fs::read_to_string(folder.join("run/log.jsonl"))?;
    let entries = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let epochs: Vec<&Value> = entries.iter().filter(|entry| entry["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    for epoch in epochs {
        let (steps, patches) = (&epoch["steps_per_second"], &epoch["patches_per_second"]);
        assert_eq!(patches.as_f64(), steps.as_f64().map(|steps| 2.0 * steps), "{epoch}");
        assert!(epoch["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{epoch}");
    }
    Ok(())
}
