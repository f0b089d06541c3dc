//! The gradient of the weight of a convolution: for each tap, the sum over voxels of the products of
//! what the tap sees and the gradient of the result.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::geometry::Geometry;
use crate::isa::{Isa, isa};
use crate::kernels::fresh::in_pieces;
use crate::kernels::product::{Pair, Pairs, add_pairs};
use crate::kernels::scratch::with_scratch;
use crate::kernels::tile::Tile;

use super::patch::{self, Patch};
use super::plan::{Plan, Strip};
use super::tiles::cut;

/// Bytes that partial sums may take in all.
const PARTIAL_BYTES: usize = 8 << 20;
/// Parts of space that are summed by themselves, where that is cheap.
const PARTS: usize = 16;
/// Bytes of gradients that are copied at a time, where a task goes through all of space.
const SLAB_BYTES: usize = 256 << 10;
/// Values of a voxel below which those of neighboring taps are read as one.
const FEW: usize = 16;
/// Values of the sums that one task merges.
const MERGED: usize = 1 << 14;

/// The gradient with respect to the weight, `(coarse, fine / groups, *K)`, of the convolution from
/// `fine` to `coarse`, where `coarse` is the gradient of its result; or of its transpose, with the
/// roles of input and gradient exchanged.
pub(crate) fn weight_gradient(geometry: &Geometry, fine: &[f32], coarse: &[f32]) -> Vec<f32> {
    let setting = Setting::new(geometry, fine, coarse);
    let all = setting.lines() * setting.blocks() * setting.block();
    let tiles = cut(&setting.plan).tiles(geometry.batch);
    let parts = PARTS.min(tiles.len());
    if 4 * all * parts > PARTIAL_BYTES {
        return setting.unpack(&setting.by_blocks());
    }
    with_scratch(parts * all, |partial| {
        partial.par_chunks_exact_mut(all).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            for &tile in &tiles[part * tiles.len() / parts..(part + 1) * tiles.len() / parts] {
                setting.add_tile(tile, sums);
            }
        });
        let merged = in_pieces(all, MERGED, |piece, sums| {
            for part in partial.chunks_exact(all) {
                for (sum, value) in sums.iter_mut().zip(&part[piece * MERGED..]) {
                    *sum += value;
                }
            }
        });
        setting.unpack(&merged)
    })
}

/// What all tasks share.
///
/// Sums lie in blocks `(taps of a line, fine channels of a group, panel)`, one for each line of taps,
/// group, and panel of coarse channels.
struct Setting<'a> {
    isa: Isa,
    /// The convolution, from the fine side to the coarse one.
    plan: Plan,
    fine: &'a [f32],
    coarse: &'a [f32],
    /// Fine and coarse channels of a group.
    inputs: usize,
    outputs: usize,
    /// Coarse channels of a panel, up to two vectors.
    panel: usize,
}

/// Taps that are summed together: one of them or, where voxels are small, all of a strip.
struct Unit {
    /// The line of taps.
    line: usize,
    /// The row of the block where their sums begin, and how many there are.
    row: usize,
    rows: usize,
    pairs: Pairs,
}

impl<'a> Setting<'a> {
    fn new(geometry: &Geometry, fine: &'a [f32], coarse: &'a [f32]) -> Self {
        let (isa, plan) = (isa(), Plan::gather(geometry));
        let [inputs, outputs] = [plan.source, plan.target].map(|side| side.channels / plan.groups);
        let panel = outputs.next_multiple_of(isa.lanes()).min(2 * isa.lanes());
        Self { isa, plan, fine, coarse, inputs, outputs, panel }
    }

    /// Lines of taps.
    fn lines(&self) -> usize {
        self.plan.kernel[0] * self.plan.kernel[1]
    }

    /// Panels of a group.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.panel)
    }

    /// Blocks of a line of taps.
    fn blocks(&self) -> usize {
        self.plan.groups * self.panels()
    }

    /// Values of a block.
    fn block(&self) -> usize {
        self.plan.order.len() * self.inputs * self.panel
    }

    /// Where weights are large: each task one block, over all of space.
    fn by_blocks(&self) -> Vec<f32> {
        let [depth, height, width] = self.plan.target.space;
        let planes = (SLAB_BYTES / (4 * height * width * self.panel)).clamp(1, depth);
        let slabs = (0..depth).step_by(planes).map(|z| (z, (z + planes).min(depth)));
        let slab = |n: usize, z: (usize, usize)| Tile { n, z, y: (0, height) };
        let slabs: Vec<Tile> =
            slabs.flat_map(|z| (0..self.plan.batch).map(move |n| slab(n, z))).collect();
        let all = self.lines() * self.blocks() * self.block();
        in_pieces(all, self.block(), |index, sums| {
            let (line, block) = (index / self.blocks(), index % self.blocks());
            for &slab in &slabs {
                self.with_units(slab, line..line + 1, |values, units, panel| {
                    self.add_block(slab, block, (values, units), panel, (&mut *sums, |_| 0));
                });
            }
        })
    }

    /// Adds what `tile`, lines of the coarse side, contributes to all sums.
    fn add_tile(&self, tile: Tile, sums: &mut [f32]) {
        self.with_units(tile, 0..self.lines(), |values, units, panel| {
            for block in 0..self.blocks() {
                let start = |line| (line * self.blocks() + block) * self.block();
                self.add_block(tile, block, (values, units), panel, (&mut *sums, start));
            }
        });
    }

    /// Calls `run` with fine values, which of them meet which voxels of `tile` for `lines` of taps,
    /// and memory for a panel.
    fn with_units(
        &self,
        tile: Tile,
        lines: Range<usize>,
        run: impl FnOnce(&[f32], &[Unit], &mut [f32]),
    ) {
        let plan = &self.plan;
        let panel = tile.lines().count() * plan.target.space[2] * self.panel;
        if plan.groups > 1 || self.inputs >= FEW {
            let start = |[z, y]: [usize; 2]| plan.source.line_at(tile.n, z, y) * plan.source.line();
            let units = self.units(tile, lines, start, 0);
            return with_scratch(panel, |panel| run(self.fine, &units, panel));
        }
        let copies = patch::scratch(plan, tile);
        with_scratch(copies + panel, |memory| {
            let (copies, panel) = memory.split_at_mut(copies);
            let patch = Patch::new(plan, tile, self.fine, copies);
            let units = self.units(tile, lines, |at| patch.start(at), plan.margin.0);
            run(patch.values(), &units, panel);
        });
    }

    /// Which values meet which voxels of `tile`, for `lines` of taps, where the source lines begin
    /// where `start` says, with `margin` zeros before them; without zeros where that is none.
    fn units(
        &self,
        tile: Tile,
        lines: Range<usize>,
        start: impl Fn([usize; 2]) -> usize,
        margin: usize,
    ) -> Vec<Unit> {
        let plan = &self.plan;
        let channels = plan.source.channels;
        let is_joined = plan.groups == 1 && self.inputs < FEW;
        let mut units = Vec::new();
        for line in lines {
            let seen: Vec<(usize, usize)> =
                plan.seen(tile, line).map(|(line, at)| (line, start(at))).collect();
            for strip in &plan.strips {
                let taps = if is_joined { strip.taps } else { 1 };
                for tap in (0..strip.taps).step_by(taps) {
                    let source = strip.source + (margin + tap).cast_signed();
                    let voxels =
                        if is_joined { 0..strip.count } else { inside(strip, source, plan) };
                    let pairs = seen.iter().flat_map(|&(line, start)| {
                        voxels.clone().map(move |voxel| {
                            let at = source + (voxel * strip.source_step).cast_signed();
                            Pair {
                                left: start + at.cast_unsigned() * channels,
                                right: (line * plan.target.space[2] + voxel) * self.panel,
                            }
                        })
                    });
                    if let Some(pairs) = Pairs::new(pairs) {
                        let row = (strip.tap + tap) * self.inputs;
                        units.push(Unit { line, row, rows: taps * self.inputs, pairs });
                    }
                }
            }
        }
        units
    }

    /// Adds what `tile` contributes to one block of each line of taps, which begins at `start(line)`
    /// of the sums.
    fn add_block(
        &self,
        tile: Tile,
        block: usize,
        (values, units): (&[f32], &[Unit]),
        panel: &mut [f32],
        (sums, start): (&mut [f32], impl Fn(usize) -> usize),
    ) {
        let (group, number) = (block / self.panels(), block % self.panels());
        let kept = self.panel.min(self.outputs - number * self.panel);
        self.copy(tile, group * self.outputs + number * self.panel, kept, panel);
        let left = &values[group * self.inputs..];
        for unit in units {
            let sums = &mut sums[start(unit.line) + unit.row * self.panel..];
            self.isa.run(OfUnit { unit, width: self.panel, left, panel, sums });
        }
    }

    /// Copies `kept` channels from `first` on of the coarse lines of `tile` into `panel`, with zeros
    /// after them.
    fn copy(&self, tile: Tile, first: usize, kept: usize, panel: &mut [f32]) {
        let side = self.plan.target;
        let lines = panel.chunks_exact_mut(side.space[2] * self.panel);
        for ([z, y], copy) in tile.lines().zip(lines) {
            let line = &self.coarse[side.line_at(tile.n, z, y) * side.line()..][..side.line()];
            let voxels = line.chunks_exact(side.channels);
            for (copy, voxel) in copy.chunks_exact_mut(self.panel).zip(voxels) {
                let (copy, beyond) = copy.split_at_mut(kept);
                copy.copy_from_slice(&voxel[first..first + kept]);
                beyond.fill(0.0);
            }
        }
    }

    /// The sums, in PyTorch's layout.
    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let [deep, high, wide] = self.plan.kernel;
        let taps = deep * high * wide;
        let row = self.inputs * taps;
        in_pieces(self.plan.target.channels * row, row, |channel, weight| {
            let (group, channel) = (channel / self.outputs, channel % self.outputs);
            let block = group * self.panels() + channel / self.panel;
            let column = channel % self.panel;
            for line in 0..deep * high {
                let sums = &sums[(line * self.blocks() + block) * self.block()..];
                for (slot, &tap) in self.plan.order.iter().enumerate() {
                    let rows = sums[slot * self.inputs * self.panel..].chunks_exact(self.panel);
                    let weight = weight[line * wide + tap..].iter_mut().step_by(taps);
                    for (weight, row) in weight.zip(rows).take(self.inputs) {
                        *weight = row[column];
                    }
                }
            }
        })
    }
}

/// The voxels of a strip whose source voxel, that of the first one being `source`, there is.
fn inside(strip: &Strip, source: isize, plan: &Plan) -> Range<usize> {
    let step = strip.source_step.cast_signed();
    let first = (-source).max(0).unsigned_abs().div_ceil(strip.source_step);
    let beyond = plan.source.space[2].cast_signed() - source;
    let end = if beyond > 0 { ((beyond - 1) / step + 1).unsigned_abs() } else { 0 };
    let end = end.min(strip.count);
    first.min(end)..end
}

/// The sums of one unit and panel.
struct OfUnit<'a> {
    unit: &'a Unit,
    /// Columns of the panel.
    width: usize,
    left: &'a [f32],
    panel: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for OfUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { unit, width, left, panel, sums } = self;
        let vectors = width / S::F32_LANES;
        add_pairs(simd, &unit.pairs, (unit.rows, vectors), left, panel, (sums, width));
    }
}
