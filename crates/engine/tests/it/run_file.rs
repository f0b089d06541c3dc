//! What a run file may say, and how its mistakes are told.

use std::fs;
use std::path::PathBuf;

use engine::config::Source;
use engine::{PRESETS, RunConfig};
use tempfile::TempDir;

/// A run file with these lines at its end.
fn file(lines: &str) -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run.toml");
    let text = "schema = 1\n[data.nnunet_raw]\n[model.unet]\n[loss.cross_entropy]\n";
    fs::write(&path, format!("{text}{lines}"))?;
    Ok((folder, path))
}

fn refusal(lines: &str) -> anyhow::Result<String> {
    let (_folder, path) = file(lines)?;
    let error = RunConfig::read(&path).expect_err(lines).to_string();
    Ok(error.replace(&path.display().to_string(), "FILE"))
}

#[test]
fn a_file_whose_settings_are_out_of_range_is_named() -> anyhow::Result<()> {
    assert_eq!(
        refusal("[train]\nepochs = 0")?,
        "FILE is not usable: train.epochs is 0; at least 1 is needed"
    );
    assert_eq!(
        refusal("[split]\nfold = 7")?,
        "FILE is not usable: split.fold is 7 of split.folds = 5; folds are at least 2 and counted \
         from 0"
    );
    let error = refusal("[train]\nepochs = 9000000000000000000\niterations_per_epoch = 9")?;
    assert!(error.contains("are more than 4294967295 steps; use fewer"), "{error}");
    Ok(())
}

#[test]
fn a_number_out_of_its_range_is_pointed_at() -> anyhow::Result<()> {
    let place = "FILE is not a run file: line 6, column";
    for (lines, expected) in [
        ("[optimizer.sgd]\nmomentum = 2", "12: 2 is not a number from 0 to below 1"),
        ("[optimizer.adam]\nbetas = [0.9, 1.0]", "9: 1 is not a number from 0 to below 1"),
        ("[optimizer.adam_w]\neps = 0.0", "7: 0 is not a positive, finite number"),
        ("[optimizer.r_adam]\nweight_decay = -1.0", "16: -1 is not a finite number of 0 or more"),
        ("[predict]\nstep_size = 1e-9", "13: 0.000000001 is not a number from 0.05 to 1"),
    ] {
        assert_eq!(refusal(lines)?, format!("{place} {expected}"));
    }
    Ok(())
}

#[test]
fn an_assignment_that_makes_a_good_file_wrong_is_to_blame_and_not_the_file() -> anyhow::Result<()> {
    let (_folder, path) = file("[train]\nepochs = 1")?;
    let refusal = |assignment: &str| {
        let read = RunConfig::read_with(&path, &[assignment.to_owned()]);
        read.expect_err(assignment).to_string()
    };

    assert_eq!(refusal("train.epochs=0"), "train.epochs is 0; at least 1 is needed");
    assert_eq!(
        refusal("optimizer.sgd.momentum=2"),
        "optimizer.sgd.momentum=2: 2 is not a number from 0 to below 1"
    );
    assert_eq!(
        refusal("predict.step_size=1e-9"),
        "predict.step_size=1e-9: 0.000000001 is not a number from 0.05 to 1"
    );
    Ok(())
}

#[test]
fn an_assignment_mends_a_wrong_file() -> anyhow::Result<()> {
    let (_folder, path) = file("[train]\nepochs = 0")?;

    let config = RunConfig::read_with(&path, &["train.epochs=3".to_owned()])?;

    assert_eq!(config.train.epochs, 3);
    // Of two mistakes, what is left is the file's.
    let error = RunConfig::read_with(&path, &["seed=4".to_owned()]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{} is not usable: train.epochs is 0; at least 1 is needed", path.display())
    );
    Ok(())
}

#[test]
fn each_preset_is_a_run_file_and_what_a_file_says_comes_first() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run.toml");
    for preset in PRESETS {
        fs::write(&path, format!("schema = 1\npreset = {:?}\n[data.nnunet_raw]\n", preset.name))?;

        let (config, sources) = RunConfig::read_traced(&path, &["train.epochs=3".to_owned()])?;

        assert_eq!(config.train.epochs, 3, "{}", preset.name);
        assert_eq!(sources.of("train.epochs"), Source::Assignment);
        assert_eq!(sources.of("train.learning_rate"), Source::Preset(preset.name));
        assert_eq!(sources.of("data.nnunet_raw"), Source::File);
        assert_eq!(sources.of("data.nnunet_raw.unlabelled"), Source::Default);
        assert_eq!(sources.of("predict.step_size"), Source::Default);
        // Written out, it is the same run.
        fs::write(&path, config.to_toml()?)?;
        assert_eq!(RunConfig::read(&path)?, config, "{}", preset.name);
        fs::write(&path, config.explained(&sources)?)?;
        assert_eq!(RunConfig::read(&path)?, config, "{}", preset.name);
    }
    Ok(())
}

#[test]
fn a_file_changes_a_preset() -> anyhow::Result<()> {
    let text = "schema = 1\npreset = \"nnunet\"\n[data.nnunet_raw]\n[optimizer.adam_w]\n\
                [train]\nbatch_size = 5\nclip_gradient_norm = inf\n";

    let config = RunConfig::from_text(text)?;

    assert!(matches!(config.optimizer, nn::OptimizerConfig::AdamW(_)));
    assert_eq!((config.train.epochs, config.train.batch_size), (1000, 5));
    assert_eq!(config.train.clip_gradient_norm, None);
    assert_eq!(RunConfig::from_text(&config.to_toml()?)?, config);
    let error = RunConfig::from_text("schema = 1\npreset = \"nnnet\"\n[data.nnunet_raw]");
    let error = error.unwrap_err().to_string();
    assert!(error.contains("there is no preset \"nnnet\"; there are nnunet, "), "{error}");
    Ok(())
}
