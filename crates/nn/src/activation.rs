//! Activations as norms take them: plain ones, and those whose slopes are learned.

use candle::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::backend::is_native;
use crate::extents::Extents;
use crate::norm::Statistics;
use crate::{Act, Error, native, reference};

/// The activation after a norm: one with no parameters, or one whose slopes are learned.
///
/// Norms and their layers take whatever becomes one, so that an [`Act`] or a [`&Prelu`](Prelu) is
/// given as it is.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_nn::{Act, Activation, instance_norm};
///
/// let x = Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((1, 3, 4, 2))?; // (N, H, W, C)
/// let slopes = Tensor::new(&[0.25f32, 0.1], &Device::Cpu)?;
/// let learned = instance_norm(&x, None, None, 1e-5, Activation::Prelu(&slopes))?;
/// let fixed = instance_norm(&x, None, None, 1e-5, Act::LeakyRelu(0.25))?;
/// let apart = (learned - fixed)?.abs()?.narrow(3, 0, 1)?.max_all()?;
/// assert_eq!(apart.to_scalar::<f32>()?, 0.0);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Activation<'a> {
    /// One without parameters.
    Act(Act),
    /// A leaky ReLU with these slopes, `(C)` or `(1)`; see [`prelu`].
    Prelu(&'a Tensor),
}

impl From<Act> for Activation<'_> {
    fn from(act: Act) -> Self {
        Self::Act(act)
    }
}

impl<'a> From<&'a Prelu> for Activation<'a> {
    fn from(layer: &'a Prelu) -> Self {
        Self::Prelu(&layer.weight)
    }
}

impl Activation<'_> {
    /// Refuses slopes of another number than `op` has channels.
    pub(crate) fn check(self, op: &'static str, channels: usize) -> Result<Self> {
        if let Self::Prelu(slopes) = self {
            let actual = slopes.dims().to_vec();
            if actual != [channels] && actual != [1] {
                let parameter = if op == PRELU { "weight" } else { "slopes" };
                let expected = format!("[{channels}] or [1]");
                return Err(Error::Parameter { op, parameter, actual, expected }.into());
            }
        }
        Ok(self)
    }

    /// Its form, and `bias`, `(C)` where there is one, as native kernels take it: where slopes are
    /// learned, they come after the offsets, `(2 C)` in all.
    pub(crate) fn behind(
        self,
        bias: Option<&Tensor>,
        channels: usize,
    ) -> Result<(Form, Option<Tensor>)> {
        let slopes = match self {
            Self::Act(act) => return Ok((Form::Act(act), bias.cloned())),
            Self::Prelu(slopes) => slopes.broadcast_as(channels)?,
        };
        let both = match bias {
            None => [slopes.zeros_like()?, slopes],
            Some(bias) if bias.dtype() == slopes.dtype() => [bias.clone(), slopes],
            Some(bias) => [bias.to_dtype(DType::F32)?, slopes.to_dtype(DType::F32)?],
        };
        Ok((Form::Prelu, Some(Tensor::cat(&both, 0)?)))
    }
}

/// An activation without what is learned of it: what a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Act(Act),
    /// A leaky ReLU, whose slopes come after the offsets.
    Prelu,
    /// The same, but that its slope at a value is its derivative by the slope that is learned: a
    /// kernel that sums gradients before the activation then sums those of the slopes.
    PreluSlopes,
}

impl From<Act> for Form {
    fn from(act: Act) -> Self {
        Self::Act(act)
    }
}

impl Form {
    /// The number that kernels of other languages know it by, and its setting.
    #[cfg(any(test, feature = "cuda", feature = "metal"))]
    pub(crate) fn number(self) -> (u8, f64) {
        match self {
            Self::Act(act) => act.number(),
            Self::Prelu => (13, 0.0),
            Self::PreluSlopes => (14, 0.0),
        }
    }
}

const PRELU: &str = "prelu";

/// The leaky ReLU of `x`, `(N, *S, C)`, whose slopes are learned: `weight` is `(C)` or `(1)`.
///
/// `x` where it is positive, else `weight · x`. After a norm, it costs no pass of its own:
/// [`Activation::Prelu`].
///
/// # Errors
///
/// Where `weight` is neither, or `x` is not `(N, *S, C)`.
///
/// # Source
///
/// He, Zhang, Ren, Sun: *Delving Deep into Rectifiers*, ICCV 2015,
/// [arXiv:1502.01852](https://arxiv.org/abs/1502.01852).
pub fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let channels = Extents::of(PRELU, x)?.channels;
    let act = Activation::Prelu(weight).check(PRELU, channels)?;
    if !is_native(PRELU, x)? {
        return reference::prelu(x, weight);
    }
    // A norm that leaves its input as it is.
    let constant = |value: f32| Tensor::full(value, channels, x.device())?.contiguous();
    let statistics = Statistics { mean: constant(0.0)?, variance: constant(1.0)? };
    native::standardize(x, &statistics, crate::norm::Affine::default(), 0.0, act)
}

/// A leaky ReLU with its slopes, `weight`: PyTorch's `PReLU`.
#[derive(Clone, Debug)]
pub struct Prelu {
    weight: Tensor,
}

impl Prelu {
    /// Takes the slopes from `vb`, 0.25 where they are fresh: one for each of so many channels, or
    /// one for all.
    ///
    /// # Errors
    ///
    /// Where they are missing or of another number.
    #[expect(clippy::needless_pass_by_value, reason = "candle's layers take their builder so")]
    pub fn new(slopes: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self { weight: vb.get_with_hints(slopes, "weight", Init::Const(0.25))? })
    }

    /// The slopes, `(C)` or `(1)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The leaky ReLU of `x`, `(N, *S, C)`; see [`prelu`].
    ///
    /// # Errors
    ///
    /// As [`prelu`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        prelu(x, &self.weight)
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn values_below_zero_are_multiplied_by_the_slope_of_their_channel() -> Result<()> {
        let x = Tensor::new(&[[[-2f32, -2.0], [3.0, 0.0]]], &Device::Cpu)?;
        let slopes = Tensor::new(&[0.5f32, -1.0], &Device::Cpu)?;

        let y = prelu(&x, &slopes)?;

        assert_eq!(y.to_vec3::<f32>()?, [[[-1.0, 2.0], [3.0, 0.0]]]);
        Ok(())
    }

    #[test]
    fn slopes_of_another_number_are_refused() -> Result<()> {
        let x = Tensor::zeros((1, 2, 4), DType::F32, &Device::Cpu)?;
        let slopes = Tensor::zeros(3, DType::F32, &Device::Cpu)?;
        let norm = crate::instance_norm(&x, None, None, 1e-5, Activation::Prelu(&slopes));

        assert_eq!(
            prelu(&x, &slopes).unwrap_err().to_string().lines().next(),
            Some("prelu: weight has shape [3], but [4] or [1] is needed"),
        );
        assert_eq!(
            norm.unwrap_err().to_string().lines().next(),
            Some("instance_norm: slopes has shape [3], but [4] or [1] is needed"),
        );
        Ok(())
    }
}
