//! Convolution without groups, tile by tile of lines and panel by panel of channels.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::Isa;
use crate::isa::isa;
use crate::kernels::fresh::{in_new_pieces, in_pieces, in_tasks};
use crate::kernels::product::{Row, Rows, Segment, add_rows};
use crate::kernels::scratch::with_scratch;
use crate::kernels::tile::{Cut, Halo, Tile};
use crate::kernels::vectors::{load, store_new};

use super::panels::Panels;
use super::patch::{self, Patch};
use super::plan::{Plan, Side, Strip};

/// Bytes of copies that a task makes at a time, where it goes through all of space.
const SLAB_BYTES: usize = 1 << 20;
/// Tasks below which threads would wait for each other.
const TASKS: usize = 16;

pub(super) fn convolve(
    plan: &Plan,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let isa = isa();
    let panels = Panels::new(isa, plan, weight, bias);
    let setting = Setting { isa, plan, source, panels: &panels };
    let targets = plan.batch * plan.target.space.iter().product::<usize>() * panels.channels;
    if panels.bytes() > 4 * (source.len() + targets) {
        setting.by_panels()
    } else {
        setting.by_tiles()
    }
}

/// How the lines of the target are cut into tiles that stay in the cache.
pub(super) fn cut(plan: &Plan) -> Cut {
    let [depth, height, _] = plan.target.space;
    let needs = |axis: usize| plan.sources(axis, 0, plan.target.space[axis]).len();
    let reach = |axis: usize| {
        let seen = |at: usize| plan.sources(axis, at, at + 1).len();
        (0..plan.target.space[axis]).map(seen).max().unwrap_or(0)
    };
    let halo = Halo {
        step: [needs(0), needs(1)],
        scale: [depth, height],
        reach: [reach(0), reach(1)],
        line: 4 * patch::padded(plan),
    };
    Cut::new(plan.batch, [depth, height], 4 * plan.target.line(), &halo)
}

/// What all tasks share.
struct Setting<'a> {
    isa: Isa,
    plan: &'a Plan,
    source: &'a [f32],
    panels: &'a Panels,
}

impl Setting<'_> {
    /// The voxels of `tile`, those together that see the same taps in the same places of the patch.
    fn rows(&self, tile: Tile, patch: Patch<'_>) -> Vec<Rows> {
        let plan = self.plan;
        let mut kinds: Vec<(Vec<Segment>, Vec<Row>)> = Vec::new();
        for (line, at) in tile.lines().enumerate() {
            let seen: Vec<(usize, usize)> = (0..plan.kernel[0] * plan.kernel[1])
                .filter_map(|tap| Some((tap, patch.start(plan.sees(at, tap)?))))
                .collect();
            let Some(origin) = seen.iter().map(|&(_, start)| start).min() else { continue };
            let mut strips = plan.strips.as_slice();
            while let Some(strip) = strips.first() {
                let same = strips.iter().take_while(|other| other.start == strip.start).count();
                let segments = self.segments(&seen, origin, &strips[..same]);
                let rows = (0..strip.count).map(|voxel| Row {
                    left: origin + voxel * strip.source_step * plan.source.channels,
                    sum: (line * plan.target.space[2] + strip.start + voxel * strip.step)
                        * self.panels.width,
                });
                match kinds.iter_mut().find(|kind| kind.0 == segments) {
                    Some(kind) => kind.1.extend(rows),
                    None => kinds.push((segments, rows.collect())),
                }
                strips = &strips[same..];
            }
        }
        let step = self.panels.width;
        kinds.into_iter().filter_map(|(segments, rows)| Rows::new(rows, segments, step)).collect()
    }

    /// What the voxels of `strips` see by the lines of taps in `seen`, which begin at so many values of
    /// the patch.
    fn segments(&self, seen: &[(usize, usize)], origin: usize, strips: &[Strip]) -> Vec<Segment> {
        let (plan, inputs) = (self.plan, self.plan.source.channels);
        let of_line = |&(tap, start): &(usize, usize)| {
            strips.iter().map(move |strip| Segment {
                left: start - origin
                    + (strip.source + plan.margin.0.cast_signed()).cast_unsigned() * inputs,
                right: (tap * plan.order.len() + strip.tap) * inputs * self.panels.width,
                length: strip.taps * inputs,
            })
        };
        seen.iter().flat_map(of_line).collect()
    }

    /// Each task one tile, all channels of it.
    fn by_tiles(&self) -> Vec<f32> {
        let (plan, panels) = (self.plan, self.panels);
        let Side { space: [depth, height, width], .. } = plan.target;
        let cut = cut(plan);
        let tiles = cut.tiles(plan.batch);
        let lines = plan.batch * depth * height;
        let task_of = |line| cut.tile_of(line);
        let run = |task: usize, lines: &mut [&mut [MaybeUninit<f32>]]| {
            let tile = tiles[task];
            let copies = patch::scratch(plan, tile);
            with_scratch(copies + lines.len() * width * panels.width, |memory| {
                let (copies, sums) = memory.split_at_mut(copies);
                let patch = Patch::new(plan, tile, self.source, copies);
                let rows = self.rows(tile, patch);
                for panel in 0..panels.count() {
                    let sums = &mut *sums;
                    self.isa.run(OfTile { panels, rows: &rows, patch, panel, sums });
                    let sums = sums.chunks_exact(width * panels.width);
                    for (line, sums) in lines.iter_mut().zip(sums) {
                        self.isa.run(Write { panels, panel, sums, line });
                    }
                }
            });
        };
        #[expect(unsafe_code, reason = "see `in_tasks`")]
        // SAFETY: `write` writes all channels of a panel, for each line and panel.
        unsafe {
            in_tasks((lines, plan.target.line()), tiles.len(), task_of, run)
        }
    }

    /// Where weights are large and space is small: each task one panel of one part of space, so that
    /// weights are read once.
    fn by_panels(&self) -> Vec<f32> {
        let (plan, panels) = (self.plan, self.panels);
        let Side { space: [depth, height, width], .. } = plan.target;
        let planes = plan.batch * depth;
        let parts = TASKS.div_ceil(panels.count()).min(planes);
        let part = planes.div_ceil(parts);
        let plane = height * width * panels.width;
        // What a part of space sees is copied once, for all panels.
        let slabs: Vec<Slab> = (0..planes)
            .step_by(part)
            .flat_map(|first| self.slabs(first..(first + part).min(planes)))
            .collect();
        let mut memory: Vec<Vec<f32>> =
            slabs.iter().map(|slab| vec![0.0; patch::scratch(plan, slab.tile)]).collect();
        let patches: Vec<(Patch<'_>, Vec<Rows>)> = (memory.par_iter_mut().zip(&slabs))
            .map(|(copies, slab)| {
                let patch = Patch::new(plan, slab.tile, self.source, copies);
                (patch, self.rows(slab.tile, patch))
            })
            .collect();
        // By part, panel and plane; the last part may be short of planes.
        let size = part * plane;
        let all = planes.div_ceil(part) * panels.count() * size;
        let sums = in_pieces(all, size, |index, sums| {
            let (number, panel) = (index / panels.count(), index % panels.count());
            let first = number * part;
            for (slab, (patch, rows)) in slabs.iter().zip(&patches) {
                if (first..first + part).contains(&slab.planes.start) {
                    let [from, to] =
                        [slab.planes.start, slab.planes.end].map(|at| (at - first) * plane);
                    let (patch, sums) = (*patch, &mut sums[from..to]);
                    self.isa.run(OfTile { panels, rows, patch, panel, sums });
                }
            }
        });
        let line = plan.target.line();
        let run = |index: usize, line: &mut [MaybeUninit<f32>]| {
            let (at, y) = (index / height, index % height);
            for panel in 0..panels.count() {
                let first = (at / part * panels.count() + panel) * size + at % part * plane;
                let sums = &sums[first + y * width * panels.width..][..width * panels.width];
                self.isa.run(Write { panels, panel, sums, line: &mut *line });
            }
        };
        #[expect(unsafe_code, reason = "see `in_new_pieces`")]
        // SAFETY: `write` writes all channels of a panel, for each panel.
        unsafe {
            in_new_pieces(planes * height * line, line, run)
        }
    }

    /// Planes `range`, counted over all samples, cut so that each slab lies in one sample and its
    /// copies in the cache.
    fn slabs(&self, range: Range<usize>) -> Vec<Slab> {
        let [depth, height, _] = self.plan.target.space;
        let tile_of = |from: usize, to: usize| Tile {
            n: from / depth,
            z: (from % depth, from % depth + to - from),
            y: (0, height),
        };
        let mut slabs = Vec::new();
        let mut from = range.start;
        while from < range.end {
            // As many planes of one sample as fit.
            let mut to = from + 1;
            let ends = range.end.min((from / depth + 1) * depth);
            while to < ends && 4 * patch::scratch(self.plan, tile_of(from, to + 1)) <= SLAB_BYTES {
                to += 1;
            }
            slabs.push(Slab { planes: from..to, tile: tile_of(from, to) });
            from = to;
        }
        slabs
    }
}

/// Whole planes of one sample.
struct Slab {
    /// Counted over all samples.
    planes: Range<usize>,
    tile: Tile,
}

/// One panel of the lines of a tile, into sums `(lines, voxels, two vectors)`.
struct OfTile<'a> {
    panels: &'a Panels,
    rows: &'a [Rows],
    patch: Patch<'a>,
    panel: usize,
    sums: &'a mut [f32],
}

impl WithSimd for OfTile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panels, rows, patch, panel, sums } = self;
        let width = panels.width;
        let vectors = panels.columns(panel).div_ceil(S::F32_LANES);
        for voxel in sums.chunks_exact_mut(width) {
            voxel.copy_from_slice(panels.bias(panel));
        }
        for rows in rows {
            add_rows(simd, rows, vectors, patch.values(), panels.weights(panel), sums);
        }
    }
}

/// Writes the sums of one panel into the channels of a line.
struct Write<'a> {
    panels: &'a Panels,
    panel: usize,
    sums: &'a [f32],
    line: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        write(simd, self.panels, self.panel, self.sums, self.line);
    }
}

/// Writes sums `(voxels, two vectors)` of one panel into its channels of `target`, `(voxels, C)`.
#[inline(always)]
pub(super) fn write<S: Simd>(
    simd: S,
    panels: &Panels,
    panel: usize,
    sums: &[f32],
    target: &mut [MaybeUninit<f32>],
) {
    let (first, columns) = (panel * panels.width, panels.columns(panel));
    let whole = columns / S::F32_LANES * S::F32_LANES;
    let voxels = target.chunks_exact_mut(panels.channels).zip(sums.chunks_exact(panels.width));
    for (target, sums) in voxels {
        let target = &mut target[first..first + columns];
        for at in (0..whole).step_by(S::F32_LANES) {
            store_new(simd, target, at, load(simd, sums, at));
        }
        for (target, &sum) in target[whole..].iter_mut().zip(&sums[whole..]) {
            target.write(sum);
        }
    }
}
