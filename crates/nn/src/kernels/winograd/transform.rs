//! The sums of F(2, 3) along one axis.

use pulp::Simd;

/// Voxels of input that a tile of `step` voxels sees, and sums it makes of them: 4 for two voxels
/// under a kernel of 3, else one, under a kernel of 1.
pub(super) fn extent(step: usize) -> usize {
    if step == 2 { 4 } else { 1 }
}

/// Sums of the input.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; 4]) -> [S::f32s; 4] {
    [
        simd.sub_f32s(d[0], d[2]),
        simd.add_f32s(d[1], d[2]),
        simd.sub_f32s(d[2], d[1]),
        simd.sub_f32s(d[1], d[3]),
    ]
}

/// Results of the products.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 2] {
    let sum = simd.add_f32s(m[0], m[1]);
    let difference = simd.sub_f32s(m[1], m[2]);
    [simd.add_f32s(sum, m[2]), simd.sub_f32s(difference, m[3])]
}

/// The adjoint of [`output`]: from the gradient of the results to that of the products.
#[inline(always)]
pub(super) fn output_adjoint<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 4] {
    [y[0], simd.add_f32s(y[0], y[1]), simd.sub_f32s(y[0], y[1]), simd.neg_f32s(y[1])]
}

/// Sums of the weights.
#[inline(always)]
pub(super) fn weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 4] {
    let half = simd.splat_f32s(0.5);
    let ends = simd.mul_f32s(half, simd.add_f32s(g[0], g[2]));
    let middle = simd.mul_f32s(half, g[1]);
    [g[0], simd.add_f32s(ends, middle), simd.sub_f32s(ends, middle), g[2]]
}

/// The adjoint of [`weight`]: from the gradient of the sums to that of the weights.
#[inline(always)]
pub(super) fn weight_adjoint<S: Simd>(simd: S, u: [S::f32s; 4]) -> [S::f32s; 3] {
    let half = simd.splat_f32s(0.5);
    let ends = simd.mul_f32s(half, simd.add_f32s(u[1], u[2]));
    let middle = simd.mul_f32s(half, simd.sub_f32s(u[1], u[2]));
    [simd.add_f32s(u[0], ends), middle, simd.add_f32s(ends, u[3])]
}
