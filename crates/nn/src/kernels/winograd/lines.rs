//! Sums over the two slower axes, line by line.

use std::mem::MaybeUninit;

use pulp::Simd;

use super::tiling::{Tiling, pitch};
use super::transform::{input, output, output_adjoint};
use crate::kernels::vectors::{load, starts, store, store_new};

/// Applies a transform of four along the slower axis, where there is one.
macro_rules! along_z {
    ($simd:expr, $values:expr, $transform:path) => {
        if $values.len() == 4 {
            for y in 0..4 {
                let column =
                    $transform($simd, [$values[0][y], $values[1][y], $values[2][y], $values[3][y]]);
                for (line, value) in $values.iter_mut().zip(column) {
                    line[y] = value;
                }
            }
        }
    };
}

/// The sums of the source lines that `row` sees, into `sums`, one line for each.
#[inline(always)]
pub(super) fn gather<S: Simd>(
    simd: S,
    tiling: &Tiling,
    row: usize,
    source: &[f32],
    zeros: &[f32],
    sums: &mut [f32],
) {
    if tiling.step[0] == 2 {
        gather_planes::<S, 4>(simd, tiling, row, source, zeros, sums);
    } else {
        gather_planes::<S, 1>(simd, tiling, row, source, zeros, sums);
    }
}

#[inline(always)]
fn gather_planes<S: Simd, const DEPTH: usize>(
    simd: S,
    tiling: &Tiling,
    row: usize,
    source: &[f32],
    zeros: &[f32],
    sums: &mut [f32],
) {
    let length = tiling.source.line();
    let mut lines = [[zeros; 4]; DEPTH];
    for (z, lines) in lines.iter_mut().enumerate() {
        for (y, line) in lines.iter_mut().enumerate() {
            if let Some(at) = tiling.source_at(row, z, y) {
                *line = &source[at * length..][..length];
            }
        }
    }
    let before = tiling.padding[2] * tiling.source.channels;
    let pitch = pitch(tiling.source_line());
    for sums in sums.chunks_exact_mut(pitch) {
        sums[..before].fill(0.0);
        sums[before + length..].fill(0.0);
    }
    for at in starts(simd, length) {
        let mut values = [[simd.splat_f32s(0.0); 4]; DEPTH];
        for (values, lines) in values.iter_mut().zip(&lines) {
            for (value, line) in values.iter_mut().zip(lines) {
                *value = load(simd, line, at);
            }
            *values = input(simd, *values);
        }
        along_z!(simd, values, input);
        for (plane, &value) in values.as_flattened().iter().enumerate() {
            store(simd, sums, plane * pitch + before + at, value);
        }
    }
}

/// The adjoint of [`scatter`], without bias: from the lines of `row` to `sums`.
#[inline(always)]
pub(super) fn scatter_adjoint<S: Simd>(
    simd: S,
    tiling: &Tiling,
    row: usize,
    target: &[f32],
    zeros: &[f32],
    sums: &mut [f32],
) {
    let length = tiling.target.line();
    let mut lines = [[zeros; 2]; 2];
    for (z, lines) in lines.iter_mut().enumerate().take(tiling.step[0]) {
        for (y, line) in lines.iter_mut().enumerate() {
            if let Some(at) = tiling.target_at(row, z, y) {
                *line = &target[at * length..][..length];
            }
        }
    }
    let pitch = pitch(tiling.target_line());
    for sums in sums.chunks_exact_mut(pitch) {
        sums[length..].fill(0.0);
    }
    for at in starts(simd, length) {
        let along_y = [
            output_adjoint(simd, [load(simd, lines[0][0], at), load(simd, lines[0][1], at)]),
            output_adjoint(simd, [load(simd, lines[1][0], at), load(simd, lines[1][1], at)]),
        ];
        for (y, (&first, &second)) in along_y[0].iter().zip(&along_y[1]).enumerate() {
            if tiling.step[0] == 1 {
                store(simd, sums, y * pitch + at, first);
                continue;
            }
            let column = output_adjoint(simd, [first, second]);
            for (z, value) in column.into_iter().enumerate() {
                store(simd, sums, (4 * z + y) * pitch + at, value);
            }
        }
    }
}

/// The result, from the sums of products: those of `row`, in lines `plane` values apart, into the
/// lines of the row that there are, slower axis first, all of each. `bias` is a line of it.
#[inline(always)]
pub(super) fn scatter<S: Simd>(
    simd: S,
    tiling: &Tiling,
    row: usize,
    (sums, plane): (&[f32], usize),
    bias: &[f32],
    lines: &mut [&mut [MaybeUninit<f32>]],
) {
    let [deep, high] = tiling.lines_of(row);
    for at in starts(simd, bias.len()) {
        let bias = load(simd, bias, at);
        // By (y, z), where y is the faster axis.
        let results = if tiling.step[0] == 2 {
            let a = plane_output(simd, sums, plane, 0, at);
            let b = plane_output(simd, sums, plane, 1, at);
            let c = plane_output(simd, sums, plane, 2, at);
            let d = plane_output(simd, sums, plane, 3, at);
            [output(simd, [a[0], b[0], c[0], d[0]]), output(simd, [a[1], b[1], c[1], d[1]])]
        } else {
            let only = plane_output(simd, sums, plane, 0, at);
            [[only[0]; 2], [only[1]; 2]]
        };
        for (z, lines) in lines.chunks_exact_mut(high).enumerate().take(deep) {
            for (line, results) in lines.iter_mut().zip(&results) {
                store_new(simd, line, at, simd.add_f32s(results[z], bias));
            }
        }
    }
}

/// The results along the faster axis of the four lines of one depth.
#[inline(always)]
fn plane_output<S: Simd>(
    simd: S,
    sums: &[f32],
    plane: usize,
    depth: usize,
    at: usize,
) -> [S::f32s; 2] {
    let first = 4 * depth * plane + at;
    let products = [
        load(simd, sums, first),
        load(simd, sums, first + plane),
        load(simd, sums, first + 2 * plane),
        load(simd, sums, first + 3 * plane),
    ];
    output(simd, products)
}
