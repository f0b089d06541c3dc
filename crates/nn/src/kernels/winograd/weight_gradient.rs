//! The gradient of the weight.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::columns::{Lines, correlate, scratch};
use super::lines::{Strip, gather, scatter_adjoint};
use super::source::Source;
use super::tiling::{Tiling, pitch};
use super::weights::transform_adjoint;
use crate::Isa;
use crate::kernels::scratch::with_scratch;

/// Tiles of a block.
const TILES: usize = 32;
/// Parts of space that are summed by themselves.
const PARTS: usize = 8;
/// Bytes that their sums may take in all.
const PARTIAL_BYTES: usize = 16 << 20;
/// Bytes of sums over the slower axes that are made before they are used, where planes are summed
/// by themselves.
const SLAB_BYTES: usize = 16 << 20;

/// The gradient with respect to the weight of the convolution that `tiling` describes, in PyTorch's
/// layout, from its input and the gradient of its result.
pub(crate) fn weight_gradient(tiling: &Tiling, source: &Source<'_>, target: &[f32]) -> Vec<f32> {
    let isa = tiling.isa(source.least());
    let columns = tiling.target.channels.next_multiple_of(isa.lanes());
    let size = tiling.matrices() * tiling.matrix(columns);
    let setting = Setting { isa, tiling, source, target };
    let parts = if 4 * size * PARTS <= PARTIAL_BYTES { PARTS.min(tiling.rows()) } else { 1 };
    with_scratch(parts * size, |sums| {
        if parts > 1 {
            setting.by_parts(parts, sums);
        } else {
            setting.by_planes(sums);
        }
        transform_adjoint(isa, tiling, &sums[..size])
    })
}

/// What all tasks share.
struct Setting<'a> {
    isa: Isa,
    tiling: &'a Tiling,
    source: &'a Source<'a>,
    target: &'a [f32],
}

impl Setting<'_> {
    /// Values of the sums of one strip, of either side.
    fn sizes(&self) -> [usize; 2] {
        [self.tiling.source_line(), self.tiling.target_line()]
            .map(|line| self.tiling.planes() * pitch(line))
    }

    /// Where weights are small: each task sums over one part of space, block by block of rows, and
    /// strip by strip of a block.
    fn by_parts(&self, parts: usize, sums: &mut [f32]) {
        let tiling = self.tiling;
        let rows = tiling.rows();
        let size = sums.len() / parts;
        let block = TILES.div_ceil(tiling.across);
        let [from, to] = self.sizes();
        let scratch = scratch(tiling, self.isa.lanes(), block);
        sums.par_chunks_exact_mut(size).enumerate().for_each(|(part, sum)| {
            sum.fill(0.0);
            let range = part * rows / parts..(part + 1) * rows / parts;
            let blocks = range.clone().step_by(block);
            let blocks = blocks.flat_map(|row| (0..tiling.strips).map(move |strip| (row, strip)));
            with_scratch(block * (from + to) + scratch, |memory| {
                for (first, strip) in blocks {
                    let count = block.min(range.end - first);
                    let (sources, rest) = memory.split_at_mut(count * from);
                    let (targets, scratch) = rest.split_at_mut(count * to);
                    for (row, sums) in sources.chunks_exact_mut(from).enumerate() {
                        let strip = Strip { row: first + row, strip };
                        self.isa.run(OfSource { setting: self, strip, sums });
                    }
                    for (row, sums) in targets.chunks_exact_mut(to).enumerate() {
                        let strip = Strip { row: first + row, strip };
                        self.isa.run(OfTarget { setting: self, strip, sums });
                    }
                    let planes = sum.chunks_exact_mut(size / tiling.planes()).enumerate();
                    for (plane, sum) in planes {
                        let sides = [&*sources, &*targets];
                        self.isa.run(OfPlane { setting: self, plane, sides, sum, scratch });
                    }
                }
            });
        });
        let (sum, rest) = sums.split_at_mut(size);
        for part in rest.chunks_exact(size) {
            for (sum, value) in sum.iter_mut().zip(part) {
                *sum += value;
            }
        }
    }

    /// Where weights are large: each task sums one plane over all of space, slab by slab of strips.
    fn by_planes(&self, sums: &mut [f32]) {
        let tiling = self.tiling;
        let [from, to] = self.sizes();
        let strips = tiling.rows() * tiling.strips;
        let slab = (SLAB_BYTES / (4 * (from + to))).clamp(1, strips);
        let scratch = scratch(tiling, self.isa.lanes(), slab);
        let (mut sources, mut targets) = (vec![0.0; slab * from], vec![0.0; slab * to]);
        let size = sums.len();
        for first in (0..strips).step_by(slab) {
            let count = slab.min(strips - first);
            let (sources, targets) = (&mut sources[..count * from], &mut targets[..count * to]);
            let strip = |at: usize| {
                let at = first + at;
                Strip { row: at / tiling.strips, strip: at % tiling.strips }
            };
            let of_source = |(at, sums)| {
                self.isa.run(OfSource { setting: self, strip: strip(at), sums });
            };
            sources.par_chunks_exact_mut(from).enumerate().for_each(of_source);
            let of_target = |(at, sums)| {
                self.isa.run(OfTarget { setting: self, strip: strip(at), sums });
            };
            targets.par_chunks_exact_mut(to).enumerate().for_each(of_target);
            let sides = [&*sources, &*targets];
            let planes = sums.par_chunks_exact_mut(size / tiling.planes()).enumerate();
            planes.for_each(|(plane, sum)| {
                if first == 0 {
                    sum.fill(0.0);
                }
                with_scratch(scratch, |scratch| {
                    self.isa.run(OfPlane { setting: self, plane, sides, sum, scratch });
                });
            });
        }
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

/// The adjoint sums of what a strip covers of the target.
struct OfTarget<'a> {
    setting: &'a Setting<'a>,
    strip: Strip,
    sums: &'a mut [f32],
}

impl WithSimd for OfTarget<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Setting { tiling, target, .. } = self.setting;
        scatter_adjoint(simd, tiling, self.strip, target, self.sums);
    }
}

/// What one plane of the sums of some strips adds to the gradient of its matrices.
struct OfPlane<'a> {
    setting: &'a Setting<'a>,
    plane: usize,
    /// The sums of the source and of the target, by strip and plane.
    sides: [&'a [f32]; 2],
    sum: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl WithSimd for OfPlane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let tiling = self.setting.tiling;
        let lines = [tiling.source_line(), tiling.target_line()].map(pitch);
        let strips = self.sides[0].len() / (tiling.planes() * lines[0]);
        let of = |side: usize| Lines {
            values: &self.sides[side][self.plane * lines[side]..],
            step: tiling.planes() * lines[side],
        };
        correlate(simd, tiling, strips, [of(0), of(1)], self.sum, self.scratch);
    }
}
