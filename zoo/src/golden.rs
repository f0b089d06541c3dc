//! What a network computed where it was packed, to be compared with what it computes here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle::{DType, Device, Tensor};
use engine::{Trained, WeightsMetadata, weights};
use models::{Input, Interface, Model};
use serde::Serialize;

use crate::load::{PREVIOUS, folds};
use crate::{Error, Result};

const NAME: &str = "golden.safetensors";

/// How a network's output compares with the one that was packed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GoldenCheck {
    /// Both are there.
    Compared {
        /// The largest difference of a logit; `None` where it is not finite.
        max_abs_difference: Option<f64>,
        /// How large it may be.
        tolerance: f64,
    },
    /// It could not be computed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl GoldenCheck {
    /// Which of two is farther from what it should be, as a share of what it may be.
    fn worse(&self, other: &Self) -> std::cmp::Ordering {
        let share = |check: &Self| match check {
            Self::Compared { max_abs_difference: Some(difference), tolerance } => {
                difference / tolerance
            }
            Self::Compared { max_abs_difference: None, .. } | Self::Failed { .. } => f64::INFINITY,
        };
        share(self).total_cmp(&share(other))
    }

    /// Whether the network computes what it should.
    pub fn ok(&self) -> bool {
        match self {
            Self::Compared { max_abs_difference, tolerance } => {
                max_abs_difference.is_some_and(|difference| difference <= *tolerance)
            }
            Self::Failed { .. } => false,
        }
    }
}

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Computes the network's logits for a small input on the CPU, and writes both: `input`
/// `(C_in, D, H, W)` and `logits` `(C, D, H, W)`, where `D` is 1 at rank 2.
pub(crate) fn write(path: &Path, trained: &Trained) -> Result<()> {
    let model = trained.build(&Device::Cpu)?;
    let input = input(model.as_ref())?;
    let logits = logits(model.as_ref(), &input)?;
    if !magnitude(&logits)?.is_finite() {
        return Err(Error::File {
            path: path.to_owned(),
            reason: "the network's output is not finite; its weights are of no use".to_owned(),
        });
    }
    let tensors = BTreeMap::from([("input".to_owned(), input), ("logits".to_owned(), logits)]);
    Ok(weights::save(path, &tensors, &WeightsMetadata::default())?)
}

/// Computes the logits again on a device, and compares; of several networks, those before them included, it says what the worst does.
pub(crate) fn check(folder: &Path, device: &Device) -> GoldenCheck {
    let all = networks(folder).and_then(|networks| {
        networks.iter().map(|network| compare(network, device)).collect::<Result<Vec<_>>>()
    });
    match all {
        Ok(all) => all.into_iter().max_by(GoldenCheck::worse).expect("one network at least"),
        Err(error) => GoldenCheck::Failed { reason: error.with_causes() },
    }
}

/// The folders of all networks of a model, those that speak first included.
fn networks(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = folds(folder)?;
    if found.is_empty() {
        found.push(folder.to_owned());
    }
    let previous = folder.join(PREVIOUS);
    if previous.is_dir() {
        found.extend(networks(&previous)?);
    }
    Ok(found)
}

fn compare(folder: &Path, device: &Device) -> Result<GoldenCheck> {
    let path = path(folder);
    let (tensors, _): (_, WeightsMetadata) = weights::load_versioned(&path)?;
    let wrong = |reason: String| Error::File { path: path.clone(), reason };
    let tensor = |name: &str| {
        tensors.get(name).ok_or_else(|| wrong(format!("it has no {name}; get the model again")))
    };
    let (input, expected) = (tensor("input")?, tensor("logits")?);
    let trained = Trained::load(folder)?;
    let Interface { channels, classes, .. } = trained.config.interface;
    let fits = input.rank() == 4
        && expected.rank() == 4
        && (input.dim(0)?, expected.dim(0)?) == (channels, classes)
        && input.dims()[1..] == expected.dims()[1..]
        && [input, expected].iter().all(|tensor| tensor.dtype() == DType::F32);
    if !fits {
        return Err(wrong(format!(
            "its input {:?} and logits {:?} do not fit a network of {channels} channels and \
             {classes} classes; get the model again",
            input.shape(),
            expected.shape()
        )));
    }
    let model = trained.build(device)?;
    let actual = logits(model.as_ref(), &input.to_device(device)?)?;
    let difference = magnitude(&(actual.to_device(&Device::Cpu)? - expected)?)?;
    Ok(GoldenCheck::Compared {
        max_abs_difference: difference.is_finite().then_some(difference),
        tolerance: tolerance(device, magnitude(expected)?),
    })
}

/// How far logits of that magnitude may be off: rounding adds up differently with other kernels and
/// numbers of threads, and more so where a GPU multiplies in TF32. Other weights are far beyond it.
fn tolerance(device: &Device, magnitude: f64) -> f64 {
    let relative = if device.is_cpu() { 1e-4 } else { 1e-2 };
    relative * magnitude.max(1.0)
}

/// An input of the right shape: about as large as prepared images, twice the stride along each axis
/// so that no normalisation sees a single voxel, and the same on every machine.
fn input(model: &dyn Model) -> Result<Tensor> {
    let Interface { channels, rank, .. } = model.interface();
    let mut size = [1; 3];
    for (extent, &stride) in size[3 - rank..].iter_mut().zip(model.stride()) {
        *extent = stride * 8usize.div_ceil(stride).max(2);
    }
    let count = channels * size.iter().product::<usize>();
    let values: Vec<f32> = (0..count as u64).map(|index| 2.0 * symmetric(index)).collect();
    Ok(Tensor::from_vec(values, (channels, size[0], size[1], size[2]), &Device::Cpu)?)
}

/// The `index`-th of numbers in `[-1, 1)` that look random: the output function of `SplitMix64`
/// (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014), of which
/// the upper 24 bits are exact in `f32`.
fn symmetric(index: u64) -> f32 {
    let mut bits = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `(C_in, D, H, W)` → `(C, D, H, W)`.
fn logits(model: &dyn Model, input: &Tensor) -> Result<Tensor> {
    let rank = model.interface().rank;
    let (_, d, h, w) = input.dims4()?;
    let shape = [&[1, input.dim(0)?], &[d, h, w][3 - rank..]].concat();
    let output = model.forward_t(&Input::images(input.reshape(shape)?), false)?;
    let logits = output.main().to_dtype(DType::F32)?;
    Ok(logits.reshape((logits.dim(1)?, d, h, w))?.contiguous()?)
}

/// The largest absolute value; NaN where a value is.
fn magnitude(tensor: &Tensor) -> Result<f64> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let larger = |most: f32, value: &f32| if value.abs() <= most { most } else { value.abs() };
    let most = values.iter().fold(0.0, larger);
    let lost = values.iter().any(|value| value.is_nan());
    Ok(if lost { f64::NAN } else { f64::from(most) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_is_no_number_is_not_ok() {
        let check =
            |difference| GoldenCheck::Compared { max_abs_difference: difference, tolerance: 1e-3 };

        assert!(check(Some(1e-3)).ok());
        assert!(!check(Some(2e-3)).ok());
        assert!(!check(None).ok());
        assert!(!GoldenCheck::Failed { reason: String::new() }.ok());
    }

    #[test]
    fn magnitude_sees_every_value() -> anyhow::Result<()> {
        let of = |values: &[f32]| magnitude(&Tensor::new(values, &Device::Cpu)?);

        assert_eq!(of(&[1.0, -3.0, 2.0])?.to_bits(), 3f64.to_bits());
        assert!(of(&[1.0, f32::NAN, 2.0])?.is_nan());
        assert!(of(&[f32::INFINITY, 1.0])?.is_infinite());
        Ok(())
    }

    #[test]
    fn inputs_are_the_published_sequence_and_stay_within_their_range() {
        // The first output of SplitMix64 with seed 0 is 0xe220a8397b1dcdaf.
        let first = (0xe220_a839_7b1d_cdafu64 >> 40) as f32 / (1 << 23) as f32 - 1.0;

        assert_eq!(symmetric(0).to_bits(), first.to_bits());
        let values: Vec<f32> = (0..1000).map(symmetric).collect();
        assert!(values.iter().all(|value| (-1.0..1.0).contains(value)));
        assert!(values.iter().sum::<f32>().abs() < 50.0);
    }
}
