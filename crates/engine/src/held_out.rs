use std::collections::BTreeSet;

use candle::{DType, Device, Tensor};
use models::{Input, Logits, Model};

use crate::step::{scalar, weighted_sum};
use crate::supervise::{Progress, Supervision};
use crate::{Batch, Error, LabelSpace, Loader, Result, Run};

/// The mean loss of held-out patches, and Dice of each foreground class over all of them together.
///
/// The loss is of those heads alone that the network has outside training; NaN, where none of them
/// is supervised.
///
/// # Errors
///
/// [`Error::Diverged`], where the network's output or the loss of it is not finite: what follows
/// would blame a case.
pub(crate) fn score(
    run: &Run<'_>,
    model: &dyn Model,
    supervision: &dyn Supervision,
    loader: &Loader<'_>,
    space: &LabelSpace,
    epoch: usize,
) -> Result<(f64, Vec<Option<f64>>)> {
    let train = &run.config.train;
    let steps = train.epochs * train.iterations_per_epoch;
    let progress = Progress { epoch, step: (epoch + 1) * train.iterations_per_epoch, steps };
    let (mut loss, mut overlap) = (0.0, vec![[0.0; 2]; space.channels()]);
    for iteration in 0..train.validation_iterations {
        let batch = loader.validation(iteration, &Device::Cpu)?.to_device(run.device)?;
        let images = batch.images.to_dtype(train.precision.dtype())?;
        let logits = model.forward_t(&Input::images(images), false)?;
        let logits = detached(&logits);
        let diverged = |what| {
            let cases: BTreeSet<&String> = batch.ids.iter().collect();
            let cases = cases.into_iter().cloned().collect();
            Error::Diverged { epoch, what, cases }
        };
        if !is_finite(logits.main())? {
            return Err(diverged("the network's output"));
        }
        let terms = supervision.terms(&batch, &logits, progress)?;
        let of_batch = weighted_sum(&terms, &logits)?.as_ref().map(scalar).transpose()?;
        if of_batch.is_some_and(|loss| !loss.is_finite()) {
            return Err(diverged("the loss"));
        }
        loss += of_batch.unwrap_or(f64::NAN);
        count(logits.main(), &batch, space, &mut overlap)?;
    }
    let ranks = run.group.size();
    if ranks > 1 {
        let mut sums: Vec<f64> = overlap.iter().flatten().copied().chain([loss]).collect();
        run.group.sum_f64(&mut sums)?;
        loss = sums.pop().unwrap_or(loss) / ranks as f64;
        overlap = sums.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    }
    let dice = overlap[space.foreground()].iter();
    let dice = dice.map(|&[both, sum]| (sum > 0.0).then(|| 2.0 * both / sum));
    Ok((loss / train.validation_iterations as f64, dice.collect()))
}

/// Whether every value is a finite number: of no other is the product with 0 a number.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    let nothing = (tensor * 0.0)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(scalar(&nothing)? == 0.0)
}

/// The same without the graph that a forward pass through trainable parameters has.
fn detached(logits: &Logits) -> Logits {
    let mut plain = Logits::new(logits.main().detach());
    for head in &logits.heads()[1..] {
        plain = plain.with(head.id, head.logits.detach());
    }
    plain
}

/// Adds, for each channel, the voxels that prediction and target share, and all that they have.
/// Ignored voxels count for neither.
fn count(
    logits: &Tensor,
    batch: &Batch,
    space: &LabelSpace,
    overlap: &mut [[f64; 2]],
) -> Result<()> {
    let expected = batch.target.probabilities(logits)?;
    let weight = batch.target.weight_like(logits)?;
    let weight = weight.map(|weight| weight.squeeze(1)).transpose()?;
    let sum = |mask: &Tensor, known: Option<&Tensor>| -> Result<f64> {
        let mask = mask.to_dtype(logits.dtype())?;
        let mask = match known {
            Some(known) => mask.broadcast_mul(&known.to_dtype(logits.dtype())?)?,
            None => mask,
        };
        let mask = match &weight {
            Some(weight) => (mask * weight.gt(0f64)?.to_dtype(logits.dtype())?)?,
            None => mask,
        };
        scalar(&mask.to_dtype(DType::F32)?.flatten_all()?.sum(0)?)
    };
    let masks: Box<dyn Fn(u32) -> candle::Result<(Tensor, Tensor)>> = match space {
        LabelSpace::Classes { .. } => {
            let (predicted, expected) = (logits.argmax(1)?, expected.argmax(1)?);
            Box::new(move |channel| Ok((predicted.eq(channel)?, expected.eq(channel)?)))
        }
        LabelSpace::Regions { .. } => {
            let (predicted, expected) = (logits.gt(0f64)?, expected.gt(0.5f64)?);
            Box::new(move |channel| {
                let of = |masks: &Tensor| masks.get_on_dim(1, channel as usize);
                Ok((of(&predicted)?, of(&expected)?))
            })
        }
    };
    for (channel, [both, all]) in (0u32..).zip(overlap) {
        let (predicted, expected) = masks(channel)?;
        let known = known(batch, channel as usize, &predicted)?;
        *both += sum(&(&predicted * &expected)?, known.as_ref())?;
        *all += sum(&predicted, known.as_ref())? + sum(&expected, known.as_ref())?;
    }
    Ok(())
}

/// 1 for each sample that says something of a channel, else 0, in a shape that goes with a mask `(N, *S)`; `None` where all do.
fn known(batch: &Batch, channel: usize, mask: &Tensor) -> Result<Option<Tensor>> {
    let Some(labelled) = batch.target.labelled() else { return Ok(None) };
    let of_samples: Vec<u8> =
        labelled.iter().map(|of_sample| u8::from(of_sample[channel])).collect();
    let mut shape = vec![1; mask.rank()];
    shape[0] = of_samples.len();
    Ok(Some(Tensor::from_vec(of_samples, shape, &Device::Cpu)?.to_device(mask.device())?))
}

#[cfg(test)]
mod tests {
    use losses::Target;

    use super::*;

    fn overlap(target: Target, space: &LabelSpace) -> anyhow::Result<Vec<[f64; 2]>> {
        // Channel 1 is predicted in the first and the last of four voxels, channel 0 elsewhere.
        let logits = Tensor::new(&[[[-1f32, 1., 1., -1.], [1., -1., -1., 1.]]], &Device::Cpu)?;
        let batch =
            Batch { images: logits.clone(), target, opinions: None, ids: vec!["case".to_owned()] };
        let mut overlap = vec![[0.0; 2]; 2];
        count(&logits, &batch, space, &mut overlap)?;
        Ok(overlap)
    }

    #[test]
    fn ignored_voxels_count_for_nothing() -> anyhow::Result<()> {
        let space = LabelSpace::Classes { count: 2 };
        let target = Target::hard(Tensor::new(&[[1u32, 0, 1, 0]], &Device::Cpu)?);

        assert_eq!(overlap(target.clone(), &space)?, [[1.0, 4.0], [1.0, 4.0]]);
        let weight = Tensor::new(&[[1f32, 1., 0., 0.]], &Device::Cpu)?;
        assert_eq!(overlap(target.with_weight(weight), &space)?, [[1.0, 2.0], [1.0, 2.0]]);
        Ok(())
    }

    #[test]
    fn a_class_that_is_not_labelled_counts_for_nothing() -> anyhow::Result<()> {
        let space =
            LabelSpace::Regions { members: vec![vec![1], vec![2]], paint: vec![1, 2], labels: 3 };
        let target = Target::regions(Tensor::new(&[[[1u8, 1, 1, 0], [1, 0, 0, 0]]], &Device::Cpu)?);

        let found = overlap(target.with_labelled(vec![vec![true, false]])?, &space)?;

        assert_eq!(found, [[2.0, 5.0], [0.0, 0.0]]);
        Ok(())
    }

    #[test]
    fn each_region_is_counted_by_itself() -> anyhow::Result<()> {
        let members = vec![vec![1, 2], vec![2]];
        let space = LabelSpace::Regions { members, paint: vec![1, 2], labels: 3 };
        let target = Target::regions(Tensor::new(&[[[1u8, 1, 1, 0], [1, 0, 0, 0]]], &Device::Cpu)?);

        assert_eq!(overlap(target, &space)?, [[2.0, 5.0], [1.0, 3.0]]);
        Ok(())
    }
}
