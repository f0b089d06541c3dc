//! Segmentation networks.
//!
//! Letters: `N` batch, `C` classes, `*S` two or three spatial axes, slowest first: `(D, H, W)`.
//! Tensors are `(N, C, *S)` at a model's door, both ways; inside, they are `(N, *S, C)`.

mod interface;
mod logits;

use std::fmt;

use candle::Result;
use candle_nn::VarBuilder;

pub use crate::interface::{Input, Interface};
pub use crate::logits::{Head, HeadId, Logits};

/// The settings of a network, from which it is built.
pub trait Architecture: fmt::Debug + Send + Sync {
    /// Builds the network for `interface`, with its parameters under the prefix of `vb`.
    ///
    /// # Errors
    ///
    /// Where the settings contradict each other, or a parameter is missing or of another shape.
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>>;
}

/// A network that maps images to logits.
pub trait Model: fmt::Debug + Send + Sync {
    /// What goes in and what comes out.
    fn interface(&self) -> Interface;

    /// The factor that each spatial extent of the images must be a multiple of, slowest first.
    fn stride(&self) -> &[usize];

    /// The logits of a batch.
    ///
    /// With `train`, all heads; else the main one alone, and no graph beyond what the parameters
    /// ask for.
    ///
    /// # Errors
    ///
    /// Where the images do not fit the interface or [`Model::stride`], or a tensor operation
    /// fails.
    fn forward_t(&self, input: &Input, train: bool) -> Result<Logits>;
}
