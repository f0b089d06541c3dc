use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use candle::Result;
use nn::{Act, Prelu};
use onnx::Value;

use super::Sketch;

impl Sketch {
    /// The activation of `x`: opset 17 has no operator for some, which are made of others.
    pub(crate) fn act(&mut self, act: Act, x: &Value) -> Result<Value> {
        Ok(match act {
            Act::Identity => x.clone(),
            Act::Relu => self.graph.node("Relu", &[x], &[]),
            Act::LeakyRelu(slope) => self.graph.leaky_relu(x, slope),
            Act::Elu(alpha) => self.graph.elu(x, alpha),
            Act::Sigmoid => self.graph.node("Sigmoid", &[x], &[]),
            Act::Tanh => self.graph.node("Tanh", &[x], &[]),
            Act::Softplus => self.graph.node("Softplus", &[x], &[]),
            Act::Silu => {
                let gate = self.graph.node("Sigmoid", &[x], &[]);
                self.product(x, &gate)
            }
            Act::Mish => {
                let inner = self.graph.node("Softplus", &[x], &[]);
                let gate = self.graph.node("Tanh", &[&inner], &[]);
                self.product(x, &gate)
            }
            Act::LogSigmoid => {
                let negative = self.graph.node("Neg", &[x], &[]);
                let cost = self.graph.node("Softplus", &[&negative], &[]);
                self.graph.node("Neg", &[&cost], &[])
            }
            Act::Gelu => {
                let inner = self.times(x, FRAC_1_SQRT_2)?;
                let inner = self.graph.node("Erf", &[&inner], &[]);
                self.half_of_one_and(x, &inner)?
            }
            Act::GeluTanh => {
                let square = self.product(x, x);
                let cube = self.product(&square, x);
                let cube = self.times(&cube, 0.044_715)?;
                let inner = self.sum(x, &cube);
                let inner = self.times(&inner, FRAC_2_PI.sqrt())?;
                let inner = self.graph.node("Tanh", &[&inner], &[]);
                self.half_of_one_and(x, &inner)?
            }
            Act::Hardswish => self.graph.node("HardSwish", &[x], &[]),
            other => candle::bail!("an ONNX file cannot have the activation {other:?} yet"),
        })
    }

    /// The leaky ReLU of `x` with slopes that were learned.
    pub(crate) fn prelu(&mut self, prelu: &Prelu, x: &Value) -> Result<Value> {
        let slopes = self.per_channel(prelu.weight())?;
        Ok(self.graph.node("PRelu", &[x, &slopes], &[]))
    }

    fn times(&mut self, x: &Value, factor: f64) -> Result<Value> {
        let factor = self.number(factor)?;
        Ok(self.product(x, &factor))
    }

    /// `x / 2 · (1 + y)`.
    fn half_of_one_and(&mut self, x: &Value, y: &Value) -> Result<Value> {
        let (half, one) = (self.times(x, 0.5)?, self.number(1.0)?);
        let sum = self.sum(y, &one);
        Ok(self.product(&half, &sum))
    }
}
