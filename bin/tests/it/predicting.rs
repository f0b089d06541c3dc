use std::fs;

use serde_json::json;

use crate::program::{assert_no_partial, contents, good, json, sconce, trained};

#[test]
fn one_unreadable_image_does_not_cost_the_others() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let images = folder.join("images");
    fs::create_dir(&images)?;
    for case in ["case01", "case02"] {
        fs::copy(
            folder.join("data").join(case).join("image.nii.gz"),
            images.join(format!("{case}.nii.gz")),
        )?;
    }
    fs::write(images.join("case00.nii.gz"), "not an image")?;

    let ran = sconce(folder, "predict -m run -i images -o out --device cpu".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.err.lines().filter(|line| line.contains("images/case00.nii.gz")).count(), 1);
    assert_eq!(ran.out, "written to out: 2\nfailed: 1\n");
    assert!(folder.join("out/case01.nii.gz").exists() && folder.join("out/case02.nii.gz").exists());

    let line = "predict -m run -i images -o out --device cpu --format json";
    let again = sconce(folder, line.split(' '))?;
    assert_eq!(again.code, Some(1), "{again:?}");
    let report: serde_json::Value = serde_json::from_str(&again.out)?;
    assert_eq!(report["kept"], json!(["out/case01.nii.gz", "out/case02.nii.gz"]));
    assert_eq!(report["failed"][0]["id"], "case00");
    assert_no_partial(folder)
}

#[test]
fn predictions_are_replaced_only_where_that_is_asked_for() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let line = "predict -m run -i data/case01/image.nii.gz -o out --device cpu";
    good(folder, line)?;
    let predicted = contents(&folder.join("out"))?;
    let labels = folder.join("out/image.nii.gz");
    fs::write(&labels, "mine")?;

    let kept = json(folder, line)?;
    assert_eq!((&kept["written"], &kept["kept"]), (&json!([]), &json!(["out/image.nii.gz"])));
    assert_eq!(fs::read(&labels)?, b"mine");

    // What is missing is added; what is there stays.
    let added = json(folder, &format!("{line} --probabilities"))?;
    assert_eq!(added["written"], json!(["out/image_probabilities.nii.gz"]));
    assert_eq!(fs::read(&labels)?, b"mine");

    good(folder, &format!("{line} --overwrite"))?;
    assert!(fs::read(&labels)? == predicted[0].1, "the prediction differs from the first");
    Ok(())
}

#[test]
fn images_that_do_not_fit_the_network_are_named() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    for channel in 0..2 {
        fs::copy(
            folder.join("data/case01/image.nii.gz"),
            folder.join(format!("scan_{channel:04}.nii.gz")),
        )?;
    }

    let line = "predict -m run -i scan_0000.nii.gz scan_0001.nii.gz -o out --device cpu";
    let ran = sconce(folder, line.split(' '))?;

    assert_eq!(ran.code, Some(1), "{ran:?}");
    let line = ran.err.lines().find(|line| line.starts_with("scan: ")).unwrap_or_default();
    assert!(line.contains("channel"), "{ran:?}");
    assert_eq!(ran.out, "written to out: 0\nfailed: 1\n");
    Ok(())
}
