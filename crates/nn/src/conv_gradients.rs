//! Gradients of a convolution by themselves.

use candle::{Result, Tensor, Var};

use crate::backend::is_native;
use crate::geometry::Geometry;
use crate::{ConvConfig, Error, native, reference};

/// The gradient of [`conv`](crate::conv()) with respect to its input, `(N, *S, Cin)`, which `shape`
/// gives: from `dy`, `(N, *S', Cout)`, the gradient of its result. Without a graph.
///
/// A training loop gets it by `backward`; alone, it serves benchmarks and methods that carry
/// gradients by hand.
///
/// # Errors
///
/// Where shapes or settings do not fit each other.
pub fn conv_input_gradient(
    shape: &[usize],
    weight: &Tensor,
    dy: &Tensor,
    config: &ConvConfig,
) -> Result<Tensor> {
    let like = Tensor::zeros(1, dy.dtype(), dy.device())?.broadcast_as(shape)?;
    let geometry = Geometry::of_conv(&like, weight, config)?;
    check(dy, &geometry)?;
    if is_native("conv", dy)? {
        native::conv_input_gradient(weight, dy, geometry)
    } else {
        reference::scatter(dy, weight, None, &geometry).map(|dx| dx.detach())
    }
}

/// The gradient of [`conv`](crate::conv()) with respect to its weight, `(Cout, Cin / groups, *K)`,
/// which `shape` gives: from its input `x`, `(N, *S, Cin)`, and `dy`, `(N, *S', Cout)`, the gradient
/// of its result. Without a graph.
///
/// # Errors
///
/// Where shapes or settings do not fit each other.
pub fn conv_weight_gradient(
    x: &Tensor,
    shape: &[usize],
    dy: &Tensor,
    config: &ConvConfig,
) -> Result<Tensor> {
    let like = Tensor::zeros(1, dy.dtype(), dy.device())?.broadcast_as(shape)?;
    let geometry = Geometry::of_conv(x, &like, config)?;
    check(dy, &geometry)?;
    if is_native("conv", dy)? {
        return native::conv_weight_gradient(x, dy, shape, &geometry);
    }
    // The result is linear in the weight: any weight has this gradient.
    let weight = Var::zeros(shape, dy.dtype(), dy.device())?;
    let y = reference::gather(&x.detach(), &weight, None, &geometry)?;
    let gradients = (y * dy.detach())?.sum_all()?.backward()?;
    match gradients.get(&weight) {
        Some(gradient) => Ok(gradient.detach()),
        None => weight.zeros_like(),
    }
}

fn check(dy: &Tensor, geometry: &Geometry) -> Result<()> {
    let expected = geometry.coarse_shape();
    if dy.dims() == expected.as_slice() {
        return Ok(());
    }
    let (actual, expected) = (dy.dims().to_vec(), format!("{expected:?}"));
    Err(Error::Parameter { op: "conv", parameter: "gradient", actual, expected }.into())
}
