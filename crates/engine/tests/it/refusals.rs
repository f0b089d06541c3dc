//! What cannot work is said before or where it happens, and costs nothing that was there.

use std::fs;

use tempfile::tempdir;

use crate::fixture::{Balls, config, train_into};

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
    Ok(())
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
