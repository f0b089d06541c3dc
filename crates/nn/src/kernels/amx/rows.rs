//! Both sides of a convolution as factors of products over voxels.

use half::bf16;
use pulp::{Simd, WithSimd};

use super::padded::{Padded, Run, target};
use super::tiles::{Line, ROWS, VALUES, flat};
use super::voxels::Voxels;
use super::weights::PAIR;
use crate::isa::Isa;
use crate::kernels::direct::plan::Side;
use crate::kernels::fresh::in_pieces;

/// Steps that one task writes.
const STEPS: usize = 16;

/// Rows of voxels, one for each channel.
pub(super) struct Rows {
    lines: Vec<Line>,
    /// Lines of a row.
    row: usize,
    /// Pieces of 32 channels.
    chunks: usize,
}

impl Rows {
    /// Of `batch` samples: `(N, planes, channels, places)`, zeros where there are none.
    pub(super) fn new(isa: Isa, voxels: &Voxels<'_>, padded: &Padded, batch: usize) -> Self {
        let chunks = voxels.chunks();
        // A tile more, which may be read at the end; and an odd number, so that rows of a tile do not all
        // meet in one set of the cache.
        let row = (padded.plane() + VALUES).div_ceil(VALUES) | 1;
        let pieces = batch * padded.depth * chunks;
        let lines = in_pieces(pieces * VALUES * row, VALUES * row, |index, lines: &mut [Line]| {
            let (chunk, plane) = (index % chunks, index / chunks);
            let (z, n) = (plane % padded.depth, plane / padded.depth);
            isa.run(OfPlane { voxels, padded, n, z, chunk, row, lines });
        });
        Self { lines, row, chunks }
    }

    pub(super) fn values(&self) -> &[bf16] {
        flat(&self.lines)
    }

    /// Values from one row to the next.
    pub(super) fn step(&self) -> usize {
        VALUES * self.row
    }

    /// Where the first of 32 channels has a place of a plane, counted over all samples.
    pub(super) fn at(&self, plane: usize, chunk: usize, place: usize) -> usize {
        (plane * self.chunks + chunk) * VALUES * self.step() + place
    }
}

/// 32 channels of a plane.
struct OfPlane<'a> {
    voxels: &'a Voxels<'a>,
    padded: &'a Padded,
    n: usize,
    z: usize,
    chunk: usize,
    /// Lines of a row.
    row: usize,
    lines: &'a mut [Line],
}

impl WithSimd for OfPlane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { voxels, padded, n, z, chunk, row, lines } = self;
        let mut copies = vec![Line::default(); padded.width];
        for number in 0..padded.strips() {
            let Some(strip) = padded.strip(n, z, number) else { continue };
            let copies = &mut copies[strip.places.clone()];
            voxels.read(strip.line, (strip.voxel, padded.step()), chunk, copies);
            turn(copies, number * padded.width + strip.places.start, lines, row);
        }
    }
}

/// Writes the channels of `voxels` into 32 rows of `row` lines, from `place` on.
#[inline(always)]
fn turn(voxels: &[Line], place: usize, lines: &mut [Line], row: usize) {
    for (index, voxels) in voxels.chunks(ROWS).enumerate() {
        let first = place + index * ROWS;
        for (channel, lines) in lines.chunks_exact_mut(row).enumerate() {
            for (at, voxel) in voxels.iter().enumerate() {
                let place = first + at;
                lines[place / VALUES].0[place % VALUES] = voxel.0[channel];
            }
        }
    }
}

/// Pairs of voxels: `(N, planes, runs, chunks, two tiles)`, where a row of a tile has two voxels of each of
/// 16 channels; zeros in places of a run that do not count.
pub(super) fn pairs(
    isa: Isa,
    voxels: &Voxels<'_>,
    (side, batch): (Side, usize),
    width: usize,
    runs: &[Run],
) -> Vec<Line> {
    let chunks = voxels.chunks();
    let steps = batch * side.space[0] * runs.len();
    let step = chunks * PAIR;
    in_pieces(steps * step, STEPS * step, |index, lines: &mut [Line]| {
        isa.run(OfSteps { voxels, side, width, runs, first: index * STEPS, lines });
    })
}

/// Runs from number `first` on, counted over all planes.
struct OfSteps<'a> {
    voxels: &'a Voxels<'a>,
    side: Side,
    width: usize,
    runs: &'a [Run],
    first: usize,
    lines: &'a mut [Line],
}

impl WithSimd for OfSteps<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { voxels, side, width, runs, first, lines } = self;
        let chunks = voxels.chunks();
        for (at, lines) in lines.chunks_exact_mut(PAIR).enumerate() {
            let (chunk, step) = (at % chunks, first + at / chunks);
            let (run, plane) = (runs[step % runs.len()], step / runs.len());
            let copies = read(voxels, side, (plane, run), width, chunk);
            for (row, line) in lines.iter_mut().enumerate() {
                let (half, pair) = (row / ROWS * ROWS, row % ROWS);
                let (first, second) =
                    (&copies[2 * pair].0[half..], &copies[2 * pair + 1].0[half..]);
                let (values, _) = line.0.as_chunks_mut();
                for (value, (&first, &second)) in values.iter_mut().zip(first.iter().zip(second)) {
                    *value = [first, second];
                }
            }
        }
    }
}

/// The voxels of a run of a plane, of lines `width` places apart.
#[inline(always)]
fn read(
    voxels: &Voxels<'_>,
    side: Side,
    (plane, (start, length)): (usize, Run),
    width: usize,
    chunk: usize,
) -> [Line; VALUES] {
    let mut copies = [Line::default(); VALUES];
    let (count, mut at) = (side.space[2], 0);
    while at < length {
        if let Some((line, voxel)) = target(start + at, count, width) {
            let end = length.min(at + count - voxel);
            let line = plane * side.space[1] + line;
            voxels.read(line, (voxel, 1), chunk, &mut copies[at..end]);
            at = end;
        } else {
            at += width - (start + at) % width;
        }
    }
    copies
}
