//! Convolutions with kernels of 3 and stride 1, with fewer multiplications (Winograd's minimal
//! filtering; Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016).
//!
//! Along an axis, two neighboring results of a kernel of 3 need 6 products; from four sums of the
//! inputs and four sums of the weights they need 4, F(2, 3). Four results need 12, or 6 of six sums,
//! F(4, 3): in three dimensions 64 to 144 products in place of 216 to 864. The sums are short, and
//! rounding errors stay near those of a plain convolution ([`Method`](crate::Method) says how near).
//!
//! A *tile* is what one product of sums gives: one, two or four neighboring voxels along each axis. A
//! *row* is the lines of the result that its tiles share, along the two slower axes, and a *strip* a
//! part of a row, short enough for the nearest cache. The work goes in three stages: sums of the lines
//! that a strip sees, normalized as they are read, over the two slower axes ([`lines`], [`source`]);
//! for each of those sums, further sums along the line, products with the weights, and sums back along
//! the line ([`columns`]); sums back over the slower axes. What a block of strips needs stays in the
//! cache throughout.

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
pub(crate) use self::weights::Weights;
