use std::fs;
use std::path::Path;

use sconce::data::{read_label_map, write_label_map};

use crate::program::{RUN, good, json, sconce, trained};

/// A data set whose masks are 0 and 255, as those of pictures are, and a network `run` that has
/// learned a little of it.
fn pictures() -> anyhow::Result<tempfile::TempDir> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    good(folder, "dataset phantom data --cases 6 --raters 1 --rank 2")?;
    for case in fs::read_dir(folder.join("data"))? {
        let path = case?.path().join("task01_seg01.nii.gz");
        if path.exists() {
            let mut mask = read_label_map(&path)?;
            mask.data.mapv_inplace(|label| if label > 0 { 255 } else { 0 });
            write_label_map(&path, &mask)?;
        }
    }
    let other = RUN.replace("values = [1]", "values = [255]");
    let lesion = "  { name = \"lesion\", values = [2] },\n";
    assert!(other != RUN && other.contains(lesion));
    fs::write(folder.join("run.toml"), other.replace(lesion, ""))?;
    let line = "train run.toml --data data --output run --device cpu --set train.epochs=60";
    good(folder, line)?;
    Ok(workplace)
}

fn reference(folder: &Path, case: &str, name: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("references"))?;
    let from = folder.join("data").join(case).join("task01_seg01.nii.gz");
    fs::copy(from, folder.join("references").join(name))?;
    Ok(())
}

#[test]
fn predictions_have_the_label_values_of_the_data_set() -> anyhow::Result<()> {
    let workplace = pictures()?;
    let folder = workplace.path();
    reference(folder, "case01", "image.nii.gz")?;
    let line = "predict -m run -i data/case01/image.nii.gz -o out --probabilities --device cpu";
    good(folder, line)?;

    assert_eq!(read_label_map(folder.join("out/image.nii.gz"))?.values(), [0, 255]);
    let files = json(folder, "evaluate --predictions out --references references")?;
    let all = json(folder, "evaluate -m run --data data --all --device cpu")?;
    let dice = &files["cases"][0]["masks"]["label 255"]["dice"];
    assert!(dice.as_f64().is_some_and(|dice| dice > 0.0), "{dice}");
    assert_eq!(all["cases"][0]["id"], "case01");
    assert_eq!(&all["cases"][0]["masks"]["organ"]["dice"], dice);
    for (name, score) in files["cases"][0]["probabilities"].as_object().expect("they are scored") {
        // Those of a file sum to 1 but for what its precision leaves.
        let (file, run) = (score.as_f64(), all["cases"][0]["probabilities"][name].as_f64());
        assert!(file.zip(run).is_some_and(|(a, b)| (a - b).abs() < 1e-6), "{name}: {files} {all}");
    }
    // Without labels, the most probable class is one.
    fs::create_dir(folder.join("soft"))?;
    let name = "image_probabilities.nii.gz";
    fs::copy(folder.join("out").join(name), folder.join("soft").join(name))?;
    let soft = json(folder, "evaluate --predictions soft --references references")?;
    assert_eq!(soft["cases"][0]["masks"], files["cases"][0]["masks"]);
    // Probabilities lie beside labels, and are none, on either side.
    let same = json(folder, "evaluate --predictions out --references out")?;
    assert_eq!(same["cases"].as_array().map(Vec::len), Some(1));
    good(folder, "zoo pack run --output model")?;
    let card = fs::read_to_string(folder.join("model/README.md"))?;
    assert!(card.contains("| 255 | organ |"), "{card}");
    Ok(())
}

#[test]
fn classes_that_were_predicted_alone_are_scored_and_no_class_is_an_error() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    good(folder, "dataset phantom data --cases 1 --raters 1 --rank 2")?;
    reference(folder, "case01", "a.nii.gz")?;
    let mut mask = read_label_map(folder.join("references/a.nii.gz"))?;
    let found = mask.values().into_iter().max().unwrap_or_default();
    let write = |name: &str, mask: &sconce::volume::LabelMap| -> anyhow::Result<()> {
        fs::create_dir(folder.join(name))?;
        Ok(write_label_map(folder.join(name).join("a.nii.gz"), mask)?)
    };
    mask.data[[0, 0, 0]] = 7;
    write("more", &mask)?;
    mask.data.fill(0);
    write("none", &mask)?;
    write("nothing", &mask)?;

    let more = json(folder, "evaluate --predictions more --references references")?;
    let score = |label: &str| more["masks"][label]["dice"]["mean"].as_f64();
    assert_eq!((score("label 7"), score(&format!("label {found}"))), (Some(0.0), Some(1.0)));

    let line = "evaluate --predictions none --references nothing";
    let ran = sconce(folder, line.split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "error: neither none nor nothing has a label other than 0, so that there is no class to \
         score; check the folders, or name the classes with --classes"
    );
    good(folder, &format!("{line} --classes 1=organ"))?;
    Ok(())
}

#[test]
fn images_are_predicted_as_the_run_says_unless_told_otherwise() -> anyhow::Result<()> {
    let workplace = crate::program::workplace()?;
    let folder = workplace.path();
    let line = "train run.toml --data data --output run --device cpu --set predict.mirror=false";
    good(folder, &format!("{line} --set predict.step_size=1.0"))?;
    let probabilities = |output: &str, more: &str| -> anyhow::Result<Vec<u8>> {
        let line = "predict -m run -i data/case01/image.nii.gz --probabilities --device cpu";
        good(folder, &format!("{line} -o {output} {more}"))?;
        Ok(fs::read(folder.join(output).join("image_probabilities.nii.gz"))?)
    };

    let own = probabilities("own", "")?;
    assert!(own == probabilities("same", "--no-mirror --step-size 1")?, "the run says so");
    assert!(own != probabilities("mirrored", "--mirror")?, "--mirror changes nothing");
    assert!(own != probabilities("closer", "--step-size 0.5")?, "--step-size changes nothing");
    // The scores are of the logits that predictions are made of.
    let again = json(folder, "evaluate -m run --data data --device cpu")?;
    let summary = fs::read(folder.join("run/validation/summary.json"))?;
    let mut summary: serde_json::Value = serde_json::from_slice(&summary)?;
    summary["provenance"]["command"] = again["provenance"]["command"].clone();
    assert_eq!(again, summary);
    Ok(())
}

#[test]
fn cases_that_may_have_been_trained_on_are_not_scored_without_a_word() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    good(folder, "zoo pack run --output model")?;
    let of_run = json(folder, "evaluate -m run --data data --device cpu")?;
    let of_model = json(folder, "evaluate -m model --data data --device cpu")?;
    assert_eq!(of_model["cases"], of_run["cases"]);
    assert_eq!(
        (&of_model["scaling"], &of_run["scaling"]),
        (&"cross_fitted".into(), &"cross_fitted".into())
    );
    let text = good(folder, "evaluate -m model --data data --device cpu")?;
    assert!(text.contains("each held-out case by what was fitted to the other half"), "{text}");

    let all = sconce(folder, "evaluate -m model --data data --device cpu --all".split(' '))?;
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(all.err.contains("model was trained on 4 of the 6 cases"), "{all:?}");

    fs::remove_file(folder.join("run/split.json"))?;
    let ran = sconce(folder, "evaluate -m run --data data --device cpu".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "error: run does not say which cases it was trained on: it has no split.json; give --all to \
         score every case"
    );
    good(folder, "evaluate -m run --data data --device cpu --all")?;
    Ok(())
}
