//! Checkpoints that nnU-Net wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use candle::Tensor;
use candle::pickle::read_all_with_key;
use golden::{Case, Group};
use sconce_pytorch::{Checkpoint, Item};

#[test]
fn golden_checkpoints_of_nnunet() {
    Group::load_folders("nnunet_models").check(
        |case| case.function == "stages",
        &[],
        |case| {
            let found = checkpoints(case)?;
            ensure!(!found.is_empty(), "no checkpoint");
            for path in &found {
                let mut checkpoint = Checkpoint::open(path)?;
                facts(&checkpoint.root()).with_context(|| path.display().to_string())?;
                weights(path, &mut checkpoint).with_context(|| path.display().to_string())?;
            }
            Ok(())
        },
    );
}

fn checkpoints(case: &Case) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for fold in fs::read_dir(case.file("", "model"))? {
        let path = fold?.path().join("checkpoint_final.pth");
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Weights are, to the bit, those that candle's reader finds.
fn weights(path: &PathBuf, checkpoint: &mut Checkpoint) -> anyhow::Result<()> {
    let others = read_all_with_key(path, Some("network_weights"))?;
    let others: BTreeMap<String, Tensor> = others.into_iter().collect();
    let weights = checkpoint.root().get("network_weights").context("no weights")?;
    let tensors = weights.tensors().map_err(anyhow::Error::msg)?;
    let tensors: Vec<_> =
        tensors.into_iter().map(|(name, info)| (name.to_owned(), info.clone())).collect();
    ensure!(tensors.len() == others.len(), "{} of {} tensors", tensors.len(), others.len());
    for (name, info) in tensors {
        let (one, other) = (checkpoint.load(&info)?, &others[&name]);
        ensure!(one.dims() == other.dims() && bits(&one)? == bits(other)?, "{name}");
    }
    Ok(())
}

fn bits(tensor: &Tensor) -> anyhow::Result<Vec<u32>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(f32::to_bits).collect())
}

/// What lies beside the weights.
fn facts(root: &Item<'_>) -> anyhow::Result<()> {
    let trainer = root.get("trainer_name").and_then(|it| it.text()).context("no trainer")?;
    ensure!(trainer.starts_with("nnUNetTrainer"), "{trainer}");
    let axes = root.get("inference_allowed_mirroring_axes").context("no axes")?;
    let axes: Vec<_> = axes.parts().context("no tuple")?.filter_map(|it| it.int()).collect();
    ensure!(axes.len() >= 2 && axes.iter().all(|axis| (0..3).contains(axis)), "{axes:?}");
    let start = root.get("init_args").context("no init_args")?;
    let plans = start.get("plans").context("no plans")?;
    ensure!(plans.get("plans_name").is_some_and(|it| it.text().is_some()));
    ensure!(start.get("configuration").is_some_and(|it| it.text().is_some()));
    ensure!(root.get("current_epoch").is_some_and(|it| it.int().is_some()));
    Ok(())
}
