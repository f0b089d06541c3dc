//! Convolution and transposed convolution as they are defined, for what [`winograd`](super::winograd)
//! does not cover.
//!
//! A line of the target is a sum of matrix products: for each line of the source that it sees, and
//! each run of neighboring taps, the source voxels (read with overlap, straight from a copy with
//! zeros at its ends) times the weights of the run. Nothing is unrolled into columns.

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
