//! From candle's and PyTorch's layout to the one of this crate, and back.

use candle::{Result, Tensor};

use crate::backend::{Backend, backend};
use crate::native;

/// `(N, C, *S)` as contiguous `(N, *S, C)`; differentiable.
///
/// # Errors
///
/// Where `x` has fewer than two axes.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let rank = at_least_two_axes("to_channels_last", x)?;
    if transposes_natively(x) {
        return native::transpose(x, native::Turn::Last);
    }
    let axes: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    x.permute(axes)?.contiguous()
}

/// `(N, *S, C)` as contiguous `(N, C, *S)`; differentiable.
///
/// # Errors
///
/// Where `x` has fewer than two axes.
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    let rank = at_least_two_axes("to_channels_first", x)?;
    if transposes_natively(x) {
        return native::transpose(x, native::Turn::First);
    }
    let axes: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    x.permute(axes)?.contiguous()
}

fn transposes_natively(x: &Tensor) -> bool {
    // Unlike a layer, it takes any type under any backend.
    backend() != Backend::Reference && native::exists(x.dtype(), x.device()) && native::defers(x)
}

fn at_least_two_axes(op: &'static str, x: &Tensor) -> Result<usize> {
    if x.rank() < 2 {
        candle::bail!("{op} of a tensor of shape {:?}; it takes two axes or more", x.dims());
    }
    Ok(x.rank())
}
