//! Convolution and transposed convolution, line by line.
//!
//! A line of the target is a sum of matrix products: for each line of the source that it sees, and
//! each run of neighboring taps, the source voxels (read with overlap, straight from a copy with
//! zeros at its ends) times the weights of the run. Nothing is unrolled into columns.

use super::fresh::in_tasks;
use super::gemm::{Strides, add_product};
use super::plan::{Plan, Side, Strip};
use super::product::{Left, Product, Right, Sum};
use super::scratch::with_scratch;
use super::tile::{Cut, Halo, Tile};
use crate::isa::isa;

/// The convolution that `plan` describes, of `source`, `(N, *S, C)`, with weights as
/// [`pack`](super::pack::pack) returns them.
pub(crate) fn convolve(
    plan: &Plan,
    source: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let Side { space: [depth, height, _], .. } = plan.target;
    let line = plan.target.line();
    let padded = plan.source.line() + (plan.margin.0 + plan.margin.1) * plan.source.channels;
    let needs = |axis: usize| plan.sources(axis, 0, plan.target.space[axis]).len();
    let reach = |axis: usize| {
        let seen = |at: usize| plan.sources(axis, at, at + 1).len();
        (0..plan.target.space[axis]).map(seen).max().unwrap_or(0)
    };
    let halo = Halo {
        step: [needs(0), needs(1)],
        scale: [depth, height],
        reach: [reach(0), reach(1)],
        line: 4 * padded,
    };
    let cut = Cut::new(plan.batch, [depth, height], 4 * line, &halo);
    let tiles = cut.tiles(plan.batch);
    let lines = plan.batch * depth * height;
    in_tasks(
        (lines, line),
        tiles.len(),
        |line| cut.tile_of(line),
        |task, lines| {
            if let Some(bias) = bias {
                for voxel in lines.iter_mut().flat_map(|line| line.chunks_exact_mut(bias.len())) {
                    voxel.copy_from_slice(bias);
                }
            }
            run(plan, tiles[task], source, packed, lines);
        },
    )
}

/// The lines of a source that a tile sees, with zeros at their ends.
struct Patch<'a> {
    values: &'a [f32],
    /// The first line along z and y, and lines along y.
    first: (usize, usize),
    height: usize,
    /// Values of a line.
    line: usize,
}

impl Patch<'_> {
    fn line(&self, z: usize, y: usize) -> &[f32] {
        let at = (z - self.first.0) * self.height + y - self.first.1;
        &self.values[at * self.line..][..self.line]
    }
}

fn run(plan: &Plan, tile: Tile, source: &[f32], packed: &[f32], lines: &mut [&mut [f32]]) {
    let Side { space: [depth, height, _], .. } = plan.source;
    let line = plan.source.line();
    if plan.margin == (0, 0) {
        let values = &source[tile.n * depth * height * line..][..depth * height * line];
        let patch = Patch { values, first: (0, 0), height, line };
        return sum_taps(plan, tile, &patch, packed, lines);
    }
    let depths = plan.sources(0, tile.z.0, tile.z.1);
    let heights = plan.sources(1, tile.y.0, tile.y.1);
    let before = plan.margin.0 * plan.source.channels;
    let padded = line + before + plan.margin.1 * plan.source.channels;
    with_scratch(depths.len() * heights.len() * padded, |values| {
        let mut copies = values.chunks_exact_mut(padded);
        for z in depths.clone() {
            for (y, copy) in heights.clone().zip(&mut copies) {
                copy[..before].fill(0.0);
                let at = plan.source.line_at(tile.n, z, y) * line;
                copy[before..before + line].copy_from_slice(&source[at..at + line]);
                copy[before + line..].fill(0.0);
            }
        }
        let first = (depths.start, heights.start);
        let patch = Patch { values, first, height: heights.len(), line: padded };
        sum_taps(plan, tile, &patch, packed, lines);
    });
}

/// Adds to each line what it sees of the patch. Taps go outside, lines inside: a tap's weights are
/// then read from the cache.
fn sum_taps(plan: &Plan, tile: Tile, patch: &Patch<'_>, packed: &[f32], lines: &mut [&mut [f32]]) {
    let [deep, high, _] = plan.kernel;
    let taps = packed.len() / (deep * high);
    for tap_z in 0..deep {
        for tap_y in 0..high {
            let weights = &packed[(tap_z * high + tap_y) * taps..][..taps];
            let mut lines = lines.iter_mut();
            for z in tile.z.0..tile.z.1 {
                for (y, line) in (tile.y.0..tile.y.1).zip(&mut lines) {
                    let seen = (plan.source_at(0, z, tap_z), plan.source_at(1, y, tap_y));
                    if let (Some(z), Some(y)) = seen {
                        for strip in &plan.strips {
                            add_strip(plan, strip, patch.line(z, y), weights, line);
                        }
                    }
                }
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
    let isa = isa();
    if plan.groups == 1 && outputs.is_multiple_of(isa.lanes()) {
        let lanes = isa.lanes();
        return isa.run(Product {
            rows: strip.count,
            inner: strip.taps * inputs,
            columns: outputs,
            left: Left { values: &source[first..], row: strip.source_step * inputs, step: 1 },
            right: Right {
                values: &weights[strip.tap * inputs * outputs..],
                panel: 2 * lanes,
                step: outputs,
            },
            sum: Sum { values: target, row: strip.step * outputs, add: true },
        });
    }
    if plan.groups == 1 {
        add_product(
            (strip.count, strip.taps * inputs, outputs),
            (target, strip.step * outputs),
            (&source[first..], strides),
            (&weights[strip.tap * inputs * outputs..], Strides::rows(outputs)),
        );
        return;
    }
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
