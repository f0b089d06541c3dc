//! What one training step sees.

use candle::{Device, Tensor};
use losses::Target;
use ndarray::Axis;
use preprocess::{Patch, Truth};

use crate::maps::{MapSettings, Maps};
use crate::{Error, LabelSpace, Result};

/// Patches of several cases, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The images, `(N, C_in, *S)`.
    pub images: Tensor,
    /// What they show.
    pub target: Target,
    /// What teachers said of them before, `(N, C, *S)`, where there is a store of that.
    pub opinions: Option<Tensor>,
    /// The case that each patch is from.
    pub ids: Vec<String>,
}

/// The labels of all patches, one after the other.
#[derive(Default)]
struct Labels {
    /// Class indices.
    hard: Vec<u32>,
    /// Masks of regions.
    masks: Vec<u8>,
    /// Probabilities of classes or regions.
    soft: Vec<f32>,
}

impl Batch {
    /// Puts patches of one shape together. With `rank` 2, their only slice loses its axis. An
    /// ignored voxel, whose label is beyond those of `space`, has weight 0. The target gets the maps that
    /// `maps` names.
    ///
    /// # Errors
    ///
    /// Where patches differ in shape or in the kind of their truth.
    pub fn new(
        patches: Vec<(String, Patch)>,
        rank: usize,
        space: &LabelSpace,
        maps: &MapSettings,
        device: &Device,
    ) -> Result<Self> {
        let count = patches.len();
        let (mut ids, mut images) = (Vec::with_capacity(count), Vec::new());
        let (mut labels, mut weights, mut ignores) = (Labels::default(), Vec::new(), false);
        let mut opinions: Vec<f32> = Vec::new();
        let (mut channels, mut size, mut made) = (0, [0; 3], Maps::default());
        for (id, patch) in patches {
            (channels, size) = (patch.image.shape()[0], patch.size());
            images.extend(patch.image.iter().copied());
            match patch.truth.weight(space.labels()) {
                Some(weight) => {
                    ignores = true;
                    weights.extend(weight.iter().copied());
                }
                None => weights.extend(std::iter::repeat_n(1.0, size.iter().product())),
            }
            labels.add(&patch.truth, space);
            made.add(&patch.truth, space, maps);
            for opinion in &patch.further {
                match (opinion, space) {
                    (Truth::Soft(classes), LabelSpace::Classes { .. }) => {
                        opinions.extend(classes.iter().copied());
                    }
                    // Those of a region are of outside and inside.
                    (Truth::Soft(region), _) => opinions.extend(region.index_axis(Axis(0), 1)),
                    (Truth::Hard(_), _) => {
                        let text = format!("what teachers say of case {id} is no probability");
                        return Err(Error::Settings(text));
                    }
                }
            }
            ids.push(id);
        }
        let own = if rank == 2 { &size[1..] } else { &size[..] };
        let shape = |lead: &[usize]| [lead, own].concat();
        let images = Tensor::from_vec(images, shape(&[count, channels]), device)?;
        let each = shape(&[count, space.channels()]);
        let mut target = if !labels.hard.is_empty() {
            Target::hard(Tensor::from_vec(labels.hard, shape(&[count]), device)?)
        } else if !labels.masks.is_empty() {
            Target::regions(Tensor::from_vec(labels.masks, each.as_slice(), device)?)
        } else {
            Target::soft(Tensor::from_vec(labels.soft, each.as_slice(), device)?)
        };
        if ignores {
            target = target.with_weight(Tensor::from_vec(weights, shape(&[count]), device)?);
        }
        let opinions = (!opinions.is_empty())
            .then(|| Tensor::from_vec(opinions, each.as_slice(), device))
            .transpose()?;
        Ok(Self { images, target: made.complete(target, &each, device)?, opinions, ids })
    }

    /// The same, where cases say nothing of some classes: `labelled` tells of which each says something, as
    /// [`data::Dataset::labelled`].
    ///
    /// # Errors
    ///
    /// Where classes exclude each other, so that nothing can be said of some alone.
    pub fn labelling<'a>(
        self,
        space: &LabelSpace,
        labelled: impl Fn(&str) -> Option<&'a [usize]>,
    ) -> Result<Self> {
        let of_cases: Vec<Option<Vec<bool>>> =
            self.ids.iter().map(|id| space.labelled(labelled(id))).collect();
        if of_cases.iter().all(Option::is_none) {
            return Ok(self);
        }
        let all = || vec![true; space.channels()];
        let of_cases = of_cases.into_iter().map(|of_case| of_case.unwrap_or_else(all)).collect();
        Ok(Self { target: self.target.with_labelled(of_cases)?, ..self })
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
            opinions: self.opinions.as_ref().map(|it| it.to_device(device)).transpose()?,
            ids: self.ids.clone(),
        })
    }
}

impl Labels {
    fn add(&mut self, truth: &Truth, space: &LabelSpace) {
        match (truth, space) {
            (Truth::Hard(indices), LabelSpace::Classes { count }) => {
                // An ignored index is no class; its voxel has weight 0, so any class will do.
                let class = |&index| if usize::from(index) < *count { u32::from(index) } else { 0 };
                self.hard.extend(indices.iter().map(class));
            }
            (Truth::Hard(_), LabelSpace::Regions { .. }) => {
                self.masks.extend(space.probabilities(truth).iter().map(|&p| u8::from(p > 0.5)));
            }
            (Truth::Soft(_), _) => self.soft.extend(space.probabilities(truth)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;

    fn batch(labels: Vec<u16>, space: &LabelSpace) -> anyhow::Result<Batch> {
        let width = labels.len();
        let patch = Patch {
            image: Array4::zeros((1, 1, 1, width)),
            truth: Truth::Hard(Array3::from_shape_vec((1, 1, width), labels)?),
            further: Vec::new(),
            outside: None,
            corner: [0; 3],
        };
        let maps = MapSettings { needs: losses::Needs::default(), spacing: [1.0; 3] };
        Ok(Batch::new(vec![("case".to_owned(), patch)], 2, space, &maps, &Device::Cpu)?)
    }

    fn weights(batch: &Batch) -> anyhow::Result<Option<Vec<f32>>> {
        let weight = batch.target.weight().map(|weight| weight.flatten_all()?.to_vec1::<f32>());
        Ok(weight.transpose()?)
    }

    #[test]
    fn an_index_beyond_the_classes_gets_weight_zero() -> anyhow::Result<()> {
        let batch = batch(vec![0, 1, 2, 1], &LabelSpace::Classes { count: 2 })?;

        assert_eq!(batch.images.dims(), [1, 1, 1, 4]);
        assert_eq!(weights(&batch)?, Some(vec![1.0, 1.0, 0.0, 1.0]));
        let losses::Labels::Hard(labels) = batch.target.labels() else {
            anyhow::bail!("the labels are hard")
        };
        assert_eq!(labels.flatten_all()?.to_vec1::<u32>()?, [0, 1, 0, 1]);
        Ok(())
    }

    #[test]
    fn regions_get_a_mask_each_and_ignored_voxels_none() -> anyhow::Result<()> {
        let members = vec![vec![1, 2], vec![2]];
        let space = LabelSpace::Regions { members, paint: vec![1, 2], labels: 3 };

        let batch = batch(vec![0, 1, 2, 3], &space)?;

        assert_eq!(weights(&batch)?, Some(vec![1.0, 1.0, 1.0, 0.0]));
        let losses::Labels::Regions(masks) = batch.target.labels() else {
            anyhow::bail!("the labels are masks")
        };
        assert_eq!(masks.dims(), [1, 2, 1, 4]);
        assert_eq!(masks.flatten_all()?.to_vec1::<u8>()?, [0, 1, 1, 0, 0, 0, 1, 0]);
        Ok(())
    }
}
