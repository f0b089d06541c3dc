//! Convolution in groups: products of the channels of each group, by the crate `gemm`.

use std::mem::MaybeUninit;

use crate::kernels::fresh::{in_tasks, zeroed};
use crate::kernels::gemm::{Strides, add_product};
use crate::kernels::scratch::with_scratch;
use crate::kernels::tile::Tile;

use super::pack::pack;
use super::patch::{self, Patch};
use super::plan::{Plan, Strip};
use super::tiles::cut;

pub(super) fn convolve(
    plan: &Plan,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let packed = pack(plan, weight);
    let [depth, height, _] = plan.target.space;
    let cut = cut(plan);
    let tiles = cut.tiles(plan.batch);
    let lines = (plan.batch * depth * height, plan.target.line());
    let run = |task: usize, lines: &mut [&mut [MaybeUninit<f32>]]| {
        let mut lines: Vec<&mut [f32]> = lines.iter_mut().map(|line| zeroed(line)).collect();
        if let Some(bias) = bias {
            for voxel in lines.iter_mut().flat_map(|line| line.chunks_exact_mut(bias.len())) {
                voxel.copy_from_slice(bias);
            }
        }
        let tile = tiles[task];
        with_scratch(patch::scratch(plan, tile), |copies| {
            let patch = Patch::new(plan, tile, source, copies);
            sum_taps(plan, tile, patch, &packed, &mut lines);
        });
    };
    #[expect(unsafe_code, reason = "see `in_tasks`")]
    // SAFETY: each line is filled with zeros.
    unsafe {
        in_tasks(lines, tiles.len(), |line| cut.tile_of(line), run)
    }
}

/// Adds to each line what it sees of the patch. Taps go outside, lines inside: a tap's weights are
/// then read from the cache.
fn sum_taps(plan: &Plan, tile: Tile, patch: Patch<'_>, packed: &[f32], lines: &mut [&mut [f32]]) {
    let [deep, high, _] = plan.kernel;
    let taps = packed.len() / (deep * high);
    for tap in 0..deep * high {
        let weights = &packed[tap * taps..][..taps];
        for (line, at) in plan.seen(tile, tap) {
            for strip in &plan.strips {
                add_strip(plan, strip, patch.line(at), weights, lines[line]);
            }
        }
    }
}

/// Adds to the voxels of `strip` what they see of one source line.
fn add_strip(plan: &Plan, strip: &Strip, source: &[f32], weights: &[f32], target: &mut [f32]) {
    let (inputs, outputs) = (plan.source.channels, plan.target.channels);
    let first = (strip.source + plan.margin.0.cast_signed()).cast_unsigned() * inputs;
    let target = &mut target[strip.start * outputs..];
    let strides = Strides::rows(strip.source_step * inputs);
    let (group_inputs, group_outputs) = (inputs / plan.groups, outputs / plan.groups);
    for tap in 0..strip.taps {
        for group in 0..plan.groups {
            let block = (strip.tap + tap) * plan.groups + group;
            add_product(
                (strip.count, group_inputs, group_outputs),
                (&mut target[group * group_outputs..], strip.step * outputs),
                (&source[first + tap * inputs + group * group_inputs..], strides),
                (&weights[block * group_inputs * group_outputs..], Strides::rows(group_outputs)),
            );
        }
    }
}
