//! What predictions become, in how much memory, and what they survive.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sconce::data::{read_image, read_label_map, read_soft_labels, write_label_map};
use sconce::volume::{Grid, LabelMap};
use serde_json::{Value, json};

use crate::dicom_slices::write_series;
use crate::program::{
    assert_no_partial, command, contents, good, json, on_a_small_disk, sconce, trained,
};

const LINE: &str = "predict -m run -i images --device cpu";

/// A trained network, and three images below `images`.
fn with_images() -> anyhow::Result<tempfile::TempDir> {
    let workplace = trained()?;
    let folder = workplace.path();
    fs::create_dir(folder.join("images"))?;
    for case in ["case01", "case02", "case03"] {
        let image = folder.join("data").join(case).join("image.nii.gz");
        fs::copy(image, folder.join("images").join(format!("{case}.nii.gz")))?;
    }
    Ok(workplace)
}

/// What lies below a folder, by its place there.
fn below(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let named = contents(folder)?.into_iter();
    Ok(named
        .map(|(path, bytes)| {
            (path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned(), bytes)
        })
        .collect())
}

#[test]
fn ensembles_say_where_they_disagree_and_nnunet_reads_probabilities() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    good(folder, "train run.toml --data data --output other --device cpu --set seed=4")?;
    let both = "predict -m run other -i images/case01.nii.gz --device cpu";

    good(folder, &format!("{both} -o out --disagreement --npz --probabilities"))?;

    let out = folder.join("out");
    let map = read_image(out.join("disagreement/case01.nii.gz"))?;
    assert!(map.data.iter().all(|share| (0.0..=1.0).contains(share)));
    assert!(map.data.iter().any(|&share| share > 0.0));
    let soft = read_soft_labels(out.join("case01_probabilities.nii.gz"))?;
    let halves = read_soft_labels(out.join("case01.npz"))?;
    for (one, other) in soft.data.iter().zip(&halves.data) {
        assert!((one - other).abs() < 2e-3, "{one}, {other}");
    }
    // The same network twice never does.
    let twice = "predict -m run run -i images/case01.nii.gz --device cpu";
    good(folder, &format!("{twice} -o same --disagreement"))?;
    let none = read_image(folder.join("same/disagreement/case01.nii.gz"))?;
    assert!(none.data.iter().all(|&share| share < 1e-6));
    let ran = sconce(folder, format!("{LINE} -o alone --disagreement").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.error().contains("of several networks"), "{ran:?}");
    Ok(())
}

#[test]
fn memory_is_planned_before_the_start_and_changes_nothing() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    let all = format!("{LINE} --probabilities --entropy --statistics");
    good(folder, &format!("{all} -o free"))?;

    let ran = sconce(folder, format!("{all} -o little --memory 1MB").split(' '))?;

    assert_eq!(ran.code, Some(2), "{ran:?}");
    let line = ran.error();
    let asked = line.split("give --memory ").nth(1).and_then(|rest| rest.split(' ').next());
    let asked = asked.ok_or_else(|| anyhow::anyhow!("no remedy: {line}"))?;
    assert!(below(&folder.join("little"))?.is_empty(), "something was begun");
    let ran = sconce(folder, format!("{all} -o little --memory 8furlongs").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    // The value that it names is enough, and what comes of it is the same to the byte.
    let mut child = command(folder)
        .args(format!("{all} -o little --memory {asked}").split(' '))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let code = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            most = most.max(kilobytes(&text));
        }
        match child.try_wait()? {
            Some(status) => break status.code(),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert_eq!(code, Some(0));
    assert_eq!(below(&folder.join("little"))?, below(&folder.join("free"))?);
    let limit = asked.trim_end_matches("MB").parse::<u64>()? * 1000;
    assert!(most > 0 && most <= limit, "{most} kB taken, {limit} allowed");
    Ok(())
}

/// The most that a process has held, as Linux says.
fn kilobytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    // Linux counts by 1024.
    number.unwrap_or(0) * 1024 / 1000
}

#[test]
fn of_dicom_comes_dicom_and_of_anything_what_is_asked_for() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    write_series(&folder.join("scans/patient"), 3)?;

    good(folder, "predict -m run -i scans -o out --device cpu --masks")?;

    let labels = read_label_map(folder.join("out/patient.dcm"))?;
    let image = read_image(folder.join("scans/patient"))?;
    assert_eq!(labels.grid.size, image.grid.size);
    assert!(labels.grid.difference(&image.grid).is_none());
    assert!(folder.join("out/masks/patient/organ.dcm").exists());
    // The same labels, in another format.
    good(folder, "predict -m run -i scans -o nifti --device cpu --file-ending .nii.gz")?;
    assert_eq!(read_label_map(folder.join("nifti/patient.nii.gz"))?.data, labels.data);
    let ran = sconce(folder, format!("{LINE} -o jpeg --file-ending .jpg").split(' '))?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("labels are written as .nii.gz"), "{ran:?}");
    Ok(())
}

#[test]
fn a_rule_is_found_applied_and_minded() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    let grid = Grid::new([1, 6, 8], [1.0; 3])?;
    let map = |path: &str, value: &dyn Fn(usize, usize) -> u16| -> anyhow::Result<()> {
        let data = ndarray::Array3::from_shape_fn((1, 6, 8), |(_, y, x)| value(y, x));
        fs::create_dir_all(folder.join(path).parent().unwrap_or(folder))?;
        Ok(write_label_map(folder.join(path), &LabelMap::new(grid.clone(), data)?)?)
    };
    for case in ["a", "b"] {
        map(&format!("truth/{case}.nii.gz"), &|y, x| u16::from(y < 3 && x < 4))?;
        // A speck that is not there.
        map(&format!("said/{case}.nii.gz"), &|y, x| u16::from(y < 3 && x < 4 || y == 5 && x == 7))?;
    }

    let found = json(folder, "postprocess find -p said -r truth -o rule.json")?;

    assert_eq!(found["cases"], json!(2));
    assert_eq!(found["trials"][0]["kept"], json!(true));
    assert_eq!(found["after"], json!([1.0]));
    let rule: Value = serde_json::from_str(&fs::read_to_string(folder.join("rule.json"))?)?;
    assert_eq!(rule["steps"], json!([{"keep_largest": {"labels": [1]}}]));
    let regions = "postprocess find -p said -r truth -o regions.json --class 1+2 --class 2";
    assert_eq!(json(folder, regions)?["trials"].as_array().map(Vec::len), Some(3));
    for wrong in ["0", "1+", "a"] {
        let line = format!("postprocess find -p said -r truth -o wrong.json --class {wrong}");
        assert_eq!(sconce(folder, line.split(' '))?.code, Some(2), "{wrong}");
    }
    good(folder, "postprocess apply --rule rule.json -i said -o cleaned")?;
    let cleaned = read_label_map(folder.join("cleaned/a.nii.gz"))?;
    assert_eq!(cleaned, read_label_map(folder.join("truth/a.nii.gz"))?);
    let ran = sconce(folder, "postprocess apply --rule rule.json -i said -o cleaned".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");

    // In the folder of a model, predictions mind it; it can be left out.
    good(folder, &format!("{LINE} -o before"))?;
    let all = r#"{"schema":1,"steps":[{"remove_small":{"labels":[1,2],"mm3":1e9}}]}"#;
    fs::write(folder.join("run/postprocess.json"), all)?;
    good(folder, &format!("{LINE} -o after"))?;
    good(folder, &format!("{LINE} -o left --postprocess none"))?;
    assert!(read_label_map(folder.join("after/case01.nii.gz"))?.data.iter().all(|&it| it == 0));
    assert_eq!(below(&folder.join("left"))?, below(&folder.join("before"))?);
    let manifest = fs::read_to_string(folder.join("after/case01_prediction.json"))?;
    assert!(manifest.contains("remove_small"), "{manifest}");
    // A threshold of 1 is reached by nothing.
    let none = r#"{"schema":1,"thresholds":[{"label":1,"probability":1.0},{"label":2,"probability":1.0}],"steps":[]}"#;
    fs::write(folder.join("none.json"), none)?;
    good(folder, &format!("{LINE} -o none --postprocess none.json"))?;
    assert!(read_label_map(folder.join("none/case01.nii.gz"))?.data.iter().all(|&it| it == 0));
    fs::write(folder.join("other.json"), all.replace("[1,2]", "[9]"))?;
    let ran = sconce(folder, format!("{LINE} -o other --postprocess other.json").split(' '))?;
    assert!(ran.error().contains("speaks of label 9"), "{ran:?}");
    Ok(())
}

#[test]
fn images_are_never_replaced_by_what_is_said_of_them() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    let before = below(&folder.join("images"))?;

    for more in ["", " --overwrite always"] {
        let ran = sconce(folder, format!("{LINE} -o images{more}").split(' '))?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.error().contains("is an image, and would be replaced"), "{ran:?}");
    }

    assert_eq!(below(&folder.join("images"))?, before);
    Ok(())
}

#[test]
fn a_full_disk_costs_no_prediction_that_is_there() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    good(folder, &format!("{LINE} -o first"))?;
    let line = format!("{LINE} -o out --probabilities --npz --entropy --overwrite always");

    let ended = on_a_small_disk(folder, "out", (24, 4), "cp first/* out", &line)?;

    assert_eq!(ended.code, Some(1), "{ended:?}");
    let full = |line: &str| line.contains("No space left") || line.contains("File too large");
    assert!(ended.err.lines().any(full), "{ended:?}");
    assert!(ended.out.contains("failed: "), "{ended:?}");
    // Labels are what they were or what they are to be, which here is the same.
    for case in ["case01", "case02", "case03"] {
        let name = format!("{case}.nii.gz");
        let kept = fs::read(folder.join("kept").join(&name))?;
        assert!(kept == fs::read(folder.join("first").join(&name))?, "{name} is damaged");
    }
    assert_no_partial(&folder.join("kept"))
}

#[test]
fn images_that_cannot_be_are_named_and_the_rest_goes_on() -> anyhow::Result<()> {
    let workplace = with_images()?;
    let folder = workplace.path();
    good(folder, "dataset phantom volumes --cases 6 --rank 3")?;
    let volume = "train run.toml --data volumes --output deep --device cpu --set preprocess.rank=3 \
                  --set preprocess.patch_size=[8,16,16]";
    good(folder, volume)?;
    // A picture for a network of volumes.
    fs::copy(folder.join("images/case02.nii.gz"), folder.join("images/flat.nii.gz"))?;
    let deep = folder.join("volumes/case01/image.nii.gz");
    fs::copy(&deep, folder.join("images/solid.nii.gz"))?;
    for case in ["case01", "case02", "case03"] {
        fs::remove_file(folder.join("images").join(format!("{case}.nii.gz")))?;
    }

    let ran = sconce(folder, "predict -m deep -i images -o out --device cpu".split(' '))?;

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("flat: ") && ran.err.contains("a single slice"), "{ran:?}");
    assert!(folder.join("out/solid.nii.gz").exists() && !folder.join("out/flat.nii.gz").exists());
    assert_eq!(ran.out, "written to out: 1\nfailed: 1\n");
    // Channels on two grids.
    fs::create_dir(folder.join("channels"))?;
    fs::copy(&deep, folder.join("channels/scan_0000.nii.gz"))?;
    fs::copy(folder.join("images/flat.nii.gz"), folder.join("channels/scan_0001.nii.gz"))?;
    let ran = sconce(folder, "predict -m deep -i channels -o grids --device cpu".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("scan_0001.nii.gz") || ran.err.contains("scan: "), "{ran:?}");
    Ok(())
}
