//! Sums along lines, and the products between them.

use pulp::Simd;

use super::tiling::{Tiling, pitch};
use super::transform::{input, output, output_adjoint};
use crate::kernels::product::{Left, Right, Sum, product};
use crate::kernels::vectors::{load, starts, store};

/// Bytes of sums along lines that are made before they are used: few, so that they stay in the nearest
/// cache, but many where the weights that they meet would not stay there anyway.
const CHUNK_BYTES: usize = 64 << 10;
const LARGE_CHUNK_BYTES: usize = 1 << 20;
/// Bytes of the weights of a plane from which on they are read as seldom as can be.
const LARGE_WEIGHT_BYTES: usize = 128 << 10;

/// Strips whose sums are made at a time, with so many padded channels of the target.
fn strips_at_once(tiling: &Tiling, columns: usize) -> usize {
    let (inputs, sums) = (tiling.source.channels, tiling.sums()[2]);
    let is_large = 4 * sums * inputs * columns >= LARGE_WEIGHT_BYTES;
    let bytes = if is_large { LARGE_CHUNK_BYTES } else { CHUNK_BYTES };
    (bytes / (4 * sums * (inputs + columns) * tiling.across)).max(1)
}

/// Values of scratch memory that [`multiply`] and [`correlate`] need for up to `strips` strips.
pub(super) fn scratch(tiling: &Tiling, lanes: usize, strips: usize) -> usize {
    let columns = tiling.target.channels.next_multiple_of(lanes);
    let values = tiling.source.channels + columns;
    tiling.sums()[2] * values * tiling.across * strips_at_once(tiling, columns).min(strips)
}

/// Lines of sums, one for each of some strips, `step` values apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    pub(super) values: &'a [f32],
    pub(super) step: usize,
}

impl<'a> Lines<'a> {
    fn line(self, strip: usize) -> &'a [f32] {
        &self.values[strip * self.step..]
    }
}

/// Tiles of `M` voxels of some strips: `N` matrices `(tiles, columns)`, one for each sum along a line.
struct Tiles<'a, const N: usize, const M: usize> {
    values: &'a mut [f32],
    columns: usize,
}

impl<const N: usize, const M: usize> Tiles<'_, N, M> {
    /// Values from one matrix to the next.
    fn size(&self) -> usize {
        self.values.len() / N
    }

    /// Fills tiles from `first` on with the sums of `line`, of voxels of `channels` values.
    #[inline(always)]
    fn read<S: Simd>(
        &mut self,
        simd: S,
        (first, tiles): (usize, usize),
        line: &[f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let from = &line[M * tile * channels..][..N * channels];
            for at in starts(simd, channels) {
                let mut voxels = [simd.splat_f32s(0.0); N];
                for (voxel, value) in voxels.iter_mut().enumerate() {
                    *value = load(simd, from, voxel * channels + at);
                }
                let to = (first + tile) * self.columns + at;
                for (index, value) in input::<S, N>(simd, voxels).into_iter().enumerate() {
                    store(simd, self.values, index * size + to, value);
                }
            }
        }
    }

    /// Fills tiles from `first` on with the adjoint sums of `line`, the inverse way of [`write`].
    ///
    /// [`write`]: Self::write
    #[inline(always)]
    fn read_adjoint<S: Simd>(
        &mut self,
        simd: S,
        (first, tiles): (usize, usize),
        line: &[f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let from = &line[M * tile * channels..][..M * channels];
            for at in starts(simd, channels) {
                let mut voxels = [simd.splat_f32s(0.0); M];
                for (voxel, value) in voxels.iter_mut().enumerate() {
                    *value = load(simd, from, voxel * channels + at);
                }
                let to = (first + tile) * self.columns + at;
                let sums = output_adjoint::<S, N, M>(simd, voxels);
                for (index, value) in sums.into_iter().enumerate() {
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
        (first, tiles): (usize, usize),
        line: &mut [f32],
        channels: usize,
    ) {
        let size = self.size();
        for tile in 0..tiles {
            let to = &mut line[M * tile * channels..][..M * channels];
            for at in starts(simd, channels) {
                let from = (first + tile) * self.columns + at;
                let mut products = [simd.splat_f32s(0.0); N];
                for (sum, value) in products.iter_mut().enumerate() {
                    *value = load(simd, self.values, sum * size + from);
                }
                let results = output::<S, N, M>(simd, products);
                for (voxel, value) in results.into_iter().enumerate() {
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
    if tiling.step[2] == 2 {
        multiply_by::<S, 4, 2>(simd, tiling, source, weights, target, scratch);
    } else {
        multiply_by::<S, 6, 4>(simd, tiling, source, weights, target, scratch);
    }
}

#[inline(always)]
fn multiply_by<S: Simd, const N: usize, const M: usize>(
    simd: S,
    tiling: &Tiling,
    source: Lines<'_>,
    weights: &[f32],
    target: &mut [f32],
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
    let (columns, wide, across) =
        (outputs.next_multiple_of(S::F32_LANES), 2 * S::F32_LANES, tiling.across);
    let line = pitch(tiling.target_line());
    let chunk = strips_at_once(tiling, columns);
    for (index, target) in target.chunks_mut(chunk * line).enumerate() {
        let strips = target.len() / line;
        let tiles = strips * across;
        let (left, sums) =
            scratch[..N * tiles * (inputs + columns)].split_at_mut(N * tiles * inputs);
        let mut left = Tiles::<N, M> { values: left, columns: inputs };
        for strip in 0..strips {
            let line = source.line(index * chunk + strip);
            left.read(simd, (strip * across, across), line, inputs);
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
        let sums = Tiles::<N, M> { values: sums, columns };
        for (strip, target) in target.chunks_exact_mut(line).enumerate() {
            sums.write(simd, (strip * across, across), target, outputs);
        }
    }
}

/// One plane of sums of `strips` strips: adds to `sum`, matrices `(channels of the source, padded
/// channels of the target)`, the products of `source` and `target` lines.
#[inline(always)]
pub(super) fn correlate<S: Simd>(
    simd: S,
    tiling: &Tiling,
    strips: usize,
    lines: [Lines<'_>; 2],
    sum: &mut [f32],
    scratch: &mut [f32],
) {
    if tiling.step[2] == 2 {
        correlate_by::<S, 4, 2>(simd, tiling, strips, lines, sum, scratch);
    } else {
        correlate_by::<S, 6, 4>(simd, tiling, strips, lines, sum, scratch);
    }
}

#[inline(always)]
fn correlate_by<S: Simd, const N: usize, const M: usize>(
    simd: S,
    tiling: &Tiling,
    strips: usize,
    [source, target]: [Lines<'_>; 2],
    sum: &mut [f32],
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
    let (columns, across) = (outputs.next_multiple_of(S::F32_LANES), tiling.across);
    let chunk = strips_at_once(tiling, columns);
    for first in (0..strips).step_by(chunk) {
        let strips = chunk.min(strips - first);
        let tiles = strips * across;
        let (left, right) =
            scratch[..N * tiles * (inputs + columns)].split_at_mut(N * tiles * inputs);
        let mut left = Tiles::<N, M> { values: left, columns: inputs };
        let mut right = Tiles::<N, M> { values: right, columns };
        if columns > outputs {
            right.values.fill(0.0);
        }
        for strip in 0..strips {
            let tiles = (strip * across, across);
            left.read(simd, tiles, source.line(first + strip), inputs);
            right.read_adjoint(simd, tiles, target.line(first + strip), outputs);
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
