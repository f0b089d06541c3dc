use candle::{Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};

use super::{Statistics, batch_norm, batch_norm_train, group_norm, instance_norm};
use crate::{Activation, Pending, is_repetition};

/// An instance normalization with its parameters: `weight` and `bias`, where it is affine.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    channels: usize,
    affine: Option<(Tensor, Tensor)>,
    eps: f64,
}

impl InstanceNorm {
    /// Takes the parameters from `vb`, 1 and 0 where they are fresh.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(channels: usize, eps: f64, affine: bool, vb: VarBuilder<'_>) -> Result<Self> {
        let affine = affine.then(|| scale_and_offset(channels, &vb)).transpose()?;
        Ok(Self { channels, affine, eps })
    }

    /// The channels that it is for.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// What is added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// The scale and the offset, `(C)` each, where it is affine.
    pub fn affine(&self) -> (Option<&Tensor>, Option<&Tensor>) {
        match &self.affine {
            Some((weight, bias)) => (Some(weight), Some(bias)),
            None => (None, None),
        }
    }

    /// The normalization of `x`, `(N, *S, C)`, and the activation after it; see
    /// [`instance_norm`](fn@instance_norm).
    ///
    /// # Errors
    ///
    /// Where `x` is not `(N, *S, C)` with the channels of this layer.
    pub fn forward<'a>(&self, x: &Tensor, act: impl Into<Activation<'a>>) -> Result<Tensor> {
        let (weight, bias) = self.affine();
        instance_norm(x, weight, bias, self.eps, act)
    }

    /// The same, left to whoever reads `x`; see [`Pending`].
    ///
    /// # Errors
    ///
    /// As [`InstanceNorm::forward`].
    pub fn defer<'a>(
        &self,
        x: impl Into<Pending>,
        act: impl Into<Activation<'a>>,
    ) -> Result<Pending> {
        let (weight, bias) = self.affine();
        Pending::instance_norm(x, weight, bias, self.eps, act)
    }
}

/// A group normalization with its parameters, `weight` and `bias`.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl GroupNorm {
    /// Takes the parameters from `vb`, 1 and 0 where they are fresh.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = scale_and_offset(channels, &vb)?;
        Ok(Self { groups, weight, bias, eps })
    }

    /// Blocks of channels.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The scale and the offset, `(C)` each.
    pub fn affine(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// What is added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// The normalization of `x`, `(N, *S, C)`, and the activation after it; see
    /// [`group_norm`](fn@group_norm).
    ///
    /// # Errors
    ///
    /// Where `x` is not `(N, *S, C)` with the channels of this layer.
    pub fn forward<'a>(&self, x: &Tensor, act: impl Into<Activation<'a>>) -> Result<Tensor> {
        group_norm(x, self.groups, Some(&self.weight), Some(&self.bias), self.eps, act)
    }

    /// The same, left to whoever reads `x`; see [`Pending`].
    ///
    /// # Errors
    ///
    /// As [`GroupNorm::forward`].
    pub fn defer<'a>(
        &self,
        x: impl Into<Pending>,
        act: impl Into<Activation<'a>>,
    ) -> Result<Pending> {
        Pending::group_norm(x, self.groups, Some(&self.weight), Some(&self.bias), self.eps, act)
    }
}

/// A batch normalization with its parameters, `weight` and `bias`, and its running statistics,
/// `running_mean` and `running_var`.
///
/// The running statistics live among the parameters, so that they are saved with them, but take no
/// part in any gradient. They move only where they are variables, as those of
/// [`Parameters`](crate::Parameters) are that are not frozen. Where they are not, the layer normalizes by
/// them in training as well: a frozen layer is the same function then and later, as in Keras. PyTorch's
/// `num_batches_tracked` is accepted, and not used.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Takes the parameters from `vb`; fresh ones are 1 and 0, and the running statistics those of
    /// a standard normal distribution. The momentum is PyTorch's, 0.1.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = scale_and_offset(channels, &vb)?;
        let mean = vb.get_with_hints(channels, "running_mean", Init::Const(0.0))?;
        let variance = vb.get_with_hints(channels, "running_var", Init::Const(1.0))?;
        if vb.contains_tensor("num_batches_tracked") {
            vb.get_unchecked("num_batches_tracked")?;
        }
        Ok(Self { weight, bias, mean, variance, eps, momentum: 0.1 })
    }

    /// The scale and the offset, `(C)` each.
    pub fn affine(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// What is added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// How far one batch moves the running statistics, from 0 to 1.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// The normalization of `x`, `(N, *S, C)`, and the activation after it: with `train` by the
    /// statistics of this batch, which then move the running ones, unless they are frozen; else by the
    /// running ones.
    ///
    /// # Errors
    ///
    /// As [`batch_norm_train`] and [`batch_norm`](fn@batch_norm).
    pub fn forward_t<'a>(
        &self,
        x: &Tensor,
        act: impl Into<Activation<'a>>,
        train: bool,
    ) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        if !self.follows(train) {
            return batch_norm(x, &self.running(), weight, bias, self.eps, act);
        }
        let (y, batch) = batch_norm_train(x, weight, bias, self.eps, act)?;
        self.follow(&batch)?;
        Ok(y)
    }

    /// The same, left to whoever reads `x`, but for the running statistics, which move at once; see
    /// [`Pending`].
    ///
    /// # Errors
    ///
    /// As [`BatchNorm::forward_t`].
    pub fn defer_t<'a>(
        &self,
        x: impl Into<Pending>,
        act: impl Into<Activation<'a>>,
        train: bool,
    ) -> Result<Pending> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        if !self.follows(train) {
            return Pending::batch_norm(x, &self.running(), weight, bias, self.eps, act);
        }
        let (y, batch) = Pending::batch_norm_train(x, weight, bias, self.eps, act)?;
        self.follow(&batch)?;
        Ok(y)
    }

    /// Whether running statistics move.
    fn follows(&self, train: bool) -> bool {
        train && self.mean.is_variable() && self.variance.is_variable()
    }

    /// Moves the running statistics towards those of a batch, the first time that it is seen.
    fn follow(&self, batch: &Statistics) -> Result<()> {
        if is_repetition() {
            return Ok(());
        }
        for (running, fresh) in [(&self.mean, &batch.mean), (&self.variance, &batch.variance)] {
            let kept = (running.detach() * (1.0 - self.momentum))?;
            // The variable itself: it is one.
            Var::from_tensor(running)?.set(&(kept + (fresh * self.momentum)?)?)?;
        }
        Ok(())
    }

    /// The running statistics as they are now.
    pub fn running(&self) -> Statistics {
        Statistics { mean: self.mean.detach(), variance: self.variance.detach() }
    }
}

/// `weight` and `bias` of `vb`, `(C)` each.
pub(super) fn scale_and_offset(channels: usize, vb: &VarBuilder<'_>) -> Result<(Tensor, Tensor)> {
    let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
    let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
    Ok((weight, bias))
}
