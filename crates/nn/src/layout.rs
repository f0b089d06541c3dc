//! From candle's and PyTorch's layout to the one of this crate, and back.

use candle::{Result, Tensor};

/// `(N, C, *S)` as contiguous `(N, *S, C)`; differentiable.
///
/// # Errors
///
/// Where `x` has fewer than two axes.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let rank = at_least_two_axes("to_channels_last", x)?;
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
    let axes: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    x.permute(axes)?.contiguous()
}

fn at_least_two_axes(op: &'static str, x: &Tensor) -> Result<usize> {
    if x.rank() < 2 {
        candle::bail!("{op} of a tensor of shape {:?}; it takes two axes or more", x.dims());
    }
    Ok(x.rank())
}
