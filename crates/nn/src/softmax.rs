//! Probabilities of classes.

use candle::{Result, Tensor, bail};

use crate::backend::is_native;
use crate::{native, reference};

/// Over the middle axis of a tensor `(outer, classes, inner)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Along {
    pub(crate) outer: usize,
    pub(crate) classes: usize,
    pub(crate) inner: usize,
    /// Whether the logarithm is asked for.
    pub(crate) logarithm: bool,
}

/// The softmax over the channels of `x`, `(N, *S, C)`.
///
/// # Errors
///
/// Where `x` has no axis, or a tensor operation fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    along(x, last("softmax", x)?, false)
}

/// The logarithm of the softmax over the channels of `x`, `(N, *S, C)`, without overflow.
///
/// # Errors
///
/// Where `x` has no axis, or a tensor operation fails.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    along(x, last("log_softmax", x)?, true)
}

/// The softmax along any axis of `x`, such as 1 of logits `(N, C, *S)`.
///
/// # Errors
///
/// Where `x` has no such axis, or a tensor operation fails.
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
///
/// // One sample, two classes, three voxels.
/// let logits = Tensor::new(&[[[0f32, 9., -9.], [0., -9., 9.]]], &Device::Cpu)?;
/// let p = sconce_nn::softmax_along(&logits, 1)?;
/// assert_eq!(p.to_vec3::<f32>()?[0][0][0], 0.5);
/// # Ok::<(), candle::Error>(())
/// ```
pub fn softmax_along(x: &Tensor, axis: usize) -> Result<Tensor> {
    along(x, axis, false)
}

/// The logarithm of the softmax along any axis of `x`, without overflow.
///
/// # Errors
///
/// Where `x` has no such axis, or a tensor operation fails.
pub fn log_softmax_along(x: &Tensor, axis: usize) -> Result<Tensor> {
    along(x, axis, true)
}

fn last(op: &'static str, x: &Tensor) -> Result<usize> {
    match x.rank().checked_sub(1) {
        Some(axis) => Ok(axis),
        None => bail!("{op} of a scalar; it takes one axis or more"),
    }
}

fn along(x: &Tensor, axis: usize, logarithm: bool) -> Result<Tensor> {
    let dims = x.dims();
    let Some((outer, [classes, inner @ ..])) = dims.split_at_checked(axis) else {
        bail!("softmax along axis {axis} of a tensor of shape {dims:?}");
    };
    if x.elem_count() == 0 || !is_native("softmax", x)? {
        return reference::softmax(x, axis, logarithm);
    }
    let (outer, inner) = (outer.iter().product(), inner.iter().product());
    native::softmax(x, Along { outer, classes: *classes, inner, logarithm })
}
