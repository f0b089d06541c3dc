//! Sums over the two slower axes, line by line.

use std::mem::MaybeUninit;

use pulp::Simd;

use super::source::{Normalized, Plain, Reads, Source, Way};
use super::tiling::{Tiling, pitch};
use super::transform::{input, output, output_adjoint};
use crate::kernels::element::{Element, with_values};
use crate::kernels::vectors::{load, starts, store, store_new};

/// A strip of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    pub(super) row: usize,
    pub(super) strip: usize,
}

/// Calls `$run` with the sums along the two slower axes, and the voxels that a tile covers there.
macro_rules! with_axes {
    ($tiling:expr, $run:ident($($argument:expr),*)) => {
        match ($tiling.step[0], $tiling.step[1]) {
            (1, 2) => $run::<S, 1, 1, 4, 2>($($argument),*),
            (1, _) => $run::<S, 1, 1, 6, 4>($($argument),*),
            (_, 2) => $run::<S, 4, 2, 4, 2>($($argument),*),
            (_, _) => $run::<S, 4, 2, 6, 4>($($argument),*),
        }
    };
}

/// The sums of the source lines that a strip sees, into `sums`, one line for each.
#[inline(always)]
pub(super) fn gather<S: Simd>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    source: &Source<'_>,
    sums: &mut [f32],
) {
    let channels = tiling.source.channels;
    let (voxels, before) = tiling.source_voxels(strip.strip);
    for sums in sums.chunks_exact_mut(pitch(tiling.source_line())) {
        sums[..before * channels].fill(0.0);
        sums[(before + voxels.len()) * channels..].fill(0.0);
    }
    for part in &source.parts {
        with_axes!(tiling, gather_part(simd, tiling, strip, part, sums));
    }
}

#[inline(always)]
fn gather_part<S: Simd, const NZ: usize, const MZ: usize, const NY: usize, const MY: usize>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    part: &Reads<'_>,
    sums: &mut [f32],
) {
    let (voxels, before) = tiling.source_voxels(strip.strip);
    let length = tiling.source.space[2] * part.channels;
    let to = before * tiling.source.channels + part.first;
    let covered = (voxels.len(), part.channels, to);
    with_values!(part.values, values => {
        let lines: [[Option<_>; NY]; NZ] = std::array::from_fn(|z| std::array::from_fn(|y| {
            let line = &values[tiling.source_at(strip.row, z, y)? * length..][..length];
            Some(&line[voxels.start * part.channels..voxels.end * part.channels])
        }));
        match &part.norm {
            None => sum_lines(simd, tiling, &Plain, lines, covered, sums),
            Some(samples) => {
                let way = Normalized(&samples[tiling.sample(strip.row)]);
                sum_lines(simd, tiling, &way, lines, covered, sums);
            }
        }
    });
}

/// The sums of lines, of so many voxels and channels, into those from `to` on.
#[inline(always)]
fn sum_lines<S: Simd, T: Element, const NZ: usize, const NY: usize>(
    simd: S,
    tiling: &Tiling,
    way: &impl Way<S>,
    lines: [[Option<&[T]>; NY]; NZ],
    (voxels, channels, to): (usize, usize, usize),
    sums: &mut [f32],
) {
    let (all, pitch) = (tiling.source.channels, pitch(tiling.source_line()));
    for voxel in 0..voxels {
        for at in starts(simd, channels) {
            let how = way.at(simd, at);
            // Loops, not closures: those need not be compiled for the vectors at hand.
            let mut values = [[simd.splat_f32s(0.0); NZ]; NY];
            for (z, lines) in lines.iter().enumerate() {
                let mut along_y = [simd.splat_f32s(0.0); NY];
                for (value, line) in along_y.iter_mut().zip(lines) {
                    if let Some(line) = line {
                        let x = T::load(simd, line, voxel * channels + at);
                        *value = way.apply(simd, how, x);
                    }
                }
                for (column, value) in values.iter_mut().zip(input::<S, NY>(simd, along_y)) {
                    column[z] = value;
                }
            }
            let to = to + voxel * all + at;
            for (y, &column) in values.iter().enumerate() {
                for (z, value) in input::<S, NZ>(simd, column).into_iter().enumerate() {
                    store(simd, sums, (z * NY + y) * pitch + to, value);
                }
            }
        }
    }
}

/// The adjoint of [`scatter`], without bias: from the lines of `target` that a strip covers to `sums`.
#[inline(always)]
pub(super) fn scatter_adjoint<S: Simd>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    target: &[f32],
    sums: &mut [f32],
) {
    with_axes!(tiling, scatter_adjoint_by(simd, tiling, strip, target, sums));
}

#[inline(always)]
fn scatter_adjoint_by<
    S: Simd,
    const NZ: usize,
    const MZ: usize,
    const NY: usize,
    const MY: usize,
>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    target: &[f32],
    sums: &mut [f32],
) {
    let (channels, length) = (tiling.target.channels, tiling.target.line());
    let voxels = tiling.target_voxels(strip.strip);
    let covered = voxels.len() * channels;
    let lines: [[Option<&[f32]>; MY]; MZ] = std::array::from_fn(|z| {
        std::array::from_fn(|y| {
            let line = &target[tiling.target_at(strip.row, z, y)? * length..][..length];
            Some(&line[voxels.start * channels..][..covered])
        })
    });
    let pitch = pitch(tiling.target_line());
    for sums in sums.chunks_exact_mut(pitch) {
        sums[covered..].fill(0.0);
    }
    for at in starts(simd, covered) {
        let mut values = [[simd.splat_f32s(0.0); MZ]; NY];
        for (z, lines) in lines.iter().enumerate() {
            let mut along_y = [simd.splat_f32s(0.0); MY];
            for (value, line) in along_y.iter_mut().zip(lines) {
                if let Some(line) = line {
                    *value = load(simd, line, at);
                }
            }
            let along_y = output_adjoint::<S, NY, MY>(simd, along_y);
            for (column, value) in values.iter_mut().zip(along_y) {
                column[z] = value;
            }
        }
        for (y, &column) in values.iter().enumerate() {
            let column = output_adjoint::<S, NZ, MZ>(simd, column);
            for (z, value) in column.into_iter().enumerate() {
                store(simd, sums, (z * NY + y) * pitch + at, value);
            }
        }
    }
}

/// The result, from the sums of products: those of a strip, in lines `plane` values apart, into the
/// lines of its row that there are, slower axis first, all that the strip covers of each. `bias` is a
/// strip of it.
#[inline(always)]
pub(super) fn scatter<S: Simd>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    sums: (&[f32], usize),
    bias: &[f32],
    lines: &mut [&mut [MaybeUninit<f32>]],
) {
    with_axes!(tiling, scatter_by(simd, tiling, strip, sums, bias, lines));
}

#[inline(always)]
fn scatter_by<S: Simd, const NZ: usize, const MZ: usize, const NY: usize, const MY: usize>(
    simd: S,
    tiling: &Tiling,
    strip: Strip,
    (sums, plane): (&[f32], usize),
    bias: &[f32],
    lines: &mut [&mut [MaybeUninit<f32>]],
) {
    let channels = tiling.target.channels;
    let [deep, high] = tiling.lines_of(strip.row);
    let voxels = tiling.target_voxels(strip.strip);
    let first = voxels.start * channels;
    for at in starts(simd, voxels.len() * channels) {
        let bias = load(simd, bias, at);
        let mut values = [[simd.splat_f32s(0.0); NZ]; MY];
        for z in 0..NZ {
            let mut along_y = [simd.splat_f32s(0.0); NY];
            for (y, value) in along_y.iter_mut().enumerate() {
                *value = load(simd, sums, (z * NY + y) * plane + at);
            }
            for (column, value) in values.iter_mut().zip(output::<S, NY, MY>(simd, along_y)) {
                column[z] = value;
            }
        }
        for (y, &column) in values.iter().enumerate().take(high) {
            let column = output::<S, NZ, MZ>(simd, column);
            for (z, &value) in column.iter().enumerate().take(deep) {
                store_new(simd, lines[z * high + y], first + at, simd.add_f32s(value, bias));
            }
        }
    }
}
