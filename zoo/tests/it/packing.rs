use std::fs;
use std::path::Path;

use candle::Device;
use sconce_zoo::{self as zoo, PackOptions};

use crate::fixture::{self, options, packed, run, score};

#[test]
fn a_packed_run_verifies_and_loads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;

    let made = zoo::pack(&run, &folder.path().join("model"), &options())?;

    assert_eq!(
        made.files,
        [
            "CITATION.cff",
            "LICENSE",
            "README.md",
            "calibration.json",
            "config.json",
            "datasets.json",
            "eval/raw.json",
            "eval/summary.json",
            "golden.safetensors",
            "model.safetensors",
            "plan.json",
            "run.toml",
            "split.json",
        ]
    );
    let verification = zoo::verify(&made.folder, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    assert!(verification.findings().is_empty());
    let (before, after) = (zoo::load(&run)?, zoo::load(&made.folder)?);
    assert_eq!(before.config.described(&before.plan), after.config);
    assert_eq!(after.config.orientation.as_deref(), Some("SAR"));
    assert_eq!(after.config.classes[1].color, Some([230, 75, 60]));
    assert_eq!(before.plan, after.plan);
    for (name, tensor) in &before.parameters {
        let (one, two) = (tensor.flatten_all()?, after.parameters[name].flatten_all()?);
        assert_eq!(one.to_vec1::<f32>()?, two.to_vec1::<f32>()?, "{name}");
    }
    Ok(())
}

#[test]
fn weights_are_packed_byte_for_byte_those_of_older_programs_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run-2").join("model.safetensors");
    fixture::network(&folder.path().join("run-2"), 2, 2)?;
    let says = |metadata: &engine::WeightsMetadata| -> anyhow::Result<()> {
        let (tensors, _): (_, engine::WeightsMetadata) = engine::weights::load(&path)?;
        Ok(engine::weights::save(&path, &tensors, metadata)?)
    };

    for (name, old) in [("new", None), ("old", Some(engine::WeightsMetadata::default()))] {
        if let Some(metadata) = &old {
            says(metadata)?;
        }
        let model = folder.path().join(name);
        zoo::pack(&folder.path().join("run-2"), &model, &options())?;
        assert!(fs::read(&path)? == fs::read(model.join("model.safetensors"))?, "{name}");
    }
    Ok(())
}

#[test]
fn weights_of_half_precision_stay_what_they_are() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, model) = (folder.path().join("run"), folder.path().join("model"));
    fixture::network(&run, 2, 2)?;
    let whole = fs::metadata(run.join("model.safetensors"))?.len();
    let mut trained = engine::Trained::load(&run)?;
    trained.metadata.weights = engine::StoredAs::F16;
    trained.save(&run)?;

    zoo::pack(&run, &model, &options())?;

    let path = model.join("model.safetensors");
    assert!(fs::read(run.join("model.safetensors"))? == fs::read(&path)?);
    assert!(fs::metadata(&path)?.len() < whole * 3 / 4);
    let tensors = engine::weights::load_tensors(&path)?;
    assert!(tensors.values().all(|tensor| tensor.dtype() == candle::DType::F16));
    let verification = zoo::verify(&model, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    let again = zoo::load(&model)?;
    assert_eq!(again.weights_hash()?, engine::Trained::load(&run)?.weights_hash()?);
    Ok(())
}

#[test]
fn volumes_are_as_good_as_slices() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, model) = (folder.path().join("run"), folder.path().join("model"));
    fixture::network(&run, 1, 3)?;

    zoo::pack(&run, &model, &options())?;

    let verification = zoo::verify(&model, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    let golden = engine::weights::load_tensors(&model.join("golden.safetensors"))?;
    assert_eq!(golden["input"].dims(), [2, 8, 8, 8]);
    assert_eq!(golden["logits"].dims(), [3, 8, 8, 8]);
    let card = fs::read_to_string(model.join("README.md"))?;
    assert!(card.contains("| patch | 16 × 32 × 48 voxels |"), "{card}");
    Ok(())
}

#[test]
fn packing_twice_makes_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let (one, two) = (folder.path().join("one"), folder.path().join("two").join("deeper"));

    let first = zoo::pack(&run, &one, &options())?;
    zoo::pack(&run, &two, &options())?;

    for name in first.files.iter().map(String::as_str).chain(["SHA256SUMS"]) {
        assert_eq!(fs::read(one.join(name))?, fs::read(two.join(name))?, "{name}");
    }
    Ok(())
}

#[test]
fn nothing_of_this_machine_goes_in() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let path = folder.path().to_string_lossy().into_owned();

    for name in zoo::verify(&model, &Device::Cpu)?.files.iter().map(|file| &file.name) {
        let bytes = fs::read(model.join(name))?;
        assert!(!String::from_utf8_lossy(&bytes).contains(&path), "{name}");
    }
    assert_eq!(entries(folder.path())?, ["model", "run-1"]);
    Ok(())
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let output = folder.path().join("output");
    fs::create_dir(&output)?;
    fs::write(output.join("mine"), "")?;

    let error = zoo::pack(&run, &output, &options()).unwrap_err().to_string();

    let expected = " is not empty; remove it, or choose another output folder";
    assert_eq!(error, format!("{}{expected}", output.display()));
    assert_eq!(entries(&output)?, ["mine"]);
    fs::remove_file(output.join("mine"))?;
    assert!(zoo::pack(&run, &output, &options()).is_ok());
    Ok(())
}

#[test]
fn a_run_without_weights_cannot_be_packed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("model");

    let error = zoo::pack(folder.path(), &output, &options()).unwrap_err().to_string();

    let expected =
        "is no model folder: it has no model.safetensors; give the folder of a finished run";
    assert_eq!(error, format!("{} {expected}", folder.path().display()));
    assert!(!output.exists());
    Ok(())
}

#[test]
fn a_run_that_is_damaged_leaves_nothing_behind() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let weights = fs::read(run.join("model.safetensors"))?;
    fs::write(run.join("model.safetensors"), &weights[..weights.len() / 2])?;

    assert!(zoo::pack(&run, &folder.path().join("model"), &options()).is_err());

    assert_eq!(entries(folder.path())?, ["run-1"]);
    Ok(())
}

#[test]
fn names_and_licenses_are_checked() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let refused = |options: PackOptions| {
        let output = folder.path().join("model");
        zoo::pack(&run, &output, &options).unwrap_err().to_string()
    };

    let name = |name: &str| PackOptions { name: name.to_owned(), ..options() };
    assert_eq!(
        refused(name("")),
        "the name \"\" cannot be used: it is empty; give the model a name"
    );
    assert!(refused(name("a\nb")).contains("more than one line"));
    assert!(refused(name(&"a".repeat(97))).contains("more than 96"));
    let license = PackOptions { license: "free".to_owned(), ..options() };
    assert!(refused(license).starts_with("the license \"free\" cannot be used: it is none of"));
    Ok(())
}

#[test]
fn the_card_has_what_the_hub_reads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;

    let card = fs::read_to_string(model.join("README.md"))?;

    let expected = r#"---
license: cc-by-4.0
library_name: sconce
pipeline_tag: image-segmentation
tags:
- "medical"
- "segmentation"
- "2d"
- "safetensors"
- "ct"
- "calibration"
datasets:
- "nobody/nothing"
metrics:
- "dice"
- "nll"
- "pooled_ece"
model-index:
- name: "tiny organ"
  results:
  - task:
      type: image-segmentation
      name: "Task 01 segmentation"
    dataset:
      type: "task-01"
      name: "Task 01"
    metrics:
    - type: "dice"
      value: 0.85
      name: "dice, mean"
    - type: "dice"
      value: 0.85
      name: "dice, organ"
    - type: "dice"
      value: 0.85
      name: "dice, lesion"
    - type: "pooled_ece"
      value: 0.0625
      name: "pooled_ece, all voxels"
    source:
      name: sconce evaluate
"#;
    assert!(card.starts_with(expected), "{card}");
    assert!(card.contains("| organ | dice | 0.8500 | 0.0707 | 0.8500 | 2 | 1 |"), "{card}");
    assert!(card.contains("| probabilities | nll | – | – | – | 0 | 1 |"), "{card}");
    assert!(card.contains("| spacing | 0.5 × 0.75 mm |"), "{card}");
    assert!(card.contains("| 0 | background |\n| 255 | organ |\n| 2 | lesion |\n"), "{card}");
    assert!(card.contains("scored calibrated, each held-out case by what was fitted to the other"));
    assert!(fs::read_to_string(model.join("LICENSE"))?.contains("CC BY 4.0 (cc-by-4.0)"));
    Ok(())
}

#[test]
fn a_run_without_evaluation_says_so() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    for path in ["validation", "calibration.json", "run.toml", "split.json"] {
        let path = run.join(path);
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    let model = folder.path().join("model");
    let text = folder.path().join("text");
    fs::write(&text, "Ask us.\n")?;
    let options = PackOptions {
        license: "other".to_owned(),
        license_text: Some(text),
        datasets: Vec::new(),
        ..options()
    };

    let made = zoo::pack(&run, &model, &options)?;

    assert!(!made.files.iter().any(|name| name.contains('/')));
    let card = fs::read_to_string(model.join("README.md"))?;
    assert!(card.contains("license: other\nlicense_name: see-license\nlicense_link: LICENSE\n"));
    assert!(!card.contains("model-index") && !card.contains("datasets:"));
    assert!(card.contains("This model was packed without an evaluation."));
    assert_eq!(fs::read_to_string(model.join("LICENSE"))?, "Ask us.\n");
    Ok(())
}

#[test]
fn scores_of_other_weights_do_not_get_onto_a_card() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let refused = |options: &PackOptions| {
        zoo::pack(&run, &folder.path().join("model"), options).unwrap_err().to_string()
    };
    // What a run leaves that was prolonged, and killed between its weights and their scores.
    let mut trained = zoo::load(&run)?;
    for tensor in trained.parameters.values_mut() {
        *tensor = tensor.affine(1.5, 0.0)?;
    }
    trained.save(&run)?;

    let remedy = "score the run anew: repeat its `sconce train` with --resume";
    let path = run.join("calibration.json");
    let expected = "is not usable: it is of other weights than model.safetensors;";
    assert_eq!(refused(&options()), format!("{} {expected} {remedy}", path.display()));
    fs::remove_file(path)?;
    let path = run.join("validation/summary.json");
    assert_eq!(refused(&options()), format!("{} {expected} {remedy}", path.display()));
    let given = PackOptions { evaluation: Some(path.clone()), ..options() };
    assert!(refused(&given).contains("give what `sconce evaluate --model"));

    fixture::score(&run)?;
    assert!(zoo::pack(&run, &folder.path().join("model"), &options()).is_ok());
    Ok(())
}

#[test]
fn a_temperature_that_is_not_the_networks_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let path = run.join("config.json");
    fs::write(&path, fs::read_to_string(&path)?.replace("1.5", "1.0"))?;

    let error = zoo::pack(&run, &folder.path().join("model"), &options()).unwrap_err().to_string();

    assert!(error.contains("its temperature is 1.5, but config.json has 1;"), "{error}");
    Ok(())
}

#[test]
fn scores_that_do_not_say_what_they_are_of_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let path = run.join("validation/raw.json");
    let text = fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"weights\"")).collect();
    fs::write(&path, lines.join("\n"))?;

    let error = zoo::pack(&run, &folder.path().join("model"), &options()).unwrap_err().to_string();

    assert!(error.contains("raw.json is not usable: it does not say which weights"), "{error}");
    Ok(())
}

#[test]
fn the_split_goes_with_the_model() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let path = model.join("split.json");

    let split = engine::RunFolder::at(&model).read_split()?.expect("it was packed");
    assert_eq!((split.train, split.val.len()), (vec!["d".to_owned(), "e".to_owned()], 3));
    fs::write(&path, r#"{"train": [], "val": ["d"]}"#)?;
    let error = zoo::load(&model).unwrap_err().to_string();
    assert!(error.contains("split.json is not usable: it is not the file that was"), "{error}");
    fs::remove_file(&path)?;
    let error = zoo::load(&model).unwrap_err().to_string();
    assert!(error.contains("split.json is not usable: it is missing"), "{error}");
    Ok(())
}

#[test]
fn a_network_whose_output_is_not_finite_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path(), 1)?;
    let mut trained = zoo::load(&run)?;
    for tensor in trained.parameters.values_mut() {
        *tensor = tensor.affine(f64::NAN, 0.0)?;
    }
    trained.save(&run)?;
    score(&run)?;

    let error = zoo::pack(&run, &folder.path().join("model"), &options()).unwrap_err().to_string();

    assert!(error.contains("the network's output is not finite"), "{error}");
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
