use std::fs;
use std::path::{Path, PathBuf};

use candle::Device;
use sconce_zoo::{self as zoo, PackOptions, SHIPPED};

/// The folders of the models that ship.
fn folders() -> Vec<(zoo::Shipped, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    SHIPPED.iter().map(|&model| (model, root.join(model.name))).collect()
}

#[test]
fn every_model_that_ships_is_whole_and_computes_what_it_did() -> anyhow::Result<()> {
    for (model, folder) in folders() {
        let verification = zoo::verify(&folder, &Device::Cpu)?;
        assert!(verification.ok(), "{verification}");
        for name in [
            "CITATION.cff",
            "LICENSE",
            "golden.safetensors",
            "eval/summary.json",
            "calibration.json",
            "split.json",
        ] {
            assert!(
                verification.files.iter().any(|file| file.name == name),
                "{}: {name}",
                model.name
            );
        }
        let bytes = fs::metadata(folder.join("model.safetensors"))?.len();
        assert!(bytes <= 8_000_000, "{}: {bytes} bytes of weights", model.name);
        let card = fs::read_to_string(folder.join("README.md"))?;
        assert!(card.contains("not a medical device"), "{}", model.name);
    }
    Ok(())
}

/// Made anew of what is stored, a card is what it was: its numbers are those of the evaluation.
#[test]
fn cards_say_what_the_stored_evaluation_says() -> anyhow::Result<()> {
    for (model, folder) in folders() {
        let again = tempfile::tempdir()?;
        let evaluation = Some(folder.join("eval/summary.json"));
        let options = PackOptions { evaluation, ..model.pack_options() };
        let packed = zoo::pack(&folder, &again.path().join(model.name), &options)?;
        for name in ["README.md", "CITATION.cff", "LICENSE", "config.json", "model.safetensors"] {
            let [old, new] = [&folder, &packed.folder].map(|place| fs::read(place.join(name)));
            assert!(old? == new?, "{}/{name} is not what its evaluation makes it", model.name);
        }
    }
    Ok(())
}

/// A student is what it is called: less than an eighth of its teacher.
#[test]
fn students_are_small() -> anyhow::Result<()> {
    let parameters = |folder: &Path| -> anyhow::Result<u64> {
        match zoo::show(folder)?.content {
            zoo::Content::Model(details) => Ok(details.parameters),
            zoo::Content::Problem(problem) => anyhow::bail!("{}: {problem}", folder.display()),
        }
    };
    for (model, folder) in folders() {
        if let Some(teacher) = model.teacher {
            let teacher = folder.with_file_name(teacher);
            assert!(8 * parameters(&folder)? <= parameters(&teacher)?, "{}", model.name);
        }
    }
    Ok(())
}
