//! Training objectives for hard and soft labels, as pure functions of logits and target.
//!
//! Letters: `N` batch, `C` classes, `*S` one to three spatial axes, slowest first: `(D, H, W)`.

mod activation;
mod error;
mod number;
mod target;

use std::fmt;

use candle::Tensor;

pub use crate::activation::Activation;
pub use crate::error::{Error, Result};
pub use crate::number::{Fraction, Positive};
pub use crate::target::{Labels, Target};

/// A differentiable objective to be minimised.
///
/// A loss is a pure function: it owns its settings, and neither parameters nor state. It never
/// leaves the device: no value is read back, no branch depends on one.
pub trait Loss: fmt::Debug + Send + Sync {
    /// The loss of a batch: a scalar, on the logits' device, with its graph; `f32` for logits of
    /// half precision, else of their dtype.
    ///
    /// `logits` has shape `(N, C, *S)`, before any activation.
    ///
    /// # Errors
    ///
    /// Where the target does not fit the logits, where it is soft and this loss is not minimised
    /// by predicting it ([`Error::SoftTarget`]), or where a tensor operation fails.
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor>;

    /// Whether the loss of a soft target is smallest where the prediction equals it.
    fn soft_label_ready(&self) -> bool;
}
