//! What U-Nets have in common, checked and filled in.

use serde::{Deserialize, Serialize};

use crate::{Error, Interface, Topology};

/// How the values of a channel are brought to zero mean and unit variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Norm {
    /// Over the voxels of each sample.
    #[default]
    Instance,
    /// Over the voxels of the batch in training, by running statistics else.
    Batch,
}

/// How a convolution is followed by its norm and activation, and how its gradient is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) conv_bias: bool,
    pub(crate) norm: Norm,
    pub(crate) norm_eps: f64,
    pub(crate) negative_slope: f64,
    pub(crate) nonlin_first: bool,
    /// Whether blocks run again for their gradients, instead of keeping what they compute.
    pub(crate) gradient_checkpointing: bool,
}

/// One resolution of a U-Net.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) features: usize,
    pub(crate) kernel: Vec<usize>,
    /// How much coarser than the stage before.
    pub(crate) stride: Vec<usize>,
    /// Convolutions or blocks on the way down.
    pub(crate) down: usize,
    /// Convolutions on the way up; 0 for the coarsest.
    pub(crate) up: usize,
}

/// The settings that U-Nets share, as they stand in a config file.
pub(crate) struct Settings<'a> {
    pub(crate) features_per_stage: &'a [usize],
    pub(crate) strides: &'a [Vec<usize>],
    pub(crate) kernel_sizes: &'a [Vec<usize>],
    /// The setting that counts what a stage has on the way down, its value, and its default.
    pub(crate) down: (&'static str, &'a [usize], fn(usize) -> usize),
    /// What a stage has on the way up, and its default.
    pub(crate) up: (&'a [usize], usize),
    pub(crate) style: Style,
}

impl Settings<'_> {
    /// The stages, finest first.
    pub(crate) fn stages(&self, interface: Interface) -> Result<Vec<Stage>, Error> {
        interface.check()?;
        let rank = interface.rank;
        let Style { norm_eps, negative_slope, .. } = self.style;
        for (setting, value) in [("norm_eps", norm_eps), ("negative_slope", negative_slope)] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::NotANumber { setting, value });
            }
        }
        let count = self.features_per_stage.len();
        if count < 2 || self.features_per_stage.contains(&0) {
            return Err(Error::Zero("features_per_stage (two stages or more)"));
        }
        let strides = axes("strides", self.strides, count, rank, |stage| 1 + stage.min(1))?;
        let kernels = axes("kernel_sizes", self.kernel_sizes, count, rank, |_| 3)?;
        if strides[0].iter().any(|&stride| stride != 1) {
            return Err(Error::FirstStride(strides[0].clone()));
        }
        if let Some(stage) =
            kernels.iter().position(|kernel| kernel.iter().any(|&extent| extent.is_multiple_of(2)))
        {
            return Err(Error::EvenKernel { stage, kernel: kernels[stage].clone() });
        }
        let (setting, given, default) = self.down;
        let down = counts(setting, given, count, default)?;
        let (given, default) = self.up;
        // In nnU-Net's order, coarsest first.
        let up = counts("n_conv_per_stage_decoder", given, count - 1, |_| default)?;

        let stage = |(at, (kernel, stride)): (usize, (Vec<usize>, Vec<usize>))| Stage {
            features: self.features_per_stage[at],
            kernel,
            stride,
            down: down[at],
            up: (count - 1).checked_sub(at + 1).map_or(0, |from_coarsest| up[from_coarsest]),
        };
        Ok(kernels.into_iter().zip(strides).enumerate().map(stage).collect())
    }
}

/// One list of `rank` numbers for each stage, none of them 0.
fn axes(
    setting: &'static str,
    given: &[Vec<usize>],
    stages: usize,
    rank: usize,
    default: fn(usize) -> usize,
) -> Result<Vec<Vec<usize>>, Error> {
    if given.is_empty() {
        return Ok((0..stages).map(|stage| vec![default(stage); rank]).collect());
    }
    if given.len() != stages {
        return Err(Error::Stages { setting, expected: stages, actual: given.len() });
    }
    if let Some(stage) = given.iter().position(|value| value.len() != rank) {
        return Err(Error::Axes { setting, stage, value: given[stage].clone(), rank });
    }
    if given.iter().flatten().any(|&number| number == 0) {
        return Err(Error::Zero(setting));
    }
    Ok(given.to_vec())
}

/// One number for each stage, none of them 0.
fn counts(
    setting: &'static str,
    given: &[usize],
    stages: usize,
    default: impl Fn(usize) -> usize,
) -> Result<Vec<usize>, Error> {
    if given.is_empty() {
        return Ok((0..stages).map(default).collect());
    }
    if given.len() != stages {
        return Err(Error::Stages { setting, expected: stages, actual: given.len() });
    }
    if given.contains(&0) {
        return Err(Error::Zero(setting));
    }
    Ok(given.to_vec())
}

/// A setting that lists something for each of `stages` stages: as it was `given`, or, where it was
/// left open, as it is `planned`.
pub(crate) fn fitted(
    setting: &'static str,
    given: &[Vec<usize>],
    planned: &[Vec<usize>],
    stages: usize,
) -> Result<Vec<Vec<usize>>, Error> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    match planned.get(..stages) {
        Some(planned) => Ok(planned.to_vec()),
        None => Err(Error::Depth { stages, most: planned.len(), setting }),
    }
}

/// The channels of each stage: as they were given, or, where they were left open, nnU-Net's for as many stages as
/// are planned.
pub(crate) fn fitted_features(given: &[usize], planned: &Topology) -> Vec<usize> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let rank = planned.strides.first().map_or(0, Vec::len);
    standard_features(planned.strides.len(), rank)
}

/// nnU-Net's numbers of channels: 32 at first, doubled at each stage, up to 320 in 3D and 512 in
/// 2D.
pub(crate) fn standard_features(stages: usize, rank: usize) -> Vec<usize> {
    let most = if rank == 2 { 512 } else { 320 };
    (0..stages).map(|stage| (32usize << stage.min(8)).min(most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_features_double_up_to_a_limit() {
        assert_eq!(standard_features(6, 3), [32, 64, 128, 256, 320, 320]);
        assert_eq!(standard_features(8, 2), [32, 64, 128, 256, 512, 512, 512, 512]);
    }
}
