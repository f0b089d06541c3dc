//! Channels side by side.

use candle::{D, Result, Tensor};

use crate::backend::is_native;
use crate::native;

/// The channels of `parts`, `(N, *S, C₁)`, `(N, *S, C₂)`, …, side by side: `(N, *S, C₁ + C₂ + …)`,
/// as a skip connection wants them.
///
/// # Errors
///
/// Where there are no parts, or they differ in more than their channels.
pub fn concat(parts: &[&Tensor]) -> Result<Tensor> {
    let Some((first, rest)) = parts.split_first() else {
        candle::bail!("concat of no tensors");
    };
    let leading = |x: &Tensor| x.dims().split_last().map(|(_, leading)| leading.to_vec());
    if let Some(other) = rest.iter().find(|part| leading(part) != leading(first)) {
        let (first, other) = (first.dims(), other.dims());
        candle::bail!("concat of tensors of shapes {first:?} and {other:?}");
    }
    if !is_native("concat", first)? {
        return Tensor::cat(parts, D::Minus1)?.contiguous();
    }
    let first = first.contiguous()?;
    rest.iter().try_fold(first, |joined, part| native::concat(&joined, part))
}
