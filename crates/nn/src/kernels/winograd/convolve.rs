//! The convolution, block by block of rows.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::columns::{Lines, multiply, scratch};
use super::lines::{gather, scatter};
use super::tiling::{Tiling, pitch};
use super::weights::{Weights, transform};
use crate::Isa;
use crate::kernels::fresh::{in_pieces, in_rows};
use crate::kernels::scratch::with_scratch;

/// Tiles of a block: enough to read the weights seldom.
const TILES: usize = 32;
/// Bytes of sums of weights from which on each is read once, and the sums of all rows are kept
/// meanwhile, where those are no more than [`KEPT_BYTES`].
const WEIGHT_BYTES: usize = 4 << 20;
const KEPT_BYTES: usize = 32 << 20;

/// The convolution that `tiling` describes of `source`, `(N, *S, C)`, with a weight of PyTorch's
/// layout; for a tiling of the adjoint, `adjoint`, the weight is that of the convolution itself.
pub(crate) fn convolve(
    tiling: &Tiling,
    source: &[f32],
    weight: &[f32],
    adjoint: bool,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let isa = tiling.isa();
    let weights = transform(isa, tiling, Weights { values: weight, adjoint });
    let zeros = vec![0.0; tiling.source.line()];
    let mut line = vec![0.0; tiling.target.line()];
    if let Some(bias) = bias {
        for voxel in line.chunks_exact_mut(bias.len()) {
            voxel.copy_from_slice(bias);
        }
    }
    let setting = Setting { isa, tiling, source, weights: &weights, zeros: &zeros, bias: &line };
    let [from, to] = setting.sizes();
    if 4 * weights.len() >= WEIGHT_BYTES && 4 * tiling.rows() * (from + to) <= KEPT_BYTES {
        setting.by_planes()
    } else {
        setting.by_blocks()
    }
}

/// What all tasks share.
struct Setting<'a> {
    isa: Isa,
    tiling: &'a Tiling,
    source: &'a [f32],
    weights: &'a [f32],
    zeros: &'a [f32],
    /// A line of the bias, or of zeros.
    bias: &'a [f32],
}

impl Setting<'_> {
    /// Values of the sums of one row, of either side.
    fn sizes(&self) -> [usize; 2] {
        [self.tiling.source_line(), self.tiling.target_line()]
            .map(|line| self.tiling.planes() * pitch(line))
    }

    /// How many lines the result has, and how long they are.
    fn lines(&self) -> (usize, usize) {
        let [depth, height, _] = self.tiling.target.space;
        (self.tiling.batch * depth * height, self.tiling.target.line())
    }

    /// Block by block of rows, each of which stays in the cache.
    fn by_blocks(&self) -> Vec<f32> {
        let tiling = self.tiling;
        let block = TILES.div_ceil(tiling.tiles[2]);
        let [from, to] = self.sizes();
        let row_of = |line| tiling.row_of(line);
        let run = |first: usize, rows: &mut [Vec<&mut [MaybeUninit<f32>]>]| {
            let count = rows.len();
            let scratch = scratch(tiling, self.isa.lanes(), count);
            with_scratch(count * (from + to) + scratch, |memory| {
                let (sums, rest) = memory.split_at_mut(count * from);
                let (results, scratch) = rest.split_at_mut(count * to);
                for (row, sums) in sums.chunks_exact_mut(from).enumerate() {
                    self.isa.run(OfSource { setting: self, row: first + row, sums });
                }
                let planes = results.chunks_exact_mut(count * to / tiling.planes()).enumerate();
                for (plane, results) in planes {
                    self.isa.run(OfPlane { setting: self, plane, sums, results, scratch });
                }
                self.finish(first, results, (0, count), rows);
            });
        };
        #[expect(unsafe_code, reason = "see `in_rows`")]
        // SAFETY: `finish` writes all of its lines.
        unsafe {
            in_rows(self.lines(), (tiling.rows(), block), row_of, run)
        }
    }

    /// Plane by plane of sums of all rows, so that each weight is read once.
    fn by_planes(&self) -> Vec<f32> {
        let tiling = self.tiling;
        let rows = tiling.rows();
        let [from, to] = self.sizes();
        let sums = in_pieces(rows * from, from, |row, sums| {
            self.isa.run(OfSource { setting: self, row, sums });
        });
        let results = in_pieces(rows * to, rows * to / tiling.planes(), |plane, results| {
            with_scratch(scratch(tiling, self.isa.lanes(), rows), |scratch| {
                self.isa.run(OfPlane { setting: self, plane, sums: &sums, results, scratch });
            });
        });
        let row_of = |line| tiling.row_of(line);
        let run = |first: usize, lines: &mut [Vec<&mut [MaybeUninit<f32>]>]| {
            self.finish(first, &results, (first, rows), lines);
        };
        #[expect(unsafe_code, reason = "see `in_rows`")]
        // SAFETY: `finish` writes all of its lines.
        unsafe {
            in_rows(self.lines(), (rows, 1), row_of, run)
        }
    }

    /// Writes the lines of the rows from number `first` on, the `at`-th and following of `count` in
    /// `results`.
    fn finish(
        &self,
        first: usize,
        results: &[f32],
        (at, count): (usize, usize),
        rows: &mut [Vec<&mut [MaybeUninit<f32>]>],
    ) {
        for (row, lines) in rows.iter_mut().enumerate() {
            let of_row = (at + row, count);
            self.isa.run(OfTarget { setting: self, row: first + row, results, of_row, lines });
        }
    }
}

/// The sums of the lines of the source that a row sees.
struct OfSource<'a> {
    setting: &'a Setting<'a>,
    row: usize,
    sums: &'a mut [f32],
}

impl WithSimd for OfSource<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, source, zeros, .. } = self.setting;
        gather(simd, tiling, self.row, source, zeros, self.sums);
    }
}

/// One plane of the sums of some rows, times its weights.
struct OfPlane<'a> {
    setting: &'a Setting<'a>,
    plane: usize,
    /// By row and plane.
    sums: &'a [f32],
    results: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl WithSimd for OfPlane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, weights, .. } = self.setting;
        let from = pitch(tiling.source_line());
        let lines = Lines { values: &self.sums[self.plane * from..], step: tiling.planes() * from };
        let weights = &weights[self.plane * 4 * tiling.matrix(2 * S::F32_LANES)..];
        multiply(simd, tiling, lines, weights, self.results, self.scratch);
    }
}

/// The lines of one row of the result.
struct OfTarget<'a, 'b> {
    setting: &'a Setting<'a>,
    row: usize,
    /// By plane and row.
    results: &'a [f32],
    /// Which row of the results it is, and of how many.
    of_row: (usize, usize),
    lines: &'a mut [&'b mut [MaybeUninit<f32>]],
}

impl WithSimd for OfTarget<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, bias, .. } = self.setting;
        let to = pitch(tiling.target_line());
        let results = (&self.results[self.of_row.0 * to..], self.of_row.1 * to);
        scatter(simd, tiling, self.row, results, bias, self.lines);
    }
}
