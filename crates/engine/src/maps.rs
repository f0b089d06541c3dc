//! Distances and components of labels, for losses that look at them.

use candle::{Device, Tensor};
use losses::{Needs, Target};
use ndarray::Array3;
use preprocess::Truth;
use volume::{Components, Connectivity, distance_to};

use crate::{LabelSpace, Result};

/// Which maps go with a target, and how large voxels are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapSettings {
    /// Which of them are needed.
    pub needs: Needs,
    /// The distance between neighboring voxels along `(z, y, x)`, mm.
    pub spacing: [f64; 3],
}

/// The maps of some patches, one after the other: of each, `(C, D, H, W)`.
#[derive(Default)]
pub(crate) struct Maps {
    distance: Vec<f32>,
    components: Vec<u32>,
    counts: Vec<Vec<u32>>,
}

impl Maps {
    /// Adds those of a patch. A class covers the voxels where it is more likely than not.
    pub(crate) fn add(&mut self, truth: &Truth, space: &LabelSpace, settings: &MapSettings) {
        let Needs { distance, components, .. } = settings.needs;
        if !distance && !components {
            return;
        }
        let probabilities = space.probabilities(truth);
        let mut counts = Vec::new();
        for class in probabilities.outer_iter() {
            let mask = class.mapv(|p| p > 0.5);
            if distance {
                self.distance.extend(signed_distance(&mask, settings.spacing).iter());
            }
            if components {
                let parts = Components::of(&mask, |&inside| inside, Connectivity::Corners);
                self.components.extend(parts.labels().iter());
                // No more than voxels, whose number is one of 32 bits by far.
                counts.push(u32::try_from(parts.len()).unwrap_or(u32::MAX));
            }
        }
        if components {
            self.counts.push(counts);
        }
    }

    /// The target with all of them, `shape` being `(N, C, *S)`.
    pub(crate) fn complete(
        self,
        mut target: Target,
        shape: &[usize],
        device: &Device,
    ) -> Result<Target> {
        if !self.distance.is_empty() {
            target = target.with_distance(Tensor::from_vec(self.distance, shape, device)?);
        }
        if !self.components.is_empty() {
            let components = Tensor::from_vec(self.components, shape, device)?;
            target = target.with_components(components, self.counts)?;
        }
        Ok(target)
    }
}

/// The distance of each voxel to the boundary of the mask, mm, negative inside; 0 everywhere where there is
/// no boundary. The boundary lies half a voxel, of the shortest extent, from the voxels on both sides of
/// it, so that no voxel lies on it.
fn signed_distance(mask: &Array3<bool>, spacing: [f64; 3]) -> Array3<f32> {
    let extents =
        [0, 1, 2].map(|axis| if mask.shape()[axis] > 1 { spacing[axis] } else { f64::MAX });
    let half = 0.5 * extents.into_iter().fold(f64::MAX, f64::min);
    let to_mask = distance_to(mask, |&inside| inside, spacing);
    let to_rest = distance_to(mask, |&inside| !inside, spacing);
    let mut distance = Array3::zeros(mask.dim());
    ndarray::Zip::from(&mut distance).and(&to_mask).and(&to_rest).for_each(
        |distance, &to_mask, &to_rest| {
            if to_mask.is_finite() && to_rest.is_finite() {
                let signed = if to_mask > 0.0 { to_mask - half } else { half - to_rest };
                *distance = narrow(signed);
            }
        },
    );
    distance
}

#[expect(clippy::cast_possible_truncation, reason = "tensors are of single precision")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    fn of(labels: Array3<u16>, needs: Needs) -> anyhow::Result<Target> {
        let (depth, height, width) = labels.dim();
        let truth = Truth::Hard(labels);
        let space = LabelSpace::Classes { count: 3 };
        let mut maps = Maps::default();
        maps.add(&truth, &space, &MapSettings { needs, spacing: [5.0, 2.0, 2.0] });
        let target = Target::hard(Tensor::zeros(
            (1, depth, height, width),
            candle::DType::U32,
            &Device::Cpu,
        )?);
        Ok(maps.complete(target, &[1, 3, depth, height, width], &Device::Cpu)?)
    }

    #[test]
    fn distances_are_to_the_boundary_and_absent_classes_have_none() -> anyhow::Result<()> {
        let needs = Needs { distance: true, ..Needs::default() };

        let target = of(arr3(&[[[1, 1, 0, 0]]]), needs)?;

        let distance = target.distance().unwrap().flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(distance[..4], [3.0, 1.0, -1.0, -3.0]);
        assert_eq!(distance[4..8], [-3.0, -1.0, 1.0, 3.0]);
        assert_eq!(distance[8..], [0.0; 4]);
        Ok(())
    }

    #[test]
    fn nothing_is_made_that_nothing_needs() -> anyhow::Result<()> {
        let target = of(arr3(&[[[1, 0, 2, 0]]]), Needs::default())?;

        assert!(target.distance().is_none());
        Ok(())
    }

    #[test]
    fn a_loss_of_components_takes_them() -> anyhow::Result<()> {
        use losses::{Blob, Loss as _};
        let needs = Needs { components: true, ..Needs::default() };

        let target = of(arr3(&[[[1, 0, 1, 0], [0, 0, 0, 2]]]), needs)?;

        let logits = Tensor::zeros((1, 3, 1, 2, 4), candle::DType::F32, &Device::Cpu)?;
        assert!(Blob::default().forward(&logits, &target)?.to_scalar::<f32>()? > 0.0);
        Ok(())
    }
}
