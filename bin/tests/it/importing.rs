//! Networks of nnU-Net on the command line: there, back, and averaged.

use std::fs;

use serde_json::Value;

use crate::program::{assert_no_partial, good, json, sconce, trained};

#[test]
fn a_network_goes_to_nnunet_and_comes_back() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let image = "data/case01/image.nii.gz";
    let labels = |name: &str| fs::read(folder.join(name).join("image.nii.gz"));

    let exported = good(folder, "zoo export nnunet run -o exported")?;
    assert!(exported.contains("exported 2d, 1 folds, to exported"), "{exported}");
    let report = json(folder, "zoo import nnunet exported -o back --license cc-by-4.0")?;
    assert_eq!(report["origin"], "nnUNetTrainer__nnUNetPlans__2d");
    assert_eq!(report["folds"], Value::Array(Vec::new()));
    good(folder, "zoo verify back")?;
    // What a network says, it says as well with itself; nnU-Net does not keep how it is best asked.
    let line =
        format!("predict -i {image} --device cpu --no-mirror --step-size 0.5 --calibration none");
    for (models, output) in [("run", "one"), ("back", "two"), ("run back", "both")] {
        good(folder, &format!("{line} -o {output} -m {models}"))?;
    }
    let one = labels("one")?;
    assert!(one == labels("two")? && one == labels("both")?);
    assert_no_partial(folder)
}

#[test]
fn folds_are_averaged_and_a_fold_that_is_not_done_is_named() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    fs::create_dir(folder.join("folds"))?;
    fs::create_dir(folder.join("folds/fold_1"))?;
    fs::rename(folder.join("run"), folder.join("folds/fold_0"))?;
    let line = "predict -i data/case01/image.nii.gz --device cpu -o out -m folds";

    let ran = sconce(folder, line.split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("folds/fold_1") && ran.err.contains("finish its training"), "{ran:?}");
    fs::remove_dir(folder.join("folds/fold_1"))?;
    good(folder, line)?;
    assert!(folder.join("out/image.nii.gz").is_file());
    Ok(())
}

#[test]
fn a_network_becomes_an_onnx_file() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();

    let report = json(folder, "zoo export onnx run -o model.onnx")?;
    assert_eq!(report["files"], serde_json::json!(["model.onnx"]));
    let size = fs::metadata(folder.join("model.onnx"))?.len();
    assert_eq!(report["bytes"], size);
    for (line, reason) in [
        ("zoo export onnx run -o model.onnx", "model.onnx is there already"),
        ("zoo export onnx data -o x.onnx", "it is no model"),
    ] {
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 1), "{line}: {ran:?}");
        assert!(ran.error().contains(reason), "{line}: {ran:?}");
    }
    assert_eq!(fs::metadata(folder.join("model.onnx"))?.len(), size);
    assert!(!folder.join("x.onnx").exists());
    assert_no_partial(folder)
}

#[test]
fn what_is_no_network_of_another_program_is_one_line() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    fs::create_dir_all(folder.join("model/fold_0"))?;
    fs::write(folder.join("model/plans.json"), "{}")?;
    for (line, code, reason) in [
        ("zoo import nnunet run -o x", 1, "there is no plans.json with fold_0"),
        (
            "zoo import nnunet data/case01/image.nii.gz -o x",
            1,
            "neither a folder nor a ZIP archive",
        ),
        ("zoo import nnunet model -o x", 1, "missing field"),
        ("zoo import nnunet model -o run", 1, "run is not empty"),
        ("zoo import nnunet -o x", 2, "<FOLDER|ZIP>"),
        ("zoo export nnunet data -o x", 1, "it is no model"),
        ("zoo import monai data -o x", 1, "there is no folder configs"),
        ("zoo import monai data -o x --set network_def", 1, "give it as ID=VALUE"),
        ("zoo import monai data -o run", 1, "run is not empty"),
        ("zoo import smp data -o x", 1, "neither model.safetensors nor pytorch_model.bin"),
        ("zoo import smp run -o x", 1, "it has no encoder.conv1.weight"),
        ("zoo import smp data -o x --patch 32", 1, "--patch takes two numbers"),
        ("zoo import smp data -o x --mean 0.5", 2, "--std"),
    ] {
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{line}: {ran:?}");
        assert!(ran.err.contains(reason), "{line}: {ran:?}");
        assert!(!folder.join("x").exists());
    }
    assert_no_partial(folder)
}
