//! Norms, as settings and as layers.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Activation, BatchNorm, GroupNorm, InstanceNorm, Pending};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::{Error, Norm, Sketch};

/// How channels are brought to zero mean and unit variance, with MONAI's names and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Normalization {
    /// Over the voxels of each sample.
    Instance {
        /// Whether a scale and an offset are learned for each channel.
        affine: bool,
    },
    /// Over the voxels of the batch in training, by running statistics else.
    Batch,
    /// Over the voxels and so many blocks of channels of each sample.
    Group {
        /// Blocks of channels.
        num_groups: usize,
    },
}

impl From<Norm> for Normalization {
    fn from(norm: Norm) -> Self {
        match norm {
            Norm::Instance => Self::Instance { affine: true },
            Norm::Batch => Self::Batch,
        }
    }
}

/// The epsilon that PyTorch's norms have where nothing is said.
pub(crate) const EPS: f64 = 1e-5;

/// A norm with its parameters, or none.
#[derive(Clone, Debug)]
pub(crate) enum Normalizer {
    None,
    Instance(InstanceNorm),
    Batch(BatchNorm),
    Group(GroupNorm),
}

impl Normalizer {
    pub(crate) fn new(
        norm: Normalization,
        channels: usize,
        eps: f64,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(match norm {
            Normalization::Instance { affine } => {
                Self::Instance(InstanceNorm::new(channels, eps, affine, vb)?)
            }
            Normalization::Batch => Self::Batch(BatchNorm::new(channels, eps, vb)?),
            Normalization::Group { num_groups } => {
                if num_groups == 0 || !channels.is_multiple_of(num_groups) {
                    let rule = "it must divide the channels of every layer";
                    return Err(Error::setting("num_groups", &num_groups, rule).into());
                }
                Self::Group(GroupNorm::new(num_groups, channels, eps, vb)?)
            }
        })
    }

    /// The norm of `x`, and the activation after it.
    pub(crate) fn defer_t<'a>(
        &self,
        x: Pending,
        act: impl Into<Activation<'a>>,
        train: bool,
    ) -> Result<Pending> {
        match self {
            Self::None => activate(x, act),
            Self::Instance(norm) => norm.defer(x, act),
            Self::Batch(norm) => norm.defer_t(x, act, train),
            Self::Group(norm) => norm.defer(x, act),
        }
    }

    /// The norm of `x` alone, as nodes of a graph.
    pub(crate) fn onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Instance(norm) => sketch.instance_norm(norm, x),
            Self::Batch(norm) => sketch.batch_norm(norm, x),
            Self::Group(norm) => sketch.group_norm(norm, x),
        }
    }
}

/// The activation of `x` without a norm before it.
pub(crate) fn activate<'a>(x: Pending, act: impl Into<Activation<'a>>) -> Result<Pending> {
    match act.into() {
        Activation::Act(nn::Act::Identity) => Ok(x),
        Activation::Act(act) => Ok(act.forward(&x.resolve()?)?.into()),
        Activation::Prelu(slopes) => Ok(nn::prelu(&x.resolve()?, slopes)?.into()),
    }
}
