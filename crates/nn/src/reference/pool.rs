use candle::{Result, Tensor};

use super::conv::every;
use crate::pool::Windows;

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    let mut padded = x.contiguous()?;
    for axis in 0..windows.input.rank() {
        let before = windows.padding[axis];
        let reach = windows.kernel[axis] - 1 + windows.output[axis] * windows.stride[axis];
        let after = reach.saturating_sub(before + windows.input.space[axis]);
        padded = pad_constant(&padded, axis + 1, before, after, f64::NEG_INFINITY)?;
    }
    let taps: usize = windows.kernel.iter().product();
    let mut best: Option<Tensor> = None;
    for tap in 0..taps {
        let mut seen = padded.clone();
        let mut rest = tap;
        for axis in (0..windows.input.rank()).rev() {
            let start = rest % windows.kernel[axis];
            rest /= windows.kernel[axis];
            seen = every(&seen, axis + 1, start, windows.output[axis], windows.stride[axis])?;
        }
        let seen = seen.contiguous()?;
        best = Some(match best {
            None => seen,
            Some(best) => {
                let larger = seen.detach().gt(&best.detach())?;
                let larger = larger.maximum(&seen.detach().ne(&seen.detach())?)?;
                larger.where_cond(&seen, &best)?
            }
        });
    }
    Ok(best.expect("a window has at least one voxel"))
}

/// `x` with `before` and `after` entries of `value` around `axis`.
pub(crate) fn pad_constant(
    x: &Tensor,
    axis: usize,
    before: usize,
    after: usize,
    value: f64,
) -> Result<Tensor> {
    let block = |count: usize| {
        let mut shape = x.dims().to_vec();
        shape[axis] = count;
        Tensor::full(value, shape, x.device())?.to_dtype(x.dtype())?.contiguous()
    };
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(block(before)?);
    }
    parts.push(x.clone());
    if after > 0 {
        parts.push(block(after)?);
    }
    Tensor::cat(&parts, axis)
}
