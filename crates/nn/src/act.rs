//! Activations.

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::backend::is_native;
use crate::{native, reference};

/// An activation, applied to each value.
///
/// Derivatives at kinks are PyTorch's: 0 for [`Act::Relu`] at 0, the slope for
/// [`Act::LeakyRelu`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope · x`.
    LeakyRelu(f64),
    /// `x` where positive, else `α (eˣ − 1)`.
    Elu(f64),
    /// `x Φ(x)`, exactly, with the error function.
    Gelu,
    /// The tanh approximation of [`Act::Gelu`].
    GeluTanh,
    /// `x σ(x)`, also called Swish.
    Silu,
    /// `σ(x) = 1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `ln(1 + eˣ)`.
    Softplus,
    /// `ln σ(x)`, without overflow.
    LogSigmoid,
    /// `x tanh(softplus(x))`.
    Mish,
    /// `x · min(max(x + 3, 0), 6) / 6`.
    Hardswish,
}

impl Act {
    /// The number that kernels of other languages know it by, and its setting.
    #[cfg(any(test, feature = "cuda", feature = "metal"))]
    pub(crate) fn number(self) -> (u8, f64) {
        match self {
            Self::Identity => (0, 0.0),
            Self::Relu => (1, 0.0),
            Self::LeakyRelu(slope) => (2, slope),
            Self::Elu(alpha) => (3, alpha),
            Self::Gelu => (4, 0.0),
            Self::GeluTanh => (5, 0.0),
            Self::Silu => (6, 0.0),
            Self::Sigmoid => (7, 0.0),
            Self::Tanh => (8, 0.0),
            Self::Softplus => (9, 0.0),
            Self::LogSigmoid => (10, 0.0),
            Self::Mish => (11, 0.0),
            Self::Hardswish => (12, 0.0),
        }
    }

    /// The activation of `x`, of any shape.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if *self == Self::Identity {
            Ok(x.clone())
        } else if is_native("activation", x)? {
            native::activate(x, *self)
        } else {
            reference::activate(x, *self)
        }
    }
}
