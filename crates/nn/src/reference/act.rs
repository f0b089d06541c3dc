use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use candle::{Result, Tensor};

use crate::Act;

/// The activation of `x`, see [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    // Candle's own relu, gelu, silu and elu are not used: their derivatives at 0 differ from
    // PyTorch's, overflow for large negative values, or hold six digits.
    match act {
        Act::Identity => Ok(x.clone()),
        Act::Relu => positive(x)?.where_cond(x, &x.zeros_like()?),
        Act::LeakyRelu(slope) => positive(x)?.where_cond(x, &(x * slope)?),
        Act::Elu(alpha) => {
            let positive = positive(x)?;
            // The exponential sees no positive value: it could overflow, and then 0 · inf is NaN.
            let negative = positive.where_cond(&x.zeros_like()?, x)?;
            positive.where_cond(x, &((negative.exp()? - 1.0)? * alpha)?)
        }
        Act::Gelu => (x * 0.5)? * ((x * FRAC_1_SQRT_2)?.erf()? + 1.0)?,
        Act::GeluTanh => {
            let cube = ((x.sqr()? * x)? * 0.044_715)?;
            let inner = ((x + cube)? * FRAC_2_PI.sqrt())?;
            (x * 0.5)? * (inner.tanh()? + 1.0)?
        }
        Act::Silu => x * sigmoid(x)?,
        Act::Sigmoid => sigmoid(x),
        Act::Tanh => x.tanh(),
        Act::Softplus => softplus(x),
        Act::LogSigmoid => softplus(&x.neg()?)?.neg(),
        Act::Mish => x * softplus(x)?.tanh()?,
        Act::Hardswish => {
            let zeros = x.zeros_like()?;
            let middle = ((x * (x + 3.0)?)? / 6.0)?;
            let lower = x.detach().lt(-3.0)?.where_cond(&zeros, &middle)?;
            x.detach().gt(3.0)?.where_cond(x, &lower)
        }
    }
}

/// See [`prelu`](crate::prelu).
pub(crate) fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    positive(x)?.where_cond(x, &x.broadcast_mul(weight)?)
}

/// The softmax along `axis`, or its logarithm.
pub(crate) fn softmax(x: &Tensor, axis: usize, logarithm: bool) -> Result<Tensor> {
    // The largest logit is a constant shift: it takes no part in the gradient.
    let shifted = x.broadcast_sub(&x.detach().max_keepdim(axis)?)?;
    let total = shifted.exp()?.sum_keepdim(axis)?.log()?;
    let logarithms = shifted.broadcast_sub(&total)?;
    if logarithm { Ok(logarithms) } else { logarithms.exp() }
}

/// Where `x` is above 0.
fn positive(x: &Tensor) -> Result<Tensor> {
    x.detach().gt(0.0)
}

/// `−|x|`, with derivative −1 at 0.
fn minus_magnitude(x: &Tensor) -> Result<Tensor> {
    x.detach().ge(0.0)?.where_cond(&x.neg()?, x)
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    let small = minus_magnitude(x)?.exp()?;
    let denominator = (&small + 1.0)?;
    let above = denominator.recip()?;
    x.detach().ge(0.0)?.where_cond(&above, &(small / denominator)?)
}

fn softplus(x: &Tensor) -> Result<Tensor> {
    let small = minus_magnitude(x)?.exp()?;
    let linear = x.detach().ge(0.0)?.where_cond(x, &x.zeros_like()?)?;
    linear + (small + 1.0)?.log()?
}
