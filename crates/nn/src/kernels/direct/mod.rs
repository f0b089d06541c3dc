//! Convolution and transposed convolution as they are defined, for what [`winograd`](super::winograd)
//! does not cover.
//!
//! Voxels of the target that see the same taps are rows of one matrix product, with weights that lie
//! in panels of channels: for each run of neighboring taps, the source voxels are read where they are,
//! or from a copy of their line with zeros at its ends. Nothing is unrolled into columns.

mod grouped;
mod pack;
mod panels;
mod patch;
pub(crate) mod plan;
mod pointwise;
mod tiles;
mod weight_gradient;

pub(crate) use self::plan::Plan;
pub(crate) use self::weight_gradient::weight_gradient;

/// The convolution that `plan` describes, of `source`, `(N, *S, C)`, with a weight of PyTorch's
/// layout.
pub(crate) fn convolve(
    plan: &Plan,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    if plan.groups > 1 {
        grouped::convolve(plan, source, weight, bias)
    } else if plan.is_pointwise() {
        pointwise::convolve(plan, source, weight, bias)
    } else {
        tiles::convolve(plan, source, weight, bias)
    }
}
