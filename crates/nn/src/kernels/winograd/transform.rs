//! The sums of F(2, 3) and F(4, 3) along one axis.
//!
//! A tile of `M` results sees `N` values of the input, and makes `N` sums of them: 1 and 1 along an axis
//! that the kernel does not extend over, 2 and 4, or 4 and 6. The sums of four values are those at the
//! points 0, 1, −1 and ∞, those of six at 0, ±√½, ±√2 and ∞: with these, factors stay small, and so do
//! rounding errors, which are half of those at the usual 0, ±1, ±2 and ∞.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

/// √½ and √2, and their cubes.
const SMALL: f32 = FRAC_1_SQRT_2;
const LARGE: f32 = SQRT_2;
const SMALL_CUBE: f32 = 0.5 * FRAC_1_SQRT_2;
const LARGE_CUBE: f32 = 2.0 * SQRT_2;

/// Voxels of input that a tile of `step` voxels sees, and sums it makes of them.
pub(super) fn extent(step: usize) -> usize {
    if step == 1 { 1 } else { step + 2 }
}

/// `factor · a + b`.
#[inline(always)]
fn add<S: Simd>(simd: S, factor: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b)
}

/// `factor · a`.
#[inline(always)]
fn scaled<S: Simd>(simd: S, factor: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), a)
}

/// Sums of the input.
#[inline(always)]
pub(super) fn input<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let mut sums = d;
    if N == 4 {
        sums[0] = simd.sub_f32s(d[0], d[2]);
        sums[1] = simd.add_f32s(d[1], d[2]);
        sums[2] = simd.sub_f32s(d[2], d[1]);
        sums[3] = simd.sub_f32s(d[1], d[3]);
    } else if N == 6 {
        let (even_small, odd_small) = (add(simd, -2.0, d[2], d[4]), add(simd, -2.0, d[1], d[3]));
        let (even_large, odd_large) = (add(simd, -0.5, d[2], d[4]), add(simd, -0.5, d[1], d[3]));
        sums[0] = simd.add_f32s(d[0], add(simd, -2.5, d[2], d[4]));
        sums[1] = add(simd, SMALL, odd_small, even_small);
        sums[2] = add(simd, -SMALL, odd_small, even_small);
        sums[3] = add(simd, LARGE, odd_large, even_large);
        sums[4] = add(simd, -LARGE, odd_large, even_large);
        sums[5] = simd.add_f32s(d[1], add(simd, -2.5, d[3], d[5]));
    }
    sums
}

/// Results of the products.
#[inline(always)]
pub(super) fn output<S: Simd, const N: usize, const M: usize>(
    simd: S,
    m: [S::f32s; N],
) -> [S::f32s; M] {
    let mut results = [m[0]; M];
    if N == 4 {
        let sum = simd.add_f32s(m[0], m[1]);
        let difference = simd.sub_f32s(m[1], m[2]);
        results[0] = simd.add_f32s(sum, m[2]);
        results[1] = simd.sub_f32s(difference, m[3]);
    } else if N == 6 {
        let (even_small, odd_small) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (even_large, odd_large) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        results[0] = simd.add_f32s(m[0], simd.add_f32s(even_small, even_large));
        results[1] = add(simd, SMALL, odd_small, scaled(simd, LARGE, odd_large));
        results[2] = add(simd, 0.5, even_small, scaled(simd, 2.0, even_large));
        results[3] = add(simd, SMALL_CUBE, odd_small, add(simd, LARGE_CUBE, odd_large, m[5]));
    }
    results
}

/// The adjoint of [`output`]: from the gradient of the results to that of the products.
#[inline(always)]
pub(super) fn output_adjoint<S: Simd, const N: usize, const M: usize>(
    simd: S,
    y: [S::f32s; M],
) -> [S::f32s; N] {
    let mut products = [y[0]; N];
    if N == 4 {
        products[1] = simd.add_f32s(y[0], y[1]);
        products[2] = simd.sub_f32s(y[0], y[1]);
        products[3] = simd.neg_f32s(y[1]);
    } else if N == 6 {
        let even_small = add(simd, 0.5, y[2], y[0]);
        let even_large = add(simd, 2.0, y[2], y[0]);
        let odd_small = add(simd, SMALL_CUBE, y[3], scaled(simd, SMALL, y[1]));
        let odd_large = add(simd, LARGE_CUBE, y[3], scaled(simd, LARGE, y[1]));
        products[1] = simd.add_f32s(even_small, odd_small);
        products[2] = simd.sub_f32s(even_small, odd_small);
        products[3] = simd.add_f32s(even_large, odd_large);
        products[4] = simd.sub_f32s(even_large, odd_large);
        products[5] = y[3];
    }
    products
}

/// Sums of the `K` weights along an axis.
#[inline(always)]
pub(super) fn weight<S: Simd, const K: usize, const N: usize>(
    simd: S,
    g: [S::f32s; K],
) -> [S::f32s; N] {
    let mut sums = [g[0]; N];
    if N == 4 {
        let ends = scaled(simd, 0.5, simd.add_f32s(g[0], g[2]));
        let middle = scaled(simd, 0.5, g[1]);
        sums[1] = simd.add_f32s(ends, middle);
        sums[2] = simd.sub_f32s(ends, middle);
        sums[3] = g[2];
    } else if N == 6 {
        let (ends, middle) =
            (scaled(simd, -2.0 / 3.0, add(simd, 0.5, g[2], g[0])), -2.0 / 3.0 * SMALL);
        sums[1] = add(simd, middle, g[1], ends);
        sums[2] = add(simd, -middle, g[1], ends);
        let (ends, middle) =
            (scaled(simd, 1.0 / 6.0, add(simd, 2.0, g[2], g[0])), 1.0 / 6.0 * LARGE);
        sums[3] = add(simd, middle, g[1], ends);
        sums[4] = add(simd, -middle, g[1], ends);
        sums[5] = g[2];
    }
    sums
}

/// The adjoint of [`weight`]: from the gradient of the sums to that of the weights.
#[inline(always)]
pub(super) fn weight_adjoint<S: Simd, const N: usize, const K: usize>(
    simd: S,
    u: [S::f32s; N],
) -> [S::f32s; K] {
    let mut weights = [u[0]; K];
    if N == 4 {
        let ends = scaled(simd, 0.5, simd.add_f32s(u[1], u[2]));
        weights[0] = simd.add_f32s(u[0], ends);
        weights[1] = scaled(simd, 0.5, simd.sub_f32s(u[1], u[2]));
        weights[2] = simd.add_f32s(ends, u[3]);
    } else if N == 6 {
        let (even_small, odd_small) = (simd.add_f32s(u[1], u[2]), simd.sub_f32s(u[1], u[2]));
        let (even_large, odd_large) = (simd.add_f32s(u[3], u[4]), simd.sub_f32s(u[3], u[4]));
        weights[0] = add(simd, -2.0 / 3.0, even_small, add(simd, 1.0 / 6.0, even_large, u[0]));
        weights[1] =
            add(simd, -2.0 / 3.0 * SMALL, odd_small, scaled(simd, 1.0 / 6.0 * LARGE, odd_large));
        weights[2] = add(simd, -1.0 / 3.0, even_small, add(simd, 1.0 / 3.0, even_large, u[5]));
    }
    weights
}
