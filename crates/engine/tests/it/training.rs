//! A training run learns, repeats itself, and survives an interruption.

use std::fs;

use candle::Device;
use engine::{PredictConfig, Predictor, Trained, WeightsMetadata, file, weights};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, train_into, train_on, validated};

#[test]
fn a_3d_network_learns_balls_and_says_so() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 8), Balls::new(6, [8, 18, 20]));

    let outcome = train_into(folder.path(), &config, &balls, false, None)?;

    let first = outcome.history[0].train_loss;
    let last = outcome.history[7].train_loss;
    assert!(last < 0.7 * first, "loss went from {first} to {last}");
    let validation = validated(folder.path(), &config, &balls, &outcome)?;
    let dice = validation.raw.masks["ball"]["dice"].mean.unwrap_or_default();
    assert!(dice > 0.9, "held-out Dice is {dice}");
    assert_eq!(validation.raw.cases.len(), 2);
    let (raw, calibrated) = (&validation.raw, &validation.calibrated);
    assert_eq!(raw.masks["ball"]["dice"], calibrated.masks["ball"]["dice"]);
    Ok(())
}

#[test]
fn a_2d_network_learns_slices_and_volumes_slice_by_slice() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, slices) = (config(2, 4), Balls::new(6, [1, 18, 20]));
    train_into(folder.path(), &config, &slices, false, None)?;
    let trained = Trained::load(folder.path())?;
    let predictor = Predictor::new(&trained, PredictConfig::default(), &device())?;

    let volume = Balls::new(1, [5, 18, 20]);
    let case = data::Dataset::read(&volume, "ball_0")?;
    let labels = predictor.predict_case(&case)?.labels()?;

    assert_eq!(labels.grid, case.image.grid);
    assert_eq!(labels.values(), [0, 1]);
    Ok(())
}

// How many threads there are is a setting of the process: the program's tests train with one and
// with two.
#[test]
fn one_seed_gives_one_network() -> anyhow::Result<()> {
    let (one, two) = (tempdir()?, tempdir()?);
    let (config, balls) = (config(3, 2), Balls::new(6, [8, 18, 20]));

    train_on(&Device::Cpu, one.path(), &config, &balls, false, None)?;
    train_on(&Device::Cpu, two.path(), &config, &balls, false, None)?;

    for file in ["model.safetensors", "checkpoint.safetensors", "plan.json", "config.json"] {
        let (a, b) = (fs::read(one.path().join(file))?, fs::read(two.path().join(file))?);
        assert!(a == b, "{file} differs");
    }
    Ok(())
}

#[test]
fn weights_say_which_network_they_are_of() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);
    let outcome = train_into(folder.path(), &config(3, 1), &balls, false, None)?;
    let path = folder.path().join("model.safetensors");

    let (tensors, metadata): (_, Value) = weights::load(&path)?;

    let network = &outcome.trained.config;
    assert_eq!(metadata["architecture"], serde_json::to_value(&network.architecture)?);
    assert_eq!(metadata["architecture"]["unet"]["strides"], json!([[1, 1, 1], [2, 2, 2]]));
    assert_eq!(metadata["interface"], json!({ "channels": 1, "classes": 2, "rank": 3 }));
    assert_eq!((&metadata["dataset"], &metadata["seed"]), (&json!("Balls"), &json!(3)));
    assert_eq!(metadata["activation"], "softmax");
    assert_eq!(metadata["classes"][1], json!({ "name": "ball", "values": [1] }));
    let hash = || -> anyhow::Result<String> { Ok(file::sha256(fs::File::open(&path)?)?) };
    assert_eq!(outcome.trained.weights_hash()?, hash()?);
    assert_eq!(Trained::load(folder.path())?.weights_hash()?, hash()?);

    // As files were before they said so.
    weights::save(&path, &tensors, &json!({ "format": "sconce", "schema": 1 }))?;
    let old = Trained::load(folder.path())?;
    assert_eq!(old.metadata, WeightsMetadata::default());
    assert_eq!(old.weights_hash()?, hash()?);
    Ok(())
}

#[test]
fn another_seed_gives_another_network() -> anyhow::Result<()> {
    let (one, two) = (tempdir()?, tempdir()?);
    let balls = Balls::new(6, [8, 18, 20]);
    let mut config = config(3, 1);

    train_into(one.path(), &config, &balls, false, None)?;
    config.seed += 1;
    train_into(two.path(), &config, &balls, false, None)?;

    let read = |folder: &tempfile::TempDir| fs::read(folder.path().join("model.safetensors"));
    assert!(read(&one)? != read(&two)?);
    Ok(())
}

#[test]
fn an_interrupted_run_comes_to_the_same_network() -> anyhow::Result<()> {
    let (whole, broken) = (tempdir()?, tempdir()?);
    let (config, balls) = (config(3, 3), Balls::new(6, [8, 18, 20]));

    train_on(&Device::Cpu, whole.path(), &config, &balls, false, None)?;
    let stopped = train_on(&Device::Cpu, broken.path(), &config, &balls, false, Some(1))?;
    assert!(stopped.stopped);
    let resumed = train_on(&Device::Cpu, broken.path(), &config, &balls, true, None)?;

    assert_eq!(resumed.history.len(), 3);
    for file in ["model.safetensors", "checkpoint.safetensors"] {
        let (a, b) = (fs::read(whole.path().join(file))?, fs::read(broken.path().join(file))?);
        assert!(a == b, "{file} differs");
    }
    Ok(())
}
