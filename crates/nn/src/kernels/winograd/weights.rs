//! Weights, and their gradients, between PyTorch's layout and sums.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tiling::Tiling;
use super::transform::{extent, weight, weight_adjoint};
use crate::Isa;
use crate::kernels::fresh::in_pieces;
use crate::kernels::vectors::{load, store};

/// Up to 4 × 4 × 4 vectors.
type Cube<S> = [[[<S as Simd>::f32s; 4]; 4]; 4];

/// Weights of PyTorch's layout as seen by a convolution: element `(source, target, tap)` lies at
/// `source · source_step + target · target_step + tap`, or with the taps reversed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights<'a> {
    pub(super) values: &'a [f32],
    /// Whether this is the adjoint: the weight lists the source first, and taps are reversed.
    pub(super) adjoint: bool,
}

/// The sums of the weights, as `(panels of two vectors of target channels, sums, source channels,
/// two vectors)`; zeros stand in for channels that there are not.
pub(super) fn transform(isa: Isa, tiling: &Tiling, weights: Weights<'_>) -> Vec<f32> {
    let wide = 2 * isa.lanes();
    let panels = tiling.target.channels.div_ceil(wide);
    let size = tiling.matrices() * tiling.matrix(wide);
    in_pieces(panels * size, size, |panel, sums| {
        isa.run(TransformPanel { tiling, weights, panel, sums });
    })
}

struct TransformPanel<'a> {
    tiling: &'a Tiling,
    weights: Weights<'a>,
    panel: usize,
    sums: &'a mut [f32],
}

impl WithSimd for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, weights, panel, sums } = self;
        let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
        let taps: usize = tiling.kernel.iter().product();
        let (source_step, target_step) =
            if weights.adjoint { (outputs * taps, taps) } else { (taps, inputs * taps) };
        let wide = 2 * S::F32_LANES;
        let mut gathered = [0.0; 27 * 16];
        for source in 0..inputs {
            for half in 0..2 {
                let first = panel * wide + half * S::F32_LANES;
                for lane in 0..S::F32_LANES {
                    let at = source * source_step + (first + lane) * target_step;
                    for tap in 0..taps {
                        let from = if weights.adjoint { taps - 1 - tap } else { tap };
                        gathered[tap * S::F32_LANES + lane] =
                            if first + lane < outputs { weights.values[at + from] } else { 0.0 };
                    }
                }
                let cube = read::<S>(simd, tiling, &gathered);
                let planes = [extent(tiling.step[0]), 4];
                let mut at = source * wide + half * S::F32_LANES;
                for plane in cube.iter().take(planes[0]) {
                    for &value in plane.as_flattened() {
                        store(simd, sums, at, value);
                        at += tiling.matrix(wide);
                    }
                }
            }
        }
    }
}

/// The sums of weights `(taps, one vector)`.
#[inline(always)]
fn read<S: Simd>(simd: S, tiling: &Tiling, gathered: &[f32]) -> Cube<S> {
    let mut cube = [[[simd.splat_f32s(0.0); 4]; 4]; 4];
    let depth = tiling.kernel[0];
    for (z, plane) in cube.iter_mut().enumerate().take(depth) {
        let mut along_x = [[simd.splat_f32s(0.0); 4]; 3];
        for (y, line) in along_x.iter_mut().enumerate() {
            let first = (z * 3 + y) * 3 * S::F32_LANES;
            let taps = [
                load(simd, gathered, first),
                load(simd, gathered, first + S::F32_LANES),
                load(simd, gathered, first + 2 * S::F32_LANES),
            ];
            *line = weight(simd, taps);
        }
        for x in 0..4 {
            let column = weight(simd, [along_x[0][x], along_x[1][x], along_x[2][x]]);
            for (line, value) in plane.iter_mut().zip(column) {
                line[x] = value;
            }
        }
    }
    if depth == 3 {
        for y in 0..4 {
            for x in 0..4 {
                let column = weight(simd, [cube[0][y][x], cube[1][y][x], cube[2][y][x]]);
                for (plane, value) in cube.iter_mut().zip(column) {
                    plane[y][x] = value;
                }
            }
        }
    }
    cube
}

/// The gradient of a weight in PyTorch's layout, from that of its sums, `(sums, source channels,
/// padded target channels)`.
pub(super) fn transform_adjoint(isa: Isa, tiling: &Tiling, sums: &[f32]) -> Vec<f32> {
    let channel = tiling.source.channels * tiling.kernel.iter().product::<usize>();
    let mut weight = vec![0.0; tiling.target.channels * channel];
    weight.par_chunks_mut(isa.lanes() * channel).enumerate().for_each(|(vector, weight)| {
        isa.run(AdjointVector { tiling, sums, vector, weight });
    });
    weight
}

struct AdjointVector<'a> {
    tiling: &'a Tiling,
    sums: &'a [f32],
    vector: usize,
    weight: &'a mut [f32],
}

impl WithSimd for AdjointVector<'_> {
    type Output = ();

    #[expect(clippy::needless_range_loop, reason = "a cube is read by its three coordinates")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, sums, vector, weight } = self;
        let inputs = tiling.source.channels;
        let columns = tiling.target.channels.next_multiple_of(S::F32_LANES);
        let taps: usize = tiling.kernel.iter().product();
        let mut scattered = [0.0; 27 * 16];
        for source in 0..inputs {
            let mut planes = [[[simd.splat_f32s(0.0); 3]; 3]; 4];
            for (z, plane) in planes.iter_mut().enumerate().take(extent(tiling.step[0])) {
                let mut along_x = [[simd.splat_f32s(0.0); 3]; 4];
                for (y, line) in along_x.iter_mut().enumerate() {
                    let mut sum = [simd.splat_f32s(0.0); 4];
                    for (x, sum) in sum.iter_mut().enumerate() {
                        let matrix = ((z * 4 + y) * 4 + x) * tiling.matrix(columns);
                        *sum = load(simd, sums, matrix + source * columns + vector * S::F32_LANES);
                    }
                    *line = weight_adjoint(simd, sum);
                }
                for x in 0..3 {
                    let column = [along_x[0][x], along_x[1][x], along_x[2][x], along_x[3][x]];
                    for (line, value) in plane.iter_mut().zip(weight_adjoint(simd, column)) {
                        line[x] = value;
                    }
                }
            }
            for y in 0..3 {
                for x in 0..3 {
                    let mut column = [planes[0][y][x]; 3];
                    if tiling.kernel[0] == 3 {
                        let sums = [column[0], planes[1][y][x], planes[2][y][x], planes[3][y][x]];
                        column = weight_adjoint(simd, sums);
                    }
                    for (z, &value) in column.iter().enumerate().take(tiling.kernel[0]) {
                        store(simd, &mut scattered, ((z * 3 + y) * 3 + x) * S::F32_LANES, value);
                    }
                }
            }
            for (lane, weight) in weight.chunks_exact_mut(inputs * taps).enumerate() {
                for (tap, value) in weight[source * taps..][..taps].iter_mut().enumerate() {
                    *value = scattered[tap * S::F32_LANES + lane];
                }
            }
        }
    }
}
