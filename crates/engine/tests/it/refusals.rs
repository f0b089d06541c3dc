//! What cannot work is said before or where it happens, and costs nothing that was there.

use std::fs;

use data::Fold;
use engine::{RunFolder, StoredAs, Trained};
use tempfile::tempdir;

use crate::fixture::{Balls, config, train_into, validated};

#[test]
fn a_folder_with_a_run_is_not_overwritten() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    train_into(folder.path(), &config, &balls, false, None)?;
    let before = fs::read(folder.path().join("checkpoint.safetensors"))?;

    let error = train_into(folder.path(), &config, &balls, false, None).unwrap_err();

    assert!(error.to_string().contains("continue it with --resume"), "{error}");
    assert_eq!(fs::read(folder.path().join("checkpoint.safetensors"))?, before);
    Ok(())
}

#[test]
fn nothing_is_resumed_where_there_is_nothing() -> anyhow::Result<()> {
    let folder = tempdir()?;

    let error = train_into(folder.path(), &config(3, 1), &Balls::new(6, [8, 18, 20]), true, None)
        .unwrap_err();

    assert!(error.to_string().contains("holds no checkpoint"), "{error}");
    Ok(())
}

#[test]
fn a_run_is_not_resumed_with_other_settings_but_may_be_prolonged() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);
    let mut changed = config(3, 1);
    train_into(folder.path(), &changed, &balls, false, None)?;

    changed.train.learning_rate *= 2.0;
    let error = train_into(folder.path(), &changed, &balls, true, None).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");

    let longer = train_into(folder.path(), &config(3, 2), &balls, true, None)?;
    assert_eq!(longer.history.len(), 2);

    // Nor does it matter to a run as what its weights are stored once it is over.
    let size =
        || Ok::<_, std::io::Error>(folder.path().join("model.safetensors").metadata()?.len());
    let before = size()?;
    let mut halved = config(3, 2);
    halved.train.weights = StoredAs::F16;
    train_into(folder.path(), &halved, &balls, true, None)?;
    assert!(size()? * 10 < before * 6, "{} of {before} bytes", size()?);
    Ok(())
}

#[test]
fn a_run_does_not_go_on_with_other_cases_than_it_began_with() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let config = config(3, 1);
    train_into(folder.path(), &config, &Balls::new(6, [8, 18, 20]), false, None)?;
    let longer = crate::fixture::config(3, 2);
    let refused = |balls: &Balls| {
        train_into(folder.path(), &longer, balls, true, None).unwrap_err().to_string()
    };

    let split = folder.path().join("split.json");
    let remedy =
        "give the data folder that the run began with, or begin a new run in another folder";
    for (count, case) in [(7, "case ball_6 is new"), (5, "case ball_5 is gone")] {
        let expected =
            format!("the data set Balls has other cases than {} says ({case}); ", split.display());
        assert_eq!(refused(&Balls::new(count, [8, 18, 20])), expected + remedy);
    }
    let error = refused(&Balls::nested(6, [8, 18, 20]));
    assert!(error.contains("loss.cross_entropy.activation"), "{error}");
    let mut renamed = Balls::new(6, [8, 18, 20]);
    renamed.rename_class("bubble");
    let error = refused(&renamed);
    assert!(error.contains("has other channels or classes than") && error.ends_with(remedy));
    // Cases of the same names that hold something else.
    assert_eq!(
        refused(&Balls::new(6, [9, 18, 20])),
        "case ball_0 is not what it was when the run began; give the data that it began with, or begin a new run in \
         another folder"
    );
    // Held-out cases that are slices of what was trained on.
    let mut grouped = Balls::new(6, [8, 18, 20]);
    grouped.together = 6;
    assert!(refused(&grouped).contains("is held out, but"));
    fs::remove_file(split)?;
    let error = refused(&Balls::new(6, [8, 18, 20]));
    assert!(error.contains("split.json is not usable: it is missing"), "{error}");
    Ok(())
}

#[test]
fn what_is_held_out_stays_held_out() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);
    train_into(folder.path(), &config(3, 1), &balls, false, None)?;
    // As a run of an older rule for splits would have left it.
    let split = Fold {
        train: ["ball_1", "ball_2", "ball_3", "ball_4"].map(str::to_owned).to_vec(),
        val: ["ball_0", "ball_5"].map(str::to_owned).to_vec(),
    };
    engine::file::write_json(&folder.path().join("split.json"), &split)?;

    let outcome = train_into(folder.path(), &config(3, 2), &balls, true, None)?;

    assert_eq!(outcome.held_out, split.val);
    Ok(())
}

#[test]
fn a_run_is_not_resumed_for_fewer_epochs_than_are_done() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);
    train_into(folder.path(), &config(3, 2), &balls, false, None)?;

    let error = train_into(folder.path(), &config(3, 1), &balls, true, None).unwrap_err();

    let reason = "2 epochs are done already, but train.epochs is 1; set it to at least that, or begin \
                  a new run in another folder";
    assert!(error.to_string().ends_with(reason), "{error}");
    Ok(())
}

#[test]
fn files_of_a_newer_program_are_refused_as_such() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;
    validated(folder.path(), &config, &balls, &outcome)?;
    let newer = |name: &str, read: &dyn Fn() -> String| -> anyhow::Result<()> {
        let path = folder.path().join(name);
        let whole = fs::read(&path)?;
        // Within metadata of tensors, quotes are escaped; the file stays as long as it was.
        let newest = if name == "checkpoint.safetensors" { 2 } else { 1 };
        let of = |version: u32| [format!("\"schema\": {version}"), format!("schema\\\":{version}")];
        let mut bytes = whole.clone();
        for (from, to) in of(newest).into_iter().zip(of(9)) {
            if let Some(at) = bytes.windows(from.len()).position(|it| it == from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        assert!(bytes != whole, "{name} has no schema");
        fs::write(&path, bytes)?;
        let reason = format!(
            "is not usable: its schema is 9, but this program reads none above {newest}; use a newer \
             program"
        );
        assert_eq!(read(), format!("{} {reason}", path.display()));
        Ok(fs::write(&path, whole)?)
    };
    let run = RunFolder::at(folder.path());
    let load = || Trained::load(folder.path()).unwrap_err().to_string();

    for name in ["config.json", "plan.json", "model.safetensors"] {
        newer(name, &load)?;
    }
    newer("calibration.json", &|| run.read_calibration().unwrap_err().to_string())?;
    newer("checkpoint.safetensors", &|| {
        train_into(folder.path(), &config, &balls, true, None).unwrap_err().to_string()
    })?;
    newer("validation/summary.json", &|| {
        engine::report::of_folders(&[folder.path().to_owned()]).unwrap_err().to_string()
    })
}

#[test]
fn a_damaged_checkpoint_is_named() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    train_into(folder.path(), &config, &balls, false, None)?;
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path)?;
    fs::write(&path, &whole[..whole.len() / 2])?;

    let error = train_into(folder.path(), &config, &balls, true, None).unwrap_err();

    assert!(error.to_string().contains("checkpoint.safetensors is not usable"), "{error}");
    Ok(())
}

#[test]
fn cases_that_cannot_be_learned_from_are_named() -> anyhow::Result<()> {
    let mut balls = Balls::new(6, [8, 18, 20]);
    balls.broken = Some("ball_3".to_owned());
    let error =
        train_into(tempdir()?.path(), &config(3, 1), &balls, false, None).unwrap_err().to_string();
    assert!(error.contains("ball_3"), "{error}");

    let mut balls = Balls::new(6, [8, 18, 20]);
    balls.unlabeled = Some("ball_2".to_owned());
    let error =
        train_into(tempdir()?.path(), &config(3, 1), &balls, false, None).unwrap_err().to_string();
    assert!(error.contains("ball_2") && error.contains("no label"), "{error}");
    Ok(())
}

#[test]
fn a_network_too_deep_for_its_patch_is_refused() {
    let mut config = config(3, 1);
    let text = "features_per_stage = [2, 2, 2, 2, 2, 2, 2]";
    let model = format!("[unet]\n{text}");
    config.model = toml::from_str(&model).expect("a network");

    let folder = tempdir().expect("a folder");
    let error =
        train_into(folder.path(), &config, &Balls::new(6, [8, 18, 20]), false, None).unwrap_err();

    assert!(error.to_string().contains("7 stages"), "{error}");
}

#[test]
fn learning_that_explodes_stops_before_the_step() -> anyhow::Result<()> {
    let mut config = config(3, 3);
    config.train.learning_rate = 1e30;
    config.train.clip_gradient_norm = None;
    let folder = tempdir()?;

    let error =
        train_into(folder.path(), &config, &Balls::new(6, [8, 18, 20]), false, None).unwrap_err();

    let text = error.to_string();
    assert!(text.contains("in step") && text.contains("lower the learning rate"), "{text}");
    assert!(!folder.path().join("model.safetensors").exists());
    Ok(())
}

#[test]
fn learning_that_explodes_in_its_last_step_blames_no_case() -> anyhow::Result<()> {
    let mut config = config(3, 1);
    config.train.learning_rate = 1e30;
    config.train.iterations_per_epoch = 1;
    let folder = tempdir()?;

    let error =
        train_into(folder.path(), &config, &Balls::new(6, [8, 18, 20]), false, None).unwrap_err();

    let text = error.to_string();
    let start = "after epoch 0, the network's output is not finite for held-out patches of ball_";
    let end = ": training has diverged; lower train.learning_rate and begin again";
    assert!(text.starts_with(start) && text.ends_with(end), "{text}");
    for name in ["model.safetensors", "checkpoint.safetensors"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    Ok(())
}
