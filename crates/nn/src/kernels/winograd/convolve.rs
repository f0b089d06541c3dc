//! The convolution, block by block of rows.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::columns::{Lines, multiply, scratch};
use super::lines::{Strip, gather, scatter};
use super::source::Source;
use super::tiling::{Tiling, pitch};
use super::weights::{Weights, sums};
use crate::Isa;
use crate::kernels::fresh::{in_pieces, in_rows};
use crate::kernels::norm::{Moments, of_lines, of_parts};
use crate::kernels::scratch::with_scratch;

/// Tiles of a block: enough to read the weights seldom.
const TILES: usize = 32;
/// Bytes of sums of weights from which on each is read once, and the sums of all rows are kept
/// meanwhile, where those are no more than [`KEPT_BYTES`].
const WEIGHT_BYTES: usize = 4 << 20;
const KEPT_BYTES: usize = 32 << 20;

/// The convolution that `tiling` describes of `source`, `(N, *S, C)`, with weights of PyTorch's
/// layout; for a tiling of the adjoint, those of the convolution itself. The
/// moments are taken of each line as it is written, if somebody wants them.
pub(crate) fn convolve(
    tiling: &Tiling,
    source: &Source<'_>,
    weights: Weights<'_>,
    bias: Option<&[f32]>,
    wants_moments: bool,
) -> Convolved {
    let isa = tiling.isa(source.least());
    let weights = sums(isa, tiling, weights);
    let mut line = vec![0.0; tiling.target_line()];
    if let Some(bias) = bias {
        for voxel in line.chunks_exact_mut(bias.len()) {
            voxel.copy_from_slice(bias);
        }
    }
    let weights = weights.as_slice();
    let setting = Setting { isa, tiling, source, weights, bias: &line, wants_moments };
    let kept = 4 * tiling.rows() * tiling.strips * setting.sizes().iter().sum::<usize>();
    if 4 * weights.len() >= WEIGHT_BYTES && kept <= KEPT_BYTES {
        setting.by_planes()
    } else {
        setting.by_blocks()
    }
}

/// The result of a convolution, and the moments of each of its channels in each sample, where asked for.
pub(crate) struct Convolved {
    pub(crate) values: Vec<f32>,
    pub(crate) moments: Option<Vec<Moments>>,
}

/// What all tasks share.
struct Setting<'a> {
    isa: Isa,
    tiling: &'a Tiling,
    source: &'a Source<'a>,
    weights: &'a [f32],
    /// A strip of the bias, or of zeros.
    bias: &'a [f32],
    wants_moments: bool,
}

impl Setting<'_> {
    /// Values of the sums of one strip, of either side.
    fn sizes(&self) -> [usize; 2] {
        [self.tiling.source_line(), self.tiling.target_line()]
            .map(|line| self.tiling.planes() * pitch(line))
    }

    /// How many lines the result has, and how long they are.
    fn lines(&self) -> (usize, usize) {
        let [depth, height, _] = self.tiling.target.space;
        (self.tiling.batch * depth * height, self.tiling.target.line())
    }

    /// Block by block of rows, and strip by strip of a block, each of which stays in the cache.
    fn by_blocks(&self) -> Convolved {
        let tiling = self.tiling;
        let block = TILES.div_ceil(tiling.across);
        let [from, to] = self.sizes();
        let row_of = |line| tiling.row_of(line);
        let run = |first: usize, rows: &mut [Vec<&mut [MaybeUninit<f32>]>]| {
            let count = rows.len();
            let scratch = scratch(tiling, self.isa.lanes(), count);
            with_scratch(count * (from + to) + scratch, |memory| {
                let (sums, rest) = memory.split_at_mut(count * from);
                let (results, scratch) = rest.split_at_mut(count * to);
                for strip in 0..tiling.strips {
                    for (row, sums) in sums.chunks_exact_mut(from).enumerate() {
                        let strip = Strip { row: first + row, strip };
                        self.isa.run(OfSource { setting: self, strip, sums });
                    }
                    let planes = results.chunks_exact_mut(count * to / tiling.planes());
                    for (plane, results) in planes.enumerate() {
                        self.isa.run(OfPlane { setting: self, plane, sums, results, scratch });
                    }
                    for (row, lines) in rows.iter_mut().enumerate() {
                        let at = (row, count);
                        let strip = Strip { row: first + row, strip };
                        self.isa.run(OfTarget { setting: self, strip, results, at, lines });
                    }
                }
            });
            self.moments(rows)
        };
        #[expect(unsafe_code, reason = "see `in_rows`")]
        // SAFETY: the strips are all of a line, and `OfTarget` writes what a strip covers of each.
        let both = unsafe { in_rows(self.lines(), (tiling.rows(), block), row_of, run) };
        self.convolved(both)
    }

    /// Plane by plane of sums of all strips, so that each weight is read once.
    fn by_planes(&self) -> Convolved {
        let tiling = self.tiling;
        let strips = tiling.rows() * tiling.strips;
        let [from, to] = self.sizes();
        let sums = in_pieces(strips * from, from, |at, sums| {
            let strip = Strip { row: at / tiling.strips, strip: at % tiling.strips };
            self.isa.run(OfSource { setting: self, strip, sums });
        });
        let results = in_pieces(strips * to, strips * to / tiling.planes(), |plane, results| {
            with_scratch(scratch(tiling, self.isa.lanes(), strips), |scratch| {
                self.isa.run(OfPlane { setting: self, plane, sums: &sums, results, scratch });
            });
        });
        let row_of = |line| tiling.row_of(line);
        let run = |row: usize, lines: &mut [Vec<&mut [MaybeUninit<f32>]>]| {
            for strip in 0..tiling.strips {
                let (at, results) = ((row * tiling.strips + strip, strips), &results);
                for lines in lines.iter_mut() {
                    let strip = Strip { row, strip };
                    self.isa.run(OfTarget { setting: self, strip, results, at, lines });
                }
            }
            self.moments(lines)
        };
        #[expect(unsafe_code, reason = "see `in_rows`")]
        // SAFETY: the strips are all of a line, and `OfTarget` writes what a strip covers of each.
        let both = unsafe { in_rows(self.lines(), (tiling.rows(), 1), row_of, run) };
        self.convolved(both)
    }

    /// The moments of each of some rows, whose lines have all been written; nothing where nobody wants
    /// them.
    fn moments(&self, rows: &[Vec<&mut [MaybeUninit<f32>]>]) -> Vec<Vec<Moments>> {
        if !self.wants_moments {
            return Vec::new();
        }
        let channels = self.tiling.target.channels;
        let of_row = |lines: &Vec<&mut [MaybeUninit<f32>]>| {
            #[expect(unsafe_code, reason = "no safe way to read memory that has been written")]
            // SAFETY: both callers have written every strip of these lines.
            let lines = lines.iter().map(|line| unsafe { line.assume_init_ref() });
            self.isa.run(|| of_lines(lines, channels))
        };
        rows.iter().map(of_row).collect()
    }

    fn convolved(&self, (values, rows): (Vec<f32>, Vec<Vec<Moments>>)) -> Convolved {
        let moments = self.wants_moments.then(|| of_parts(&rows, self.tiling.batch));
        Convolved { values, moments }
    }
}

/// The sums of what a strip sees of the source.
struct OfSource<'a> {
    setting: &'a Setting<'a>,
    strip: Strip,
    sums: &'a mut [f32],
}

impl WithSimd for OfSource<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, source, .. } = self.setting;
        gather(simd, tiling, self.strip, source, self.sums);
    }
}

/// One plane of the sums of some strips, times its weights.
struct OfPlane<'a> {
    setting: &'a Setting<'a>,
    plane: usize,
    /// By strip and plane.
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
        let matrix = self.plane * tiling.sums()[2] * tiling.matrix(2 * S::F32_LANES);
        multiply(simd, tiling, lines, &weights[matrix..], self.results, self.scratch);
    }
}

/// What a strip covers of the result.
struct OfTarget<'a, 'b> {
    setting: &'a Setting<'a>,
    strip: Strip,
    /// By plane and strip.
    results: &'a [f32],
    /// Which strip of the results it is, and of how many.
    at: (usize, usize),
    lines: &'a mut [&'b mut [MaybeUninit<f32>]],
}

impl WithSimd for OfTarget<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, bias, .. } = self.setting;
        let to = pitch(tiling.target_line());
        let results = (&self.results[self.at.0 * to..], self.at.1 * to);
        scatter(simd, tiling, self.strip, results, bias, self.lines);
    }
}
