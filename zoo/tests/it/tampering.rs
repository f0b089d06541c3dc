use std::fs;
use std::path::Path;

use candle::Device;
use sconce_zoo::{self as zoo, FileState, GoldenCheck};

use crate::fixture::packed;

/// What is found in a model folder after `change`.
fn findings(change: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    change(&model)?;
    let verification = zoo::verify(&model, &Device::Cpu)?;
    assert_eq!(verification.ok(), verification.findings().is_empty());
    assert_eq!(verification.to_string().contains("NOT ok"), !verification.ok());
    Ok(verification.findings())
}

#[test]
fn a_changed_byte_is_found_in_every_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    for file in zoo::verify(&model, &Device::Cpu)?.files {
        let path = model.join(&file.name);
        let whole = fs::read(&path)?;
        let mut changed = whole.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        fs::write(&path, changed)?;

        let verification = zoo::verify(&model, &Device::Cpu)?;

        let wrong: Vec<_> =
            verification.files.iter().filter(|file| file.state != FileState::Ok).collect();
        assert!(!verification.ok() && wrong.len() == 1, "{}: {verification}", file.name);
        assert!(matches!(wrong[0].state, FileState::Wrong { .. }) && wrong[0].name == file.name);
        fs::write(&path, whole)?;
    }
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> anyhow::Result<()> {
    let found = findings(|model| Ok(fs::remove_file(model.join("LICENSE"))?))?;

    assert_eq!(found, ["LICENSE is missing"]);
    Ok(())
}

#[test]
fn an_extra_file_is_named_but_not_what_tools_leave() -> anyhow::Result<()> {
    let found = findings(|model| {
        fs::write(model.join(".gitattributes"), "")?;
        fs::create_dir(model.join(".cache"))?;
        fs::write(model.join(".cache").join("tool"), "")?;
        Ok(fs::write(model.join("eval").join("notes.txt"), "")?)
    })?;

    assert_eq!(found, ["eval/notes.txt was not packed"]);
    Ok(())
}

#[test]
fn swapped_weights_change_hash_and_output() -> anyhow::Result<()> {
    let other = tempfile::tempdir()?;
    let weights = packed(other.path(), 2, "model")?.join("model.safetensors");

    let found = findings(|model| {
        fs::copy(&weights, model.join("model.safetensors"))?;
        Ok(())
    })?;

    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("model.safetensors was changed: its hash is "), "{found:?}");
    assert!(found[1].starts_with("the network computes something else: logits differ by"));
    Ok(())
}

/// Hashes alone would not find it: whoever swaps weights can write hashes, too.
#[test]
fn swapped_weights_are_found_even_with_their_own_hash() -> anyhow::Result<()> {
    let other = tempfile::tempdir()?;
    let other = packed(other.path(), 2, "model").map(|model| (other, model))?;
    let hash = |model: &Path| -> anyhow::Result<String> {
        let text = fs::read_to_string(model.join("SHA256SUMS"))?;
        let line = text.lines().find(|line| line.ends_with("  model.safetensors"));
        Ok(line.expect("it is listed").to_owned())
    };

    let found = findings(|model| {
        let sums = fs::read_to_string(model.join("SHA256SUMS"))?;
        let sums = sums.replace(&hash(model)?, &hash(&other.1)?);
        fs::write(model.join("SHA256SUMS"), sums)?;
        fs::copy(other.1.join("model.safetensors"), model.join("model.safetensors"))?;
        Ok(())
    })?;

    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("the network computes something else"), "{found:?}");
    Ok(())
}

#[test]
fn weights_that_cannot_be_read_are_findings_not_errors() -> anyhow::Result<()> {
    let found = findings(|model| Ok(fs::write(model.join("model.safetensors"), "short")?))?;

    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("the network cannot be run: "), "{found:?}");
    let found = findings(|model| Ok(fs::remove_file(model.join("golden.safetensors"))?))?;
    assert_eq!(found[0], "golden.safetensors is missing");
    assert!(found[1].contains("golden.safetensors"), "{found:?}");
    Ok(())
}

#[test]
fn a_golden_output_of_another_shape_is_a_finding() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let path = model.join("golden.safetensors");
    let mut tensors = engine::weights::load_tensors(&path)?;
    let narrow = tensors["input"].narrow(0, 0, 1)?.contiguous()?;
    tensors.insert("input".to_owned(), narrow);
    engine::weights::save(&path, &tensors, &engine::WeightsMetadata::default())?;

    let golden = zoo::verify(&model, &Device::Cpu)?.golden;

    let GoldenCheck::Failed { reason } = golden else { panic!("{golden:?}") };
    assert!(reason.contains("do not fit a network of 2 channels and 3 classes"), "{reason}");
    Ok(())
}

#[test]
fn loading_refuses_what_was_not_packed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let model = packed(folder.path(), 1, "model")?;
    let path = model.join("config.json");
    let text = fs::read_to_string(&path)?.replace("1.5", "2.5");
    fs::write(&path, text)?;

    let error = zoo::load(&model).unwrap_err().to_string();

    let expected = "is not usable: it is not the file that was packed, by its SHA-256 hash; get the \
                    model again";
    assert_eq!(error, format!("{} {expected}", path.display()));
    fs::remove_file(&path)?;
    assert!(zoo::load(&model).unwrap_err().to_string().contains("it is missing"));
    Ok(())
}

#[test]
fn what_is_no_model_is_refused_with_a_remedy() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = crate::fixture::run(folder.path(), 1)?;
    let refused = |path: &Path| zoo::verify(path, &Device::Cpu).unwrap_err().to_string();

    let path = folder.path();
    assert_eq!(
        refused(path),
        format!(
            "{} is no model folder: it has no SHA256SUMS; give a folder that `sconce zoo pack` made",
            path.display()
        )
    );
    assert_eq!(
        refused(&run),
        format!(
            "{} is no model folder: it has no SHA256SUMS; it looks like a run: pack it with \
             `sconce zoo pack`",
            run.display()
        )
    );
    let nowhere = path.join("nowhere");
    assert_eq!(
        refused(&nowhere),
        format!("{} is no model folder: it does not exist; check the path", nowhere.display())
    );
    let error = zoo::load(path).unwrap_err().to_string();
    assert!(error.contains("it is no model: it has no model.safetensors"), "{error}");
    Ok(())
}
