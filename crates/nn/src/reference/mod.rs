//! The reference path: every layer out of candle operations whose gradients are right on every
//! device that multiplies matrices.
//!
//! It is the oracle that the native kernels are checked against, and what runs where there are
//! none.

mod act;
mod axis;
mod class_sums;
mod conv;
mod norm;
mod pool;

pub(crate) use self::act::{activate, prelu, softmax};
pub(crate) use self::axis::map_axis;
pub(crate) use self::class_sums::class_sums;
pub(crate) use self::conv::{gather, scatter};
pub(crate) use self::norm::{normalize, standardize};
pub(crate) use self::pool::{max_pool, pad_constant};
