//! The gradient of the weight: for each tap, the sum over voxels of the products of what the tap sees and the
//! gradient of the result.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::block::{Block, Factors, Step, TILE};
use super::padded::{Padded, runs};
use super::rows::{Rows, pairs};
use super::sweep::Sweep;
use super::tiles::{Line, ROWS, Sums, Tiles, VALUES, flat};
use super::voxels::Voxels;
use crate::geometry::Geometry;
use crate::isa::{Isa, isa};
use crate::kernels::fresh::in_pieces;
use crate::kernels::reading::Part;

/// Bytes that partial sums may take in all.
const PARTIAL_BYTES: usize = 8 << 20;
/// Parts of space that are summed by themselves, where that is cheap; and tasks, else.
const TASKS: usize = 16;
/// Bytes of both sides that are gone through for each tap.
const SLAB_BYTES: usize = 512 << 10;

pub(super) fn weight_gradient<T: Tiles>(
    grant: T::Grant,
    geometry: &Geometry,
    fine: &[Part<'_>],
    coarse: &[Part<'_>],
) -> Vec<f32> {
    let (isa, sweep) = (isa(), Sweep::gather(geometry));
    let padded = Padded::new(&sweep);
    let (source, target) = (sweep.source, sweep.target);
    let runs = runs(target.space[1], target.space[2], padded.width, VALUES);
    let coarse = Voxels::new(coarse, target, sweep.batch);
    let right = pairs(isa, &coarse, (target, sweep.batch), padded.width, &runs);
    let fine = Voxels::new(fine, source, sweep.batch);
    let left = Rows::new(isa, &fine, &padded, sweep.batch);
    let mut starts = Vec::new();
    for plane in 0..sweep.batch * target.space[0] {
        let (n, z) = (plane / target.space[0], plane % target.space[0]);
        let plane = n * padded.depth + z * sweep.stride[0];
        starts.extend(runs.iter().map(|&(place, _)| left.at(plane, 0, place)));
    }
    let chunks = [fine.chunks(), coarse.chunks()];
    let units = units(&sweep, &padded, &left, chunks);
    let setting = Setting { isa, sweep, left, right, starts, chunks, units };
    setting.unpack(&setting.sums::<T>(grant))
}

/// What all tasks share.
struct Setting {
    isa: Isa,
    sweep: Sweep,
    left: Rows,
    right: Vec<Line>,
    /// Where each run begins on the left.
    starts: Vec<usize>,
    /// Pieces of 32 channels of either side.
    chunks: [usize; 2],
    units: Vec<Unit>,
}

/// Sums of one tap, 32 channels by 32: a block.
struct Unit {
    /// From where runs begin to what the tap sees of the first channel.
    left: usize,
    /// Which of the channels of the coarse side.
    right: usize,
    /// Tiles along either side.
    shape: (usize, usize),
}

/// By tap, and pieces of fine and coarse channels.
fn units(sweep: &Sweep, padded: &Padded, rows: &Rows, chunks: [usize; 2]) -> Vec<Unit> {
    let [z, y, x] = [0, 1, 2].map(|axis| &sweep.axes[axis][0].taps);
    let tiles = |channels: usize, chunk: usize| (channels - chunk * VALUES).div_ceil(ROWS).min(2);
    let mut units = Vec::with_capacity(sweep.taps() * chunks[0] * chunks[1]);
    for &(_, z) in z {
        for &(_, y) in y {
            for &(_, x) in x {
                let (plane, place) = padded.place([z, y, x]);
                for fine in 0..chunks[0] {
                    let left = rows.at(plane, fine, place);
                    let rows = tiles(sweep.source.channels, fine);
                    units.extend((0..chunks[1]).map(|right| {
                        let shape = (rows, tiles(sweep.target.channels, right));
                        Unit { left, right, shape }
                    }));
                }
            }
        }
    }
    units
}

/// Sums of all parts of space.
struct Partial {
    sums: Vec<OfUnit>,
    /// Units that a part has room for.
    size: usize,
}

/// By rows and columns of tiles.
#[derive(Clone, Copy)]
struct OfUnit([Sums; 4]);

impl Default for OfUnit {
    fn default() -> Self {
        Self([Sums::ZERO; 4])
    }
}

impl Setting {
    fn sums<T: Tiles>(&self, grant: T::Grant) -> Partial {
        let slab = SLAB_BYTES / (2 * VALUES * VALUES * (self.chunks[0] + self.chunks[1]));
        let slab = slab.max(1);
        let slabs = self.starts.len().div_ceil(slab);
        let bytes = size_of::<OfUnit>() * self.units.len();
        let parts = (PARTIAL_BYTES / bytes).clamp(1, TASKS).min(slabs);
        let group = self.units.len().div_ceil(TASKS.div_ceil(parts));
        let groups = self.units.len().div_ceil(group);
        let size = groups * group;
        let sums = in_pieces(parts * size, group, |index, sums: &mut [OfUnit]| {
            let (part, first) = (index / groups, index % groups * group);
            let units = &self.units[first..self.units.len().min(first + group)];
            let slabs = part * slabs / parts..(part + 1) * slabs / parts;
            self.isa.run(OfPart::<T> { setting: self, grant, units, slabs, slab, sums });
        });
        Partial { sums, size }
    }

    /// Adds the products of some runs to the sums of a unit.
    #[inline(always)]
    fn add<T: Tiles>(
        &self,
        block: &mut Block<T>,
        unit: &Unit,
        steps: Range<usize>,
        sums: &mut [Sums; 4],
    ) {
        let (left, step) = (self.left.values(), self.left.step());
        let first = steps.start;
        let steps = self.starts[steps].iter().enumerate().map(|(at, start)| {
            let upper = start + unit.left;
            let right = ((first + at) * self.chunks[1] + unit.right) * 2 * TILE;
            Step { left: [upper, upper + ROWS * step], right }
        });
        let mut more = [Sums::ZERO; 4];
        block.sum(unit.shape, Factors { left, step, right: flat(&self.right) }, &steps, &mut more);
        for (sums, more) in sums.iter_mut().zip(&more) {
            for (sum, more) in sums.0.as_flattened_mut().iter_mut().zip(more.0.as_flattened()) {
                *sum += more;
            }
        }
    }

    /// The sums of all parts, in their order, in PyTorch's layout.
    fn unpack(&self, partial: &Partial) -> Vec<f32> {
        let (inputs, outputs) = (self.sweep.source.channels, self.sweep.target.channels);
        let taps = self.sweep.taps();
        let row = inputs * taps;
        in_pieces(outputs * row, ROWS * row, |index, weight: &mut [f32]| {
            let (right, half) = (index / 2, index % 2);
            for input in 0..inputs {
                let (left, line) = (input / VALUES, input % VALUES);
                for tap in 0..taps {
                    let unit = (tap * self.chunks[0] + left) * self.chunks[1] + right;
                    let mut total = [0.0; ROWS];
                    for sums in partial.sums.chunks_exact(partial.size) {
                        let sums = &sums[unit].0[2 * (line / ROWS) + half].0[line % ROWS];
                        for (total, sum) in total.iter_mut().zip(sums) {
                            *total += sum;
                        }
                    }
                    let to = weight.iter_mut().skip(input * taps + tap).step_by(row);
                    for (to, total) in to.zip(total) {
                        *to = total;
                    }
                }
            }
        })
    }
}

/// Some units of a part of space, slab by slab of it.
struct OfPart<'a, T: Tiles> {
    setting: &'a Setting,
    grant: T::Grant,
    units: &'a [Unit],
    slabs: Range<usize>,
    /// Runs of a slab.
    slab: usize,
    sums: &'a mut [OfUnit],
}

impl<T: Tiles> WithSimd for OfPart<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { setting, grant, units, slabs, slab, sums } = self;
        let mut block = Block::<T>::new(grant);
        for at in slabs {
            let steps = at * slab..setting.starts.len().min((at + 1) * slab);
            for (unit, sums) in units.iter().zip(&mut *sums) {
                setting.add(&mut block, unit, steps.clone(), &mut sums.0);
            }
        }
    }
}
