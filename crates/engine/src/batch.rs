//! What one training step sees.

use candle::{Device, Tensor};
use losses::Target;
use preprocess::{Patch, Truth};

use crate::Result;

/// Patches of several cases, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The images, `(N, C_in, *S)`.
    pub images: Tensor,
    /// What they show.
    pub target: Target,
    /// The case that each patch is from.
    pub ids: Vec<String>,
}

impl Batch {
    /// Puts patches of one shape together. With `rank` 2, their only slice loses its axis. A
    /// class index of `classes` or more is ignored: its voxel has weight 0.
    ///
    /// # Errors
    ///
    /// Where patches differ in shape or in the kind of their truth.
    pub fn new(
        patches: Vec<(String, Patch)>,
        rank: usize,
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        let count = patches.len();
        let mut ids = Vec::with_capacity(count);
        let (mut images, mut hard, mut soft) = (Vec::new(), Vec::new(), Vec::new());
        let (mut weights, mut ignores) = (Vec::new(), false);
        let (mut channels, mut size) = (0, [0; 3]);
        for (id, patch) in patches {
            (channels, size) = (patch.image.shape()[0], patch.size());
            images.extend(patch.image.iter().copied());
            match patch.truth.weight(classes) {
                Some(weight) => {
                    ignores = true;
                    weights.extend(weight.iter().copied());
                }
                None => weights.extend(std::iter::repeat_n(1.0, size.iter().product())),
            }
            match patch.truth {
                // An ignored index is no class; its voxel has weight 0, so any class will do.
                Truth::Hard(indices) => {
                    hard.extend(indices.iter().map(|&index| {
                        if usize::from(index) < classes { u32::from(index) } else { 0 }
                    }))
                }
                Truth::Soft(probabilities) => soft.extend(probabilities.iter().copied()),
            }
            ids.push(id);
        }
        let space = if rank == 2 { &size[1..] } else { &size[..] };
        let shape = |lead: &[usize]| [lead, space].concat();
        let images = Tensor::from_vec(images, shape(&[count, channels]), device)?;
        let mut target = if hard.is_empty() {
            Target::soft(Tensor::from_vec(soft, shape(&[count, classes]), device)?)
        } else {
            Target::hard(Tensor::from_vec(hard, shape(&[count]), device)?)
        };
        if ignores {
            target = target.with_weight(Tensor::from_vec(weights, shape(&[count]), device)?);
        }
        Ok(Self { images, target, ids })
    }

    /// The same batch on another device.
    ///
    /// # Errors
    ///
    /// Where the device refuses.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            images: self.images.to_device(device)?,
            target: self.target.to_device(device)?,
            ids: self.ids.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;

    #[test]
    fn an_index_beyond_the_classes_gets_weight_zero() -> anyhow::Result<()> {
        let truth = Array3::from_shape_vec((1, 1, 4), vec![0, 1, 2, 1])?;
        let patch = Patch {
            image: Array4::zeros((1, 1, 1, 4)),
            truth: Truth::Hard(truth),
            outside: None,
            corner: [0; 3],
        };

        let batch = Batch::new(vec![("case".to_owned(), patch)], 2, 2, &Device::Cpu)?;

        assert_eq!(batch.images.dims(), [1, 1, 1, 4]);
        let weight = batch.target.weight().map(|weight| weight.flatten_all()?.to_vec1::<f32>());
        assert_eq!(weight.transpose()?, Some(vec![1.0, 1.0, 0.0, 1.0]));
        let losses::Labels::Hard(labels) = batch.target.labels() else {
            anyhow::bail!("the labels are hard")
        };
        assert_eq!(labels.flatten_all()?.to_vec1::<u32>()?, [0, 1, 0, 1]);
        Ok(())
    }
}
