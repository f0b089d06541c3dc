//! The gradient of a normalization and its activation.

use std::ops::Range;

use rayon::prelude::*;

use super::{BLOCK, Extent, Rows, Scaling, Standard, add_lanes};
use crate::activation::Form;
use crate::isa::isa;
use crate::kernels::act::{Curve, with_curve};
use crate::kernels::channels::narrow;
use crate::kernels::element::Element;
use crate::kernels::fresh::in_pieces;
use crate::norm::Cells;

/// For each channel of each sample, `(N, C)` each: the sums over voxels of `δ` and of `δ · x̂`, where
/// `δ` is the gradient before the activation, and `x̂` the standardized input.
pub(crate) fn gradient_sums<T: Element>(
    (x, gradient): (&[T], &[f32]),
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    form: Form,
) -> [Vec<f64>; 2] {
    let (channels, isa) = (extent.channels, isa());
    let samples = x.par_chunks(extent.sample()).zip(gradient.par_chunks(extent.sample()));
    let both: Vec<Vec<f64>> = with_curve!(form, curve => samples.enumerate().map(|(n, (x, dy))| {
        let rows = Rows::new(standard, scaling, extent.channels, n, extent.repeats());
        let tasks = x.par_chunks(extent.task()).zip(dy.par_chunks(extent.task()));
        let sums: Vec<Vec<f64>> =
            tasks.map(|(x, dy)| isa.run(|| task_sums(&rows, channels, x, dy, curve))).collect();
        (0..2 * channels).map(|at| sums.iter().map(|sums| sums[at]).sum()).collect()
    }).collect());
    let half = |range: Range<usize>| {
        both.iter().flat_map(|sums| sums[range.clone()].iter().copied()).collect()
    };
    [half(0..channels), half(channels..2 * channels)]
}

#[inline(always)]
fn task_sums<T: Element>(
    rows: &Rows,
    channels: usize,
    x: &[T],
    dy: &[f32],
    curve: impl Curve,
) -> Vec<f64> {
    let lanes = rows.mean.len();
    let mut total = vec![0.0; 2 * channels];
    let (mut sum, mut product) = (vec![0f32; lanes], vec![0f32; lanes]);
    for (x, dy) in x.chunks(BLOCK * lanes).zip(dy.chunks(BLOCK * lanes)) {
        sum.fill(0.0);
        product.fill(0.0);
        for (x, dy) in x.chunks(lanes).zip(dy.chunks(lanes)) {
            let affine = rows.mean.iter().zip(&rows.factor).zip(&rows.scale);
            let affine = affine.zip(rows.bias.iter().zip(&rows.bends));
            let state = sum.iter_mut().zip(&mut product);
            let values = x.iter().zip(dy).zip(affine).zip(state);
            for (((&x, &dy), (((&mean, &factor), &scale), (&bias, &bend))), (sum, product)) in
                values
            {
                let centered = x.widen() - mean;
                let delta = dy * curve.slope(centered * scale + bias, bend);
                *sum += delta;
                *product += delta * (centered * factor);
            }
        }
        add_lanes(&mut total[..channels], &sum);
        add_lanes(&mut total[channels..], &product);
    }
    total
}

/// What is subtracted from the gradient for the mean and the deviation being functions of the
/// input: for each channel of each sample, `(N, C)`, the means over its cell of `δ · weight` and
/// `δ · weight · x̂`.
pub(crate) fn cell_means(
    [sum, product]: &[Vec<f64>; 2],
    extent: Extent,
    weight: &[f32],
    cells: Cells,
) -> [Vec<f32>; 2] {
    let (batch, channels) = (extent.batch, extent.channels);
    let (size, cell): (f64, Box<dyn Fn(usize) -> usize>) = match cells {
        Cells::Instance => (1.0, Box::new(|at| at)),
        Cells::Group(groups) => {
            let size = channels / groups;
            (size as f64, Box::new(move |at| at / size))
        }
        Cells::Batch => (batch as f64, Box::new(move |at| at % channels)),
    };
    let count = size * extent.voxels as f64;
    [sum, product].map(|sums| {
        let mut totals = vec![0.0; batch * channels];
        for (at, sum) in sums.iter().enumerate() {
            totals[cell(at)] += sum * f64::from(weight[at % channels]);
        }
        (0..batch * channels).map(|at| narrow(totals[cell(at)] / count)).collect()
    })
}

/// The gradient with respect to the input: `factor · (δ · weight − mean₁ − x̂ · mean₂)`, where
/// `means` are those of [`cell_means`], or `None` where the statistics were given.
pub(crate) fn input_gradient<T: Element>(
    (x, gradient): (&[T], &[f32]),
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    means: Option<&[Vec<f32>; 2]>,
    form: Form,
) -> Vec<f32> {
    let rows = InputRows::all(standard, scaling, means, extent);
    in_pieces(x.len(), extent.task(), |task, dx| {
        dx.copy_from_slice(&gradient[task * extent.task()..][..dx.len()]);
        task_input_gradient(&rows, (extent, task), x, dx, form);
    })
}

/// The same, in the place of the gradient that it is made of.
pub(crate) fn input_gradient_in_place<T: Element>(
    (x, gradient): (&[T], &mut [f32]),
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    means: Option<&[Vec<f32>; 2]>,
    form: Form,
) {
    let rows = InputRows::all(standard, scaling, means, extent);
    gradient.par_chunks_mut(extent.task()).enumerate().for_each(|(task, dx)| {
        task_input_gradient(&rows, (extent, task), x, dx, form);
    });
}

/// What the gradient of each channel of one sample is made of, repeated for an inner loop:
/// `factor · (δ w − m₁ − x̂ m₂) = δ · scale − m₁ · factor − (x − mean) · m₂ · factor²`.
struct InputRows {
    rows: Rows,
    constant: Vec<f32>,
    linear: Vec<f32>,
}

impl InputRows {
    /// Those of each sample.
    fn all(
        standard: &Standard,
        scaling: Scaling<'_>,
        means: Option<&[Vec<f32>; 2]>,
        extent: Extent,
    ) -> Vec<Self> {
        let (channels, times) = (extent.channels, extent.repeats());
        let terms = |which: usize, n: usize, power: i32| match means {
            Some(means) => {
                let means = &means[which][n * channels..][..channels];
                let factor = standard.factor[n * channels..][..channels].iter();
                let terms: Vec<f32> =
                    means.iter().zip(factor).map(|(m, f)| m * f.powi(power)).collect();
                terms.repeat(times)
            }
            None => vec![0.0; channels * times],
        };
        let of = |n| Self {
            rows: Rows::new(standard, scaling, extent.channels, n, extent.repeats()),
            constant: terms(0, n, 1),
            linear: terms(1, n, 2),
        };
        (0..extent.batch).map(of).collect()
    }
}

/// Turns the gradient of a task's results, `dx`, into that of its inputs.
fn task_input_gradient<T: Element>(
    all: &[InputRows],
    (extent, task): (Extent, usize),
    x: &[T],
    dx: &mut [f32],
    form: Form,
) {
    let isa = isa();
    let from = task * extent.task();
    for (n, part) in extent.parts(task, dx.len()) {
        let InputRows { rows, constant, linear } = &all[n];
        let lanes = rows.mean.len();
        let dx = &mut dx[part.start - from..part.end - from];
        with_curve!(form, curve => isa.run(|| {
            for (dx, x) in dx.chunks_mut(lanes).zip(x[part].chunks(lanes)) {
                let affine = rows.mean.iter().zip(&rows.scale).zip(&rows.bias);
                let affine = affine.zip(&rows.bends).zip(constant.iter().zip(linear));
                for ((dx, &x), ((((&mean, &scale), &bias), &bend), (&constant, &linear))) in
                    dx.iter_mut().zip(x).zip(affine)
                {
                    let centered = x.widen() - mean;
                    let delta = *dx * curve.slope(centered * scale + bias, bend);
                    *dx = delta * scale - constant - centered * linear;
                }
            }
        }));
    }
}
