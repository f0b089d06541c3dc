//! What a convolution reads, rounded to bf16, in pieces of 32 channels.

use std::ops::Range;

use half::bf16;
use pulp::{Simd, WithSimd};

use super::padded::Padded;
use super::tiles::{Line, ROWS, VALUES};
use crate::isa::Isa;
use crate::kernels::act::{Curve, with_curve};
use crate::kernels::direct::plan::Side;
use crate::kernels::element::{Element, with_values};
use crate::kernels::fresh::in_pieces;
use crate::kernels::norm::Rows;
use crate::kernels::reading::Part;

/// Lines that one task writes.
const TASK: usize = 512;

/// The channels of one or more tensors side by side, each normalized on the way where it is to be.
pub(super) struct Voxels<'a> {
    parts: &'a [Part<'a>],
    /// What is done to each sample of each part.
    rows: Vec<Vec<Rows>>,
    side: Side,
    batch: usize,
}

impl<'a> Voxels<'a> {
    pub(super) fn new(parts: &'a [Part<'a>], side: Side, batch: usize) -> Self {
        let rows_of = |part: &Part<'_>| {
            let row =
                |n| Some(Rows::new(part.norm?.standard, part.norm?.scaling, part.channels, n, 1));
            (0..batch).filter_map(row).collect()
        };
        Self { parts, rows: parts.iter().map(rows_of).collect(), side, batch }
    }

    /// Pieces of 32 channels.
    pub(super) fn chunks(&self) -> usize {
        self.side.channels.div_ceil(VALUES)
    }

    /// Writes channels `32 · chunk` and following of voxels of line `line`, from `first` on and `step`
    /// apart, into `to`; what is beyond the last channel stays as it is.
    #[inline(always)]
    pub(super) fn read(
        &self,
        line: usize,
        (first, step): (usize, usize),
        chunk: usize,
        to: &mut [Line],
    ) {
        let n = line / (self.side.space[0] * self.side.space[1]);
        let first = line * self.side.space[2] + first;
        let wanted = chunk * VALUES..(chunk + 1) * VALUES;
        let mut start = 0;
        for (part, rows) in self.parts.iter().zip(&self.rows) {
            let of_part = wanted.start.max(start)..wanted.end.min(start + part.channels);
            if !of_part.is_empty() {
                let into = of_part.start - wanted.start;
                let channels = of_part.start - start..of_part.end - start;
                let at = (first * part.channels, step * part.channels);
                match (rows.get(n), part.norm) {
                    (Some(rows), Some(norm)) => with_curve!(norm.form, curve => {
                        with_values!(part.values, x => {
                            normalize(x, at, channels, (rows, curve), to, into);
                        });
                    }),
                    _ => with_values!(part.values, x => copy(x, at, channels, to, into)),
                }
            }
            start += part.channels;
        }
    }

    /// All of them, `(N, planes, chunks, places, 32)`, with zeros where there are none, and a few more,
    /// so that whole tiles may be read at the end.
    pub(super) fn pad(&self, isa: Isa, padded: &Padded) -> Vec<Line> {
        let (strips, width, chunks) = (padded.strips(), padded.width, self.chunks());
        let all = self.batch * padded.depth * chunks * strips;
        let task = TASK.div_ceil(width);
        in_pieces(all * width + ROWS, task * width, |index, lines: &mut [Line]| {
            isa.run(OfPiece { voxels: self, padded, first: index * task, lines });
        })
    }
}

/// Strips from number `first` on.
struct OfPiece<'a> {
    voxels: &'a Voxels<'a>,
    padded: &'a Padded,
    first: usize,
    lines: &'a mut [Line],
}

impl WithSimd for OfPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { voxels, padded, first, lines } = self;
        let (strips, width, chunks) = (padded.strips(), padded.width, voxels.chunks());
        for (at, lines) in lines.chunks_exact_mut(width).enumerate() {
            let (strip, rest) = ((first + at) % strips, (first + at) / strips);
            let (chunk, rest) = (rest % chunks, rest / chunks);
            let (z, n) = (rest % padded.depth, rest / padded.depth);
            if n == voxels.batch {
                break;
            }
            if let Some(strip) = padded.strip(n, z, strip) {
                let from = (strip.voxel, padded.step());
                voxels.read(strip.line, from, chunk, &mut lines[strip.places]);
            }
        }
    }
}

/// Writes `channels` of voxels whose first values are at `at` and `step` apart.
#[inline(always)]
fn copy<T: Element>(
    x: &[T],
    (at, step): (usize, usize),
    channels: Range<usize>,
    to: &mut [Line],
    into: usize,
) {
    for (voxel, to) in to.iter_mut().enumerate() {
        let from = &x[at + voxel * step..][channels.clone()];
        for (to, &from) in to.0[into..].iter_mut().zip(from) {
            *to = from.halved();
        }
    }
}

/// The same, of what a normalization and an activation make of them.
#[inline(always)]
fn normalize<T: Element>(
    x: &[T],
    (at, step): (usize, usize),
    channels: Range<usize>,
    (rows, curve): (&Rows, impl Curve),
    to: &mut [Line],
    into: usize,
) {
    let (mean, scale) = (&rows.mean[channels.clone()], &rows.scale[channels.clone()]);
    let (bias, bends) = (&rows.bias[channels.clone()], &rows.bends[channels.clone()]);
    for (voxel, to) in to.iter_mut().enumerate() {
        let from = &x[at + voxel * step..][channels.clone()];
        let affine = mean.iter().zip(scale).zip(bias.iter().zip(bends));
        let values = to.0[into..].iter_mut().zip(from).zip(affine);
        for ((to, &x), ((&mean, &scale), (&bias, &bend))) in values {
            *to = bf16::of(curve.value((x.widen() - mean) * scale + bias, bend));
        }
    }
}
