use std::fs;

use sconce::data::{read_image, read_label_map, write_image};
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
fn beside_labels_there_are_masks_volumes_and_doubt_and_what_made_them() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let line = "predict -m run -i data/case01/image.nii.gz -o out --device cpu";
    good(folder, line)?;
    let manifest = || -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&fs::read_to_string(folder.join("out/image_prediction.json"))?)?)
    };
    let first = manifest()?;

    let all = format!("{line} --entropy --masks --statistics --probabilities");
    let report = json(folder, &all)?;

    assert_eq!(report["kept"], json!(["out/image.nii.gz"]));
    let out = folder.join("out");
    let labels = read_label_map(out.join("image.nii.gz"))?;
    let organ = labels.data.iter().filter(|&&label| label == 1).count();
    let mask = read_label_map(out.join("masks/image/organ.nii.gz"))?;
    assert!(mask.data.iter().all(|&value| value <= 1));
    let statistics: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("statistics/image.json"))?)?;
    let found = &statistics["classes"][0];
    assert_eq!(found["name"], "organ");
    let voxels = mask.data.iter().filter(|&&value| value == 1).count();
    assert_eq!(found["voxels"], json!(voxels));
    let volume = found["volume_mm3"].as_f64().expect("a volume");
    assert!((volume - voxels as f64 * mask.grid.voxel_volume()).abs() < 1e-6 * volume.max(1.0));
    assert_eq!(organ, voxels);
    let doubt = read_image(out.join("entropy/image.nii.gz"))?;
    assert_eq!(doubt.data.dim().0, 1);
    assert!(doubt.data.iter().all(|share| (0.0..=1.0 + 1e-6).contains(share)));
    assert!(doubt.data.iter().any(|&share| share > 0.0));
    // What was there already was made as it was made.
    let second = manifest()?;
    assert_eq!(second["outputs"]["image.nii.gz"], first["outputs"]["image.nii.gz"]);
    let outputs = second["outputs"].as_object().expect("outputs");
    // Labels, probabilities, doubt, volumes, and two masks.
    assert_eq!(outputs.len(), 6);
    let network = &second["outputs"]["masks/image/organ.nii.gz"]["networks"][0];
    assert_eq!(network["settings"]["mirror"], json!(true));
    assert_eq!(network["weights"].as_str().map(str::len), Some(64));
    assert_eq!(second["image"], json!(["image.nii.gz"]));
    assert_eq!(second["labels"], json!([["background", 0], ["organ", 1], ["lesion", 2]]));
    // What is made in another way says so.
    good(folder, &format!("{all} --no-mirror --overwrite"))?;
    let third = manifest()?;
    let asked = |manifest: &serde_json::Value, name: &str| {
        manifest["outputs"][name]["networks"][0]["settings"]["mirror"].clone()
    };
    assert_eq!(asked(&second, "image.nii.gz"), json!(true));
    assert_eq!(asked(&third, "image.nii.gz"), json!(false));
    assert_no_partial(folder)
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

#[test]
fn images_of_one_name_are_predicted_under_the_names_of_their_folders() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let line = "predict -m run -i data/case01/image.nii.gz data/case02/image.nii.gz -o out";

    let report = json(folder, &format!("{line} --device cpu"))?;

    let names = ["out/case01_image.nii.gz", "out/case02_image.nii.gz"];
    assert_eq!((&report["written"], &report["failed"]), (&json!(names), &json!([])));
    // What is not a matter of folders is said with what helps.
    fs::copy(folder.join("data/case01/image.nii.gz"), folder.join("image.nii"))?;
    fs::copy(folder.join("data/case01/image.nii.gz"), folder.join("image.nii.gz"))?;
    let same = "predict -m run -i image.nii image.nii.gz -o out --device cpu";
    let ran = sconce(folder, same.split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "error: two files are case image: image.nii and image.nii.gz; rename one, or predict them \
         one after the other into two folders"
    );
    Ok(())
}

#[test]
fn label_maps_beside_an_image_are_left_out_and_named() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    // The layout of the model's data tells this one, and nothing else does.
    let settings = folder.join("run/run.toml");
    let text = fs::read_to_string(&settings)?;
    let label = "{id}/task01_seg{rater}.nii.gz";
    assert!(text.contains(label), "{text}");
    fs::write(&settings, text.replace(label, "{id}/drawn_by_{rater}.nii.gz"))?;
    let case = folder.join("data/case01");
    fs::copy(case.join("task01_seg01.nii.gz"), case.join("drawn_by_ann.nii.gz"))?;

    let line = "predict -m run -i data/case01 -o out --device cpu";
    let ran = sconce(folder, line.split(' '))?;

    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "written to out: 1\n"), "{ran:?}");
    let lines: Vec<_> = ran.err.lines().filter(|line| line.contains("left out")).collect();
    assert_eq!(
        lines,
        ["left out, as label maps by their names: data/case01/drawn_by_ann.nii.gz, \
          data/case01/task01_seg01.nii.gz, data/case01/task01_seg02.nii.gz, \
          data/case01/truth.nii.gz; a file that --input names itself is predicted"]
    );
    // A name that is given is never a mistake.
    let line = "predict -m run -i data/case01/task01_seg01.nii.gz -o out --device cpu";
    let named = json(folder, line)?;
    assert_eq!(named["written"], json!(["out/task01_seg01.nii.gz"]));
    assert_eq!(named["left_out"], json!([]));
    Ok(())
}

#[test]
fn labels_of_a_tiff_image_are_a_tiff_file() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let image = read_image(folder.join("data/case01/image.nii.gz"))?;
    write_image(folder.join("scan.tif"), &image)?;

    let report = json(folder, "predict -m run -i scan.tif -o out --device cpu")?;

    assert_eq!(report["written"], json!(["out/scan.tif"]));
    assert_eq!(read_label_map(folder.join("out/scan.tif"))?.grid.size, image.grid.size);
    Ok(())
}
