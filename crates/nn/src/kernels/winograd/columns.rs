//! Sums along lines, and the products between them.

use pulp::Simd;

use super::tiling::{Tiling, pitch};
use super::transform::{input, output, output_adjoint};
use crate::kernels::product::{Left, Right, Sum, product};
use crate::kernels::vectors::{load, starts, store};

/// Bytes of sums along lines that are made before they are used.
const CHUNK_BYTES: usize = 128 << 10;

/// Rows whose sums are made at a time, at so many values a tile.
fn rows_at_once(tiling: &Tiling, values: usize) -> usize {
    (CHUNK_BYTES / (16 * values * tiling.tiles[2])).max(1)
}

/// Values of scratch memory that [`multiply`] and [`correlate`] need for up to `rows` rows.
pub(super) fn scratch(tiling: &Tiling, lanes: usize, rows: usize) -> usize {
    let values = tiling.source.channels + tiling.target.channels.next_multiple_of(lanes);
    4 * values * tiling.tiles[2] * rows_at_once(tiling, values).min(rows)
}

/// Lines of sums, one for each of some rows, `step` values apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    pub(super) values: &'a [f32],
    pub(super) step: usize,
}

impl<'a> Lines<'a> {
    fn line(self, row: usize) -> &'a [f32] {
        &self.values[row * self.step..]
    }
}

/// Tiles of a chunk of rows: four matrices `(tiles, columns)`, one for each sum along a line.
struct Tiles<'a> {
    values: &'a mut [f32],
    columns: usize,
}

impl Tiles<'_> {
    /// Values from one matrix to the next.
    fn size(&self) -> usize {
        self.values.len() / 4
    }

    /// Fills tiles from `first` on with the sums of `line`, of voxels of `channels` values.
    #[inline(always)]
    fn read<S: Simd>(
        &mut self,
        simd: S,
        first: usize,
        tiles: usize,
        line: &[f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let from = &line[2 * tile * channels..][..4 * channels];
            for at in starts(simd, channels) {
                let voxels = [
                    load(simd, from, at),
                    load(simd, from, channels + at),
                    load(simd, from, 2 * channels + at),
                    load(simd, from, 3 * channels + at),
                ];
                let to = (first + tile) * self.columns + at;
                for (index, value) in input(simd, voxels).into_iter().enumerate() {
                    store(simd, self.values, index * size + to, value);
                }
            }
        }
    }

    /// Fills tiles from `first` on with the adjoint sums of `line`, the inverse way of [`write`].
    #[inline(always)]
    fn read_adjoint<S: Simd>(
        &mut self,
        simd: S,
        first: usize,
        tiles: usize,
        line: &[f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let from = &line[2 * tile * channels..][..2 * channels];
            for at in starts(simd, channels) {
                let voxels = [load(simd, from, at), load(simd, from, channels + at)];
                let to = (first + tile) * self.columns + at;
                for (index, value) in output_adjoint(simd, voxels).into_iter().enumerate() {
                    store(simd, self.values, index * size + to, value);
                }
            }
        }
    }

    /// Writes what the products in tiles from `first` on give into `line`.
    #[inline(always)]
    fn write<S: Simd>(
        &self,
        simd: S,
        first: usize,
        tiles: usize,
        line: &mut [f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let to = &mut line[2 * tile * channels..][..2 * channels];
            for at in starts(simd, channels) {
                let from = (first + tile) * self.columns + at;
                let products = [
                    load(simd, self.values, from),
                    load(simd, self.values, size + from),
                    load(simd, self.values, 2 * size + from),
                    load(simd, self.values, 3 * size + from),
                ];
                for (voxel, value) in output(simd, products).into_iter().enumerate() {
                    store(simd, to, voxel * channels + at, value);
                }
            }
        }
    }
}

/// One plane of sums: from `source` lines to the lines of `target`, [`pitch`] apart, through the
/// products with `weights`, those of this plane and what follows.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    tiling: &Tiling,
    source: Lines<'_>,
    weights: &[f32],
    target: &mut [f32],
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
    let (columns, wide, across) =
        (outputs.next_multiple_of(S::F32_LANES), 2 * S::F32_LANES, tiling.tiles[2]);
    let line = pitch(tiling.target_line());
    let chunk = rows_at_once(tiling, inputs + columns);
    for (index, target) in target.chunks_mut(chunk * line).enumerate() {
        let rows = target.len() / line;
        let tiles = rows * across;
        let (left, sums) =
            scratch[..4 * tiles * (inputs + columns)].split_at_mut(4 * tiles * inputs);
        let mut left = Tiles { values: left, columns: inputs };
        for row in 0..rows {
            left.read(simd, row * across, across, source.line(index * chunk + row), inputs);
        }
        let (left_size, sum_size) = (left.size(), tiles * columns);
        for (at, sum) in sums.chunks_exact_mut(sum_size).enumerate() {
            let weights = &weights[at * tiling.matrix(wide)..];
            product(
                simd,
                (tiles, inputs, columns / S::F32_LANES),
                Left { values: &left.values[at * left_size..][..left_size], row: inputs, step: 1 },
                Right {
                    values: weights,
                    panel: tiling.matrices() * tiling.matrix(wide),
                    step: wide,
                },
                &mut Sum { values: sum, row: columns, add: false },
            );
        }
        let sums = Tiles { values: sums, columns };
        for (row, target) in target.chunks_exact_mut(line).enumerate() {
            sums.write(simd, row * across, across, target, outputs);
        }
    }
}

/// One plane of sums of `rows` rows: adds to `sum`, four matrices `(channels of the source, padded
/// channels of the target)`, the products of `source` and `target` lines.
#[inline(always)]
pub(super) fn correlate<S: Simd>(
    simd: S,
    tiling: &Tiling,
    rows: usize,
    source: Lines<'_>,
    target: Lines<'_>,
    sum: &mut [f32],
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
    let (columns, across) = (outputs.next_multiple_of(S::F32_LANES), tiling.tiles[2]);
    let chunk = rows_at_once(tiling, inputs + columns);
    for first in (0..rows).step_by(chunk) {
        let rows = chunk.min(rows - first);
        let tiles = rows * across;
        let (left, right) =
            scratch[..4 * tiles * (inputs + columns)].split_at_mut(4 * tiles * inputs);
        let mut left = Tiles { values: left, columns: inputs };
        let mut right = Tiles { values: right, columns };
        if columns > outputs {
            right.values.fill(0.0);
        }
        for row in 0..rows {
            let tile = row * across;
            left.read(simd, tile, across, source.line(first + row), inputs);
            right.read_adjoint(simd, tile, across, target.line(first + row), outputs);
        }
        let (left_size, right_size) = (left.size(), right.size());
        for (at, sum) in sum.chunks_exact_mut(tiling.matrix(columns)).enumerate() {
            product(
                simd,
                (inputs, tiles, columns / S::F32_LANES),
                Left { values: &left.values[at * left_size..][..left_size], row: 1, step: inputs },
                Right {
                    values: &right.values[at * right_size..][..right_size],
                    panel: 2 * S::F32_LANES,
                    step: columns,
                },
                &mut Sum { values: sum, row: columns, add: true },
            );
        }
    }
}
