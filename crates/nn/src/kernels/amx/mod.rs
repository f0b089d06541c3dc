//! Convolutions of bf16 by the tiles of x86-64 processors that have them (Intel's AMX).
//!
//! A tile is 16 rows of 64 bytes; one instruction multiplies 16 voxels by 32 channels with 32 channels by
//! 16 others, bf16 by bf16 with sums in single precision. Here everything is laid out for whole tiles
//! first: voxels with zeros around them, 32 channels at a time ([`padded`], [`voxels`]); weights in
//! pairs of channels ([`weights`]); for the gradient of the weight, one side with its voxels next to each
//! other, the other in pairs of voxels ([`rows`]). Then each block of two by two tiles is one loop over
//! taps and channels ([`block`]).
//!
//! The instructions themselves are behind [`tiles::Tiles`], which is implemented twice: by the processor
//! ([`hardware`]), and, for tests on any machine, by plain Rust. Who may use the processor's says
//! [`Grant`].
//!
//! What is read is rounded to bf16, if it is not stored so; products are exact, sums single precision.

mod block;
mod convolve;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod gate;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod hardware;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "absent.rs"]
mod hardware;
mod padded;
mod rows;
mod sweep;
#[cfg(test)]
mod tests;
mod tiles;
mod voxels;
mod weight_gradient;
mod weights;

pub(crate) use self::hardware::Grant;
use self::hardware::Hardware;
pub(crate) use self::sweep::Sweep;
use super::element::Element;
use super::reading::Part;
use crate::geometry::Geometry;

/// The convolution that `sweep` describes, of the channels of `parts` side by side, with a weight of
/// PyTorch's layout.
pub(crate) fn convolve<T: Element>(
    grant: Grant,
    sweep: &Sweep,
    parts: &[Part<'_>],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<T> {
    convolve::convolve::<Hardware, T>(grant, sweep, parts, weight, bias)
}

/// The gradient with respect to the weight, `(coarse, fine, *K)`, of the convolution from `fine` to
/// `coarse`, where `coarse` is the gradient of its result; or of its transpose, with the roles of input
/// and gradient exchanged.
pub(crate) fn weight_gradient(
    grant: Grant,
    geometry: &Geometry,
    fine: &[Part<'_>],
    coarse: &[Part<'_>],
) -> Vec<f32> {
    weight_gradient::weight_gradient::<Hardware>(grant, geometry, fine, coarse)
}
