//! What must not change a loss: where voxels lie, an axis of one, and voxels that do not count.

use anyhow::Result;
use candle::{Tensor, Var};
use sconce_losses::{Labels, Loss, Target};

use super::batch::{Batch, agree, kinds, value, with_maps};
use crate::device::{self, device, dtype};

fn indices(target: &Target) -> &Tensor {
    let Labels::Hard(indices) = target.labels() else { panic!("batches have hard labels") };
    indices
}

#[test]
fn the_order_of_voxels_does_not_matter() -> Result<()> {
    for (name, loss) in kinds()? {
        let needs = loss.needs();
        if needs.neighbors || needs.components {
            // Where voxels lie is what they are about.
            continue;
        }
        let Batch { logits, target } = Batch::of(&[20])?;
        let order: Vec<u32> = (0..20).map(|i| i * 7 % 20).collect();
        let order = Tensor::new(order, &device())?;
        let distance = target.distance().unwrap().index_select(&order, 2)?;
        let target_of = Target::hard(indices(&target).index_select(&order, 1)?);
        let target_of = target_of.with_distance(distance);

        let moved = value(&loss, &logits.index_select(&order, 2)?, &target_of)?;

        agree(moved, value(&loss, &logits, &target)?, 1e-13, &name);
    }
    Ok(())
}

#[test]
fn an_image_is_a_volume_of_depth_one() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let deep = with_maps(Target::hard(indices(&target).unsqueeze(1)?), &[1, 4, 5])?;

        let volume = value(&loss, &logits.unsqueeze(2)?, &deep)?;

        agree(volume, value(&loss, &logits, &target)?, 1e-14, &name);
    }
    Ok(())
}

/// The batch with a third of its voxels ignored, and what those hold replaced.
fn with_garbage(logit: f64, class: u32) -> Result<(Var, Target, Tensor)> {
    let Batch { logits, target } = Batch::of(&[4, 5])?;
    let ignored: Vec<u8> = (0..40).map(|i| u8::from(i % 3 == 1)).collect();
    let ignored = Tensor::from_vec(ignored, (2, 4, 5), &device())?;
    let everywhere = ignored.unsqueeze(1)?.broadcast_as(logits.shape())?.contiguous()?;
    let alternating = (logits.sign()? * logit)?;
    let logits = everywhere.where_cond(&alternating, &logits)?;
    let labels = (indices(&target).zeros_like()? + f64::from(class))?;
    let labels = ignored.where_cond(&labels, indices(&target))?;
    let weight = (1.0 - ignored.to_dtype(dtype())?)?;
    let target = with_maps(Target::hard(labels).with_weight(weight), &[4, 5])?;
    Ok((Var::from_tensor(&logits)?, target, everywhere))
}

#[test]
fn an_ignored_voxel_takes_no_part() -> Result<()> {
    for (name, loss) in kinds()? {
        let (logits, target, ignored) = with_garbage(0.3, 0)?;
        let expected = value(&loss, &logits, &target)?;
        for (logit, class) in [(5.0, 1), (-1e4, 2), (1e4, 255)] {
            let (logits, target, _) = with_garbage(logit, class)?;
            let loss = loss.forward(&logits, &target)?;
            agree(device::value(&loss)?, expected, 1e-13, &name);

            let gradient = loss.backward()?;
            let gradient = (gradient.get(&logits).unwrap() * ignored.to_dtype(logits.dtype())?)?;
            let most = device::value(&gradient.abs()?.flatten_all()?.max(0)?)?;
            agree(most, 0.0, 0.0, &name);
        }
    }
    Ok(())
}

#[test]
fn a_weight_of_one_everywhere_changes_nothing() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let ones = Tensor::ones((2, 4, 5), dtype(), &device())?;

        let weighted = value(&loss, &logits, &target.clone().with_weight(ones))?;

        agree(weighted, value(&loss, &logits, &target)?, 1e-14, &name);
    }
    Ok(())
}
