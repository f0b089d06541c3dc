//! Normalization by mean and variance, fused with the activation that follows.

mod gradients;
mod layer;
mod layer_norm;

use candle::{Result, Tensor};

pub use self::gradients::instance_norm_gradients;
pub use self::layer::{BatchNorm, GroupNorm, InstanceNorm};
pub use self::layer_norm::{LayerNorm, layer_norm};
use crate::backend::is_native;
use crate::extents::{Extents, per_channel};
use crate::{Activation, Error, native, reference};

/// Which values share one mean and one variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Those of one channel of one sample.
    Instance,
    /// Those of so many blocks of channels of one sample.
    Group(usize),
    /// Those of one channel of all samples.
    Batch,
}

impl Cells {
    /// So many blocks of `channels` channels.
    ///
    /// # Errors
    ///
    /// Where they do not divide the channels.
    pub(crate) fn groups(groups: usize, channels: usize) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            let rule = "it divides the channels of the input";
            let (op, value) = ("group_norm", vec![groups]);
            return Err(Error::Setting { op, setting: "groups", value, rule }.into());
        }
        Ok(Self::Group(groups))
    }
}

/// The scale and offset of a normalization, `(C)` each, where it has them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Affine<'a> {
    pub(crate) weight: Option<&'a Tensor>,
    pub(crate) bias: Option<&'a Tensor>,
}

impl<'a> Affine<'a> {
    pub(crate) fn check(
        op: &'static str,
        weight: Option<&'a Tensor>,
        bias: Option<&'a Tensor>,
        channels: usize,
    ) -> Result<Self> {
        per_channel(op, "weight", weight, channels)?;
        per_channel(op, "bias", bias, channels)?;
        Ok(Self { weight, bias })
    }
}

/// The mean and variance of each channel, `(C)` each.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// The means.
    pub mean: Tensor,
    /// The variances.
    pub variance: Tensor,
}

impl Statistics {
    pub(crate) fn check(&self, op: &'static str, channels: usize) -> Result<()> {
        per_channel(op, "mean", Some(&self.mean), channels)?;
        per_channel(op, "variance", Some(&self.variance), channels)
    }

    /// Of a batch like `x`, `(N, *S, C)`, from its means and mean square deviations: detached, with
    /// the unbiased estimate of the variance.
    ///
    /// # Errors
    ///
    /// Where a channel has but one value.
    pub(crate) fn of_batch(x: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Self> {
        let count = several(&Extents::of("batch_norm", x)?)?;
        let variance = (variance.flatten_all()? * (count / (count - 1.0)))?.detach();
        Ok(Self { mean: mean.flatten_all()?.detach(), variance })
    }
}

/// The values of a channel, over all samples, of which there must be more than one.
fn several(extents: &Extents) -> Result<f64> {
    let count = (extents.batch * extents.voxels()) as f64;
    if count < 2.0 {
        let rule = "a channel needs more than one value for a variance";
        let (op, value) = ("batch_norm", extents.shape());
        return Err(Error::Setting { op, setting: "the input's shape", value, rule }.into());
    }
    Ok(count)
}

/// Normalizes each channel of each sample of `x`, `(N, *S, C)`, over its voxels, then applies the
/// activation: `act((x − μ) / √(σ² + eps) · weight + bias)`.
///
/// `σ²` is the mean square deviation (not the unbiased estimate). A sample of one voxel becomes
/// `act(bias)`; PyTorch refuses it. The activation is an [`Act`](crate::Act), or [`Activation::Prelu`]
/// with slopes that are learned.
///
/// # Errors
///
/// Where a parameter is not `(C)`, the slopes of the activation are neither `(C)` nor `(1)`, or `x` is not `(N, *S, C)`.
///
/// # Source
///
/// Ulyanov, Vedaldi, Lempitsky: *Instance Normalization*,
/// [arXiv:1607.08022](https://arxiv.org/abs/1607.08022).
pub fn instance_norm<'a>(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    act: impl Into<Activation<'a>>,
) -> Result<Tensor> {
    let op = "instance_norm";
    let channels = Extents::of(op, x)?.channels;
    let affine = Affine::check(op, weight, bias, channels)?;
    normalize(op, x, affine, Cells::Instance, eps, act.into())
}

/// Normalizes each of `groups` blocks of channels of each sample of `x`, `(N, *S, C)`, then applies
/// the activation; see [`instance_norm`].
///
/// # Errors
///
/// Where `groups` does not divide the channels, a parameter is not `(C)`, or `x` is not
/// `(N, *S, C)`.
///
/// # Source
///
/// Wu, He: *Group Normalization*, [arXiv:1803.08494](https://arxiv.org/abs/1803.08494).
pub fn group_norm<'a>(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    act: impl Into<Activation<'a>>,
) -> Result<Tensor> {
    let op = "group_norm";
    let channels = Extents::of(op, x)?.channels;
    let cells = Cells::groups(groups, channels)?;
    normalize(op, x, Affine::check(op, weight, bias, channels)?, cells, eps, act.into())
}

/// Normalizes each channel of `x`, `(N, *S, C)`, by statistics that are given, as in evaluation,
/// then applies the activation; see [`instance_norm`].
///
/// # Errors
///
/// Where a parameter or a statistic is not `(C)`, or `x` is not `(N, *S, C)`.
///
/// # Source
///
/// Ioffe, Szegedy: *Batch Normalization*, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167).
pub fn batch_norm<'a>(
    x: &Tensor,
    running: &Statistics,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    act: impl Into<Activation<'a>>,
) -> Result<Tensor> {
    let op = "batch_norm";
    let channels = Extents::of(op, x)?.channels;
    let affine = Affine::check(op, weight, bias, channels)?;
    let act = act.into().check(op, channels)?;
    running.check(op, channels)?;
    if is_native(op, x)? {
        native::standardize(x, running, affine, eps, act)
    } else {
        reference::standardize(x, running, affine, eps, act)
    }
}

/// Normalizes each channel of `x`, `(N, *S, C)`, over all samples, as in training, then applies the
/// activation; see [`batch_norm`].
///
/// Also returns the statistics of this batch, detached; their variance is the unbiased estimate, as
/// the running statistics of PyTorch ask.
///
/// # Errors
///
/// As [`batch_norm`], and where a channel has but one value.
pub fn batch_norm_train<'a>(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    act: impl Into<Activation<'a>>,
) -> Result<(Tensor, Statistics)> {
    let op = "batch_norm";
    let extents = Extents::of(op, x)?;
    let affine = Affine::check(op, weight, bias, extents.channels)?;
    let act = act.into().check(op, extents.channels)?;
    several(&extents)?;
    let (y, mean, variance) = if is_native(op, x)? {
        native::normalize(x, affine, Cells::Batch, eps, act)?
    } else {
        reference::normalize(x, affine, Cells::Batch, eps, act)?
    };
    let statistics = Statistics::of_batch(x, &mean, &variance)?;
    Ok((y, statistics))
}

/// `x` normalized over its cells.
pub(crate) fn normalize(
    op: &'static str,
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    act: Activation<'_>,
) -> Result<Tensor> {
    let act = act.check(op, Extents::of(op, x)?.channels)?;
    let (y, ..) = if is_native(op, x)? {
        native::normalize(x, affine, cells, eps, act)?
    } else {
        reference::normalize(x, affine, cells, eps, act)?
    };
    Ok(y)
}
