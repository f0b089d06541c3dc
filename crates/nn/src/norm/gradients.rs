//! Gradients of a normalization by themselves.

use candle::{Result, Tensor, Var};

use super::{Affine, Cells, instance_norm};
use crate::backend::is_native;
use crate::extents::Extents;
use crate::{Act, Error, native};

/// The gradients of [`instance_norm`] with respect to `x`, `(N, *S, C)`, its weight and its bias, `(C)`
/// each, from `dy`, `(N, *S, C)`, the gradient of its result. Without a graph.
///
/// A training loop gets them by `backward`; alone, they serve benchmarks and methods that carry
/// gradients by hand.
///
/// # Errors
///
/// As [`instance_norm`], and where `dy` has another shape than `x`.
pub fn instance_norm_gradients(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    act: Act,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let op = "instance_norm";
    let channels = Extents::of(op, x)?.channels;
    let affine = Affine::check(op, weight, bias, channels)?;
    if dy.dims() != x.dims() {
        let (actual, expected) = (dy.dims().to_vec(), format!("{:?}", x.dims()));
        return Err(Error::Parameter { op, parameter: "gradient", actual, expected }.into());
    }
    if is_native(op, x)? && native::defers(x) {
        return native::norm_gradients(x, affine, Cells::Instance, eps, act.into(), dy);
    }
    let parameter = |given: Option<&Tensor>, value: f64| match given {
        Some(given) => Var::from_tensor(given),
        None => Var::from_tensor(&(Tensor::ones(channels, x.dtype(), x.device())? * value)?),
    };
    let (weight, bias) = (parameter(weight, 1.0)?, parameter(bias, 0.0)?);
    let x = Var::from_tensor(x)?;
    let y = instance_norm(&x, Some(&weight), Some(&bias), eps, act)?;
    let gradients = (y * dy.detach())?.sum_all()?.backward()?;
    let of = |variable: &Var| match gradients.get(variable) {
        Some(gradient) => Ok(gradient.detach()),
        None => variable.zeros_like(),
    };
    Ok([of(&x)?, of(&weight)?, of(&bias)?])
}
