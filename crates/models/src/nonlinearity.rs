//! Activations, as settings and as layers.

use candle::Result;
use candle_nn::VarBuilder;
use nn::{Act, Activation, Prelu};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::{Error, Sketch};

/// The activation of a network's layers, by MONAI's names.
///
/// In a file, `act = "prelu"`, or `act = { leaky_relu = 0.1 }` where it has a setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Nonlinearity {
    /// `x` where positive, else `slope · x`, with one slope for each layer, which is learned.
    Prelu,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope · x`.
    LeakyRelu(f64),
    /// `x` where positive, else `α (eˣ − 1)`.
    Elu(f64),
    /// `x Φ(x)`.
    Gelu,
    /// `x σ(x)`, also called Swish.
    Silu,
    /// `x tanh(softplus(x))`.
    Mish,
    /// `tanh(x)`.
    Tanh,
}

/// An activation with its parameter, if it has one.
#[derive(Clone, Debug)]
pub(crate) enum Nonlinear {
    Act(Act),
    Prelu(Prelu),
}

impl Nonlinear {
    pub(crate) fn new(act: Nonlinearity, vb: VarBuilder<'_>) -> Result<Self> {
        if let Nonlinearity::LeakyRelu(number) | Nonlinearity::Elu(number) = act
            && !number.is_finite()
        {
            return Err(Error::setting("act", &number, "it takes a finite number").into());
        }
        Ok(Self::Act(match act {
            Nonlinearity::Prelu => return Ok(Self::Prelu(Prelu::new(1, vb)?)),
            Nonlinearity::Relu => Act::Relu,
            Nonlinearity::LeakyRelu(slope) => Act::LeakyRelu(slope),
            Nonlinearity::Elu(alpha) => Act::Elu(alpha),
            Nonlinearity::Gelu => Act::Gelu,
            Nonlinearity::Silu => Act::Silu,
            Nonlinearity::Mish => Act::Mish,
            Nonlinearity::Tanh => Act::Tanh,
        }))
    }

    /// The activation of `x`, as nodes of a graph.
    pub(crate) fn onnx(&self, sketch: &mut Sketch, x: &Value) -> Result<Value> {
        match self {
            Self::Act(act) => sketch.act(*act, x),
            Self::Prelu(prelu) => sketch.prelu(prelu, x),
        }
    }
}

impl<'a> From<&'a Nonlinear> for Activation<'a> {
    fn from(layer: &'a Nonlinear) -> Self {
        match layer {
            Nonlinear::Act(act) => (*act).into(),
            Nonlinear::Prelu(prelu) => prelu.into(),
        }
    }
}
