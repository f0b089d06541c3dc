//! Weights between PyTorch's layout and the one that matrix products want.

use super::plan::Plan;
use crate::kernels::fresh::in_pieces;

/// The weight, `(coarse, fine / groups, *K)`, as `(kz, ky, taps of the plan, groups, source channels
/// of a group, target channels of a group)`.
pub(crate) fn pack(plan: &Plan, weight: &[f32]) -> Vec<f32> {
    let [depth, height, width] = plan.kernel;
    let taps = depth * height * width;
    let sources = plan.source.channels / plan.groups;
    let targets = plan.target.channels / plan.groups;
    // The weight lists the coarse side first: where it is the target, its channels are far apart.
    let (source_step, target_step) =
        if plan.source_is_coarse { (targets * taps, taps) } else { (taps, sources * taps) };
    let used = plan.order.len();

    let blocks = depth * height * used * plan.groups;
    in_pieces(blocks * sources * targets, sources * targets, |block, packed| {
        let (tap, group) = (block / plan.groups, block % plan.groups);
        let tap = tap / used * width + plan.order[tap % used];
        let weight = &weight[group * sources * targets * taps + tap..];
        for (source, row) in packed.chunks_exact_mut(targets).enumerate() {
            for (target, value) in row.iter_mut().enumerate() {
                *value = weight[source * source_step + target * target_step];
            }
        }
    })
}
