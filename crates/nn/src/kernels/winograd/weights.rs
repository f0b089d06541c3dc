//! Weights, and their gradients, between PyTorch's layout and sums.

use std::sync::Arc;

use candle::TensorId;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tiling::Tiling;
use super::transform::{weight, weight_adjoint};
use crate::Isa;
use crate::kernels::fresh::in_pieces;
use crate::kernels::vectors::{load, store};
use crate::prepared::{Form, prepared};

/// Calls `$run` with the taps and the sums of the weight along each axis.
macro_rules! with_axes {
    ($tiling:expr, $self:ident.$run:ident($simd:expr)) => {
        match $tiling.step {
            [1, 2, 2] => $self.$run::<S, 1, 1, 4, 4>($simd),
            [1, 2, _] => $self.$run::<S, 1, 1, 4, 6>($simd),
            [1, _, _] => $self.$run::<S, 1, 1, 6, 6>($simd),
            [_, 2, 2] => $self.$run::<S, 3, 4, 4, 4>($simd),
            [_, 2, _] => $self.$run::<S, 3, 4, 4, 6>($simd),
            [_, _, _] => $self.$run::<S, 3, 4, 6, 6>($simd),
        }
    };
}

/// Weights of PyTorch's layout as seen by a convolution: element `(source, target, tap)` lies at
/// `source · source_step + target · target_step + tap`, or with the taps reversed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    pub(crate) values: &'a [f32],
    /// Whether this is the adjoint: the weight lists the source first, and taps are reversed.
    pub(crate) adjoint: bool,
    /// Whose values they are, where they never change.
    pub(crate) id: Option<TensorId>,
}

/// The sums of the weights, made anew or kept from before; see [`transform`].
pub(super) fn sums(isa: Isa, tiling: &Tiling, weights: Weights<'_>) -> Arc<Vec<f32>> {
    let form = Form { isa, step: tiling.step, adjoint: weights.adjoint };
    let id = weights.id.filter(|_| tiling.weights_matter());
    prepared(id, form, || transform(isa, tiling, weights))
}

/// The sums of the weights, as `(panels of two vectors of target channels, sums, source channels,
/// two vectors)`; zeros stand in for channels that there are not.
fn transform(isa: Isa, tiling: &Tiling, weights: Weights<'_>) -> Vec<f32> {
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
        with_axes!(self.tiling, self.run(simd));
    }
}

impl TransformPanel<'_> {
    #[expect(clippy::needless_range_loop, reason = "a cube is read by its three coordinates")]
    #[inline(always)]
    fn run<S: Simd, const KZ: usize, const NZ: usize, const NY: usize, const NX: usize>(
        self,
        simd: S,
    ) {
        let Self { tiling, weights, panel, sums } = self;
        let (inputs, outputs) = (tiling.source.channels, tiling.target.channels);
        let taps = KZ * 9;
        let (source_step, target_step) =
            if weights.adjoint { (outputs * taps, taps) } else { (taps, inputs * taps) };
        let wide = 2 * S::F32_LANES;
        let matrix = tiling.matrix(wide);
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
                let zero = simd.splat_f32s(0.0);
                let at = source * wide + half * S::F32_LANES;
                // By (y, x, z), so that what is summed next lies side by side. Loops, not closures:
                // those need not be compiled for the vectors at hand.
                let mut columns = [[[zero; KZ]; NX]; NY];
                for z in 0..KZ {
                    let mut lines = [[zero; 3]; NX];
                    for y in 0..3 {
                        let mut taps = [zero; 3];
                        for (x, tap) in taps.iter_mut().enumerate() {
                            *tap = load(simd, &gathered, ((z * 3 + y) * 3 + x) * S::F32_LANES);
                        }
                        for (line, value) in lines.iter_mut().zip(weight::<S, 3, NX>(simd, taps)) {
                            line[y] = value;
                        }
                    }
                    for (x, &line) in lines.iter().enumerate() {
                        for (y, value) in weight::<S, 3, NY>(simd, line).into_iter().enumerate() {
                            columns[y][x][z] = value;
                        }
                    }
                }
                for (column, &taps) in columns.as_flattened().iter().enumerate() {
                    for (z, value) in weight::<S, KZ, NZ>(simd, taps).into_iter().enumerate() {
                        store(simd, sums, at + (z * NY * NX + column) * matrix, value);
                    }
                }
            }
        }
    }
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

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_axes!(self.tiling, self.run(simd));
    }
}

impl AdjointVector<'_> {
    #[expect(clippy::needless_range_loop, reason = "a cube is read by its three coordinates")]
    #[inline(always)]
    fn run<S: Simd, const KZ: usize, const NZ: usize, const NY: usize, const NX: usize>(
        self,
        simd: S,
    ) {
        let Self { tiling, sums, vector, weight } = self;
        let inputs = tiling.source.channels;
        let columns = tiling.target.channels.next_multiple_of(S::F32_LANES);
        let (taps, matrix) = (KZ * 9, tiling.matrix(columns));
        let mut scattered = [0.0; 27 * 16];
        for source in 0..inputs {
            let from = source * columns + vector * S::F32_LANES;
            let zero = simd.splat_f32s(0.0);
            let mut columns = [[[zero; NZ]; 3]; 3];
            for z in 0..NZ {
                let mut lines = [[zero; NY]; 3];
                for y in 0..NY {
                    let mut values = [zero; NX];
                    for (x, value) in values.iter_mut().enumerate() {
                        *value = load(simd, sums, ((z * NY + y) * NX + x) * matrix + from);
                    }
                    let values = weight_adjoint::<S, NX, 3>(simd, values);
                    for (line, value) in lines.iter_mut().zip(values) {
                        line[y] = value;
                    }
                }
                for (x, &line) in lines.iter().enumerate() {
                    let values = weight_adjoint::<S, NY, 3>(simd, line);
                    for (y, value) in values.into_iter().enumerate() {
                        columns[y][x][z] = value;
                    }
                }
            }
            for (column, &values) in columns.as_flattened().iter().enumerate() {
                let taps = weight_adjoint::<S, NZ, KZ>(simd, values);
                for (z, value) in taps.into_iter().enumerate() {
                    store(simd, &mut scattered, (z * 9 + column) * S::F32_LANES, value);
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
