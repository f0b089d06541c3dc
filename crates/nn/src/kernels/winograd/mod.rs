//! Convolutions with kernels of 3 and stride 1, with fewer multiplications (Winograd's minimal
//! filtering, F(2, 3) along each axis; Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", 2016).
//!
//! Along an axis, two neighboring results of a kernel of 3 need 6 products; from four sums of the
//! inputs and four sums of the weights they need 4: in three dimensions 64 products in place of 216.
//! The sums are short, and rounding errors stay those of a plain convolution.
//!
//! A *row* is two by two neighboring lines of the result (one line along an axis that the kernel
//! does not extend over), a *tile* two neighboring voxels of a row, along the last axis. The work
//! goes in three stages: sums of the lines that a row sees, over the two slower axes ([`lines`]);
//! for each of those sums, further sums along the line, products with the weights, and sums back
//! along the line ([`columns`]); sums back over the slower axes. What a block of rows needs stays in
//! the cache throughout.

mod columns;
mod convolve;
mod lines;
mod source;
mod tiling;
mod transform;
mod weight_gradient;
mod weights;

pub(crate) use self::convolve::{Convolved, convolve};
pub(crate) use self::source::Source;
pub(crate) use self::tiling::Tiling;
pub(crate) use self::weight_gradient::weight_gradient;
