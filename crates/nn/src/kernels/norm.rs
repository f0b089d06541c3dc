//! Normalization fused with the activation after it.
//!
//! Sums run in single precision over a few dozen voxels, and in double precision over those sums.

use std::ops::Range;

use rayon::prelude::*;

use super::act::{Curve, with_curve};
use super::channels::narrow;
use super::fresh::in_pieces;
use crate::Act;
use crate::isa::isa;
use crate::norm::Cells;

/// Values that one task works on.
const TASK: usize = 1 << 14;
/// Rows that are summed in single precision.
const BLOCK: usize = 64;
/// Values that an inner loop should have at least.
const LANES: usize = 64;

/// Extents of a tensor `(N, *S, C)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) batch: usize,
    pub(crate) voxels: usize,
    pub(crate) channels: usize,
}

impl Extent {
    fn sample(&self) -> usize {
        self.voxels * self.channels
    }

    /// Voxels that an inner loop takes at once.
    fn repeats(&self) -> usize {
        LANES.div_ceil(self.channels)
    }

    /// The values that a task works on, `length` of them, by the samples that they belong to.
    fn parts(&self, task: usize, length: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (from, to, sample) = (task * self.task(), task * self.task() + length, self.sample());
        (from / sample..to.div_ceil(sample))
            .map(move |n| (n, from.max(n * sample)..to.min((n + 1) * sample)))
    }

    /// Values that a task works on: a multiple of what an inner loop takes at once.
    fn task(&self) -> usize {
        let row = self.channels * self.repeats();
        TASK.div_ceil(row) * row
    }
}

/// What a normalization does to each channel of each sample, `(N, C)` each.
#[derive(Clone, Debug)]
pub(crate) struct Standard {
    /// The mean that is subtracted.
    pub(crate) mean: Vec<f32>,
    /// The factor that it is then multiplied by: one over the deviation.
    pub(crate) factor: Vec<f32>,
}

/// Mean and sum of squared deviations of `count` values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    /// Those of both sets of values together (Chan, Golub and others, 1983).
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares
                + other.squares
                + delta * delta * self.count * other.count / count,
        }
    }

    /// The mean square deviation.
    pub(crate) fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// The moments of each cell, in the order of their first channels.
pub(crate) fn moments(x: &[f32], extent: Extent, cells: Cells) -> Vec<Moments> {
    let channels = extent.channels;
    let single: Vec<Moments> =
        x.par_chunks(extent.sample()).flat_map(|sample| sample_moments(sample, extent)).collect();
    let merge = |of: &mut dyn Iterator<Item = usize>| {
        of.fold(Moments::default(), |merged, at| merged.merge(single[at]))
    };
    match cells {
        Cells::Instance => single,
        Cells::Group(groups) => {
            let size = channels / groups;
            let cell = |cell: usize| merge(&mut (cell * size..(cell + 1) * size));
            (0..extent.batch * groups).map(cell).collect()
        }
        Cells::Batch => {
            let cell =
                |channel: usize| merge(&mut (0..extent.batch).map(|n| n * channels + channel));
            (0..channels).map(cell).collect()
        }
    }
}

/// The moments of each channel of one sample.
fn sample_moments(sample: &[f32], extent: Extent) -> Vec<Moments> {
    let (channels, lanes) = (extent.channels, extent.channels * extent.repeats());
    // Distances from the first voxel: so no digits are lost to a mean far from 0.
    let shift = sample[..channels].repeat(extent.repeats());
    let isa = isa();
    let sums: Vec<Vec<f64>> = sample
        .par_chunks(extent.task())
        .map(|task| {
            let mut total = vec![0.0; 2 * channels];
            let (mut sum, mut square) = (vec![0f32; lanes], vec![0f32; lanes]);
            isa.run(|| {
                for block in task.chunks(BLOCK * lanes) {
                    sum.fill(0.0);
                    square.fill(0.0);
                    for row in block.chunks(lanes) {
                        let state = sum.iter_mut().zip(&mut square);
                        for ((&value, &shift), (sum, square)) in row.iter().zip(&shift).zip(state) {
                            let distance = value - shift;
                            *sum += distance;
                            *square += distance * distance;
                        }
                    }
                    add_lanes(&mut total[..channels], &sum);
                    add_lanes(&mut total[channels..], &square);
                }
            });
            total
        })
        .collect();
    let total = |at: usize| sums.iter().map(|sums| sums[at]).sum::<f64>();
    let count = extent.voxels as f64;
    (0..channels)
        .map(|channel| {
            let (sum, square) = (total(channel), total(channels + channel));
            let mean = f64::from(sample[channel]) + sum / count;
            Moments { count, mean, squares: (square - sum * sum / count).max(0.0) }
        })
        .collect()
}

/// Adds up what the lanes of each channel hold.
#[inline(always)]
fn add_lanes(total: &mut [f64], lanes: &[f32]) {
    for voxel in lanes.chunks_exact(total.len()) {
        for (total, &lane) in total.iter_mut().zip(voxel) {
            *total += f64::from(lane);
        }
    }
}

impl Standard {
    /// Of cells with these moments.
    pub(crate) fn new(moments: &[Moments], extent: Extent, cells: Cells, eps: f64) -> Self {
        let channels = extent.channels;
        let of = |at: usize| match cells {
            Cells::Instance => &moments[at],
            Cells::Group(groups) => &moments[at / (channels / groups)],
            Cells::Batch => &moments[at % channels],
        };
        let all = 0..extent.batch * channels;
        Self {
            mean: all.clone().map(|at| narrow(of(at).mean)).collect(),
            factor: all.map(|at| narrow(1.0 / (of(at).variance() + eps).sqrt())).collect(),
        }
    }

    /// Of statistics that are the same for each sample, `(C)` each.
    pub(crate) fn fixed(mean: &[f32], variance: &[f32], batch: usize, eps: f64) -> Self {
        let factor = |&variance: &f32| narrow(1.0 / (f64::from(variance) + eps).sqrt());
        let factor: Vec<f32> = variance.iter().map(factor).collect();
        Self { mean: mean.repeat(batch), factor: factor.repeat(batch) }
    }
}

/// Scale and offset of a normalization, `(C)` each, 1 and 0 where they are not learned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// What is done to each channel of one sample, repeated for an inner loop.
struct Rows {
    mean: Vec<f32>,
    factor: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl Rows {
    /// Those of each sample.
    fn all(standard: &Standard, scaling: Scaling<'_>, extent: Extent) -> Vec<Self> {
        (0..extent.batch).map(|n| Self::new(standard, scaling, extent, n)).collect()
    }

    fn new(standard: &Standard, scaling: Scaling<'_>, extent: Extent, n: usize) -> Self {
        let (channels, times) = (extent.channels, extent.repeats());
        let mean = &standard.mean[n * channels..][..channels];
        let factor = &standard.factor[n * channels..][..channels];
        let scale: Vec<f32> = factor.iter().zip(scaling.weight).map(|(f, w)| f * w).collect();
        Self {
            mean: mean.repeat(times),
            factor: factor.repeat(times),
            scale: scale.repeat(times),
            bias: scaling.bias.repeat(times),
        }
    }
}

/// `act((x − mean) · factor · weight + bias)`.
pub(crate) fn normalize(
    x: &[f32],
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    act: Act,
) -> Vec<f32> {
    let rows = Rows::all(standard, scaling, extent);
    let isa = isa();
    with_curve!(act, curve => in_pieces(x.len(), extent.task(), |task, y| {
        for (n, part) in extent.parts(task, y.len()) {
            let rows = &rows[n];
            let lanes = rows.mean.len();
            let from = task * extent.task();
            let y = &mut y[part.start - from..part.end - from];
            isa.run(|| {
                for (y, x) in y.chunks_mut(lanes).zip(x[part].chunks(lanes)) {
                    let affine = rows.mean.iter().zip(&rows.scale).zip(&rows.bias);
                    for ((y, &x), ((&mean, &scale), &bias)) in y.iter_mut().zip(x).zip(affine) {
                        *y = curve.value((x - mean) * scale + bias);
                    }
                }
            });
        }
    }))
}

/// For each channel of each sample, `(N, C)` each: the sums over voxels of `δ` and of `δ · x̂`, where
/// `δ` is the gradient before the activation, and `x̂` the standardized input.
pub(crate) fn gradient_sums(
    (x, gradient): (&[f32], &[f32]),
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    act: Act,
) -> [Vec<f64>; 2] {
    let (channels, isa) = (extent.channels, isa());
    let samples = x.par_chunks(extent.sample()).zip(gradient.par_chunks(extent.sample()));
    let both: Vec<Vec<f64>> = with_curve!(act, curve => samples.enumerate().map(|(n, (x, dy))| {
        let rows = Rows::new(standard, scaling, extent, n);
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
fn task_sums(rows: &Rows, channels: usize, x: &[f32], dy: &[f32], curve: impl Curve) -> Vec<f64> {
    let lanes = rows.mean.len();
    let mut total = vec![0.0; 2 * channels];
    let (mut sum, mut product) = (vec![0f32; lanes], vec![0f32; lanes]);
    for (x, dy) in x.chunks(BLOCK * lanes).zip(dy.chunks(BLOCK * lanes)) {
        sum.fill(0.0);
        product.fill(0.0);
        for (x, dy) in x.chunks(lanes).zip(dy.chunks(lanes)) {
            let affine = rows.mean.iter().zip(&rows.factor).zip(&rows.scale).zip(&rows.bias);
            let state = sum.iter_mut().zip(&mut product);
            let values = x.iter().zip(dy).zip(affine).zip(state);
            for (((&x, &dy), (((&mean, &factor), &scale), &bias)), (sum, product)) in values {
                let centered = x - mean;
                let delta = dy * curve.slope(centered * scale + bias);
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
pub(crate) fn input_gradient(
    (x, gradient): (&[f32], &[f32]),
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    means: Option<&[Vec<f32>; 2]>,
    act: Act,
) -> Vec<f32> {
    let (channels, times) = (extent.channels, extent.repeats());
    let all = Rows::all(standard, scaling, extent);
    let isa = isa();
    // factor · (δ w − m₁ − x̂ m₂) = δ · scale − m₁ · factor − (x − mean) · m₂ · factor²
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
    let constants: Vec<Vec<f32>> = (0..extent.batch).map(|n| terms(0, n, 1)).collect();
    let linears: Vec<Vec<f32>> = (0..extent.batch).map(|n| terms(1, n, 2)).collect();
    with_curve!(act, curve => in_pieces(x.len(), extent.task(), |task, dx| {
        for (n, part) in extent.parts(task, dx.len()) {
            let (rows, constant, linear) = (&all[n], &constants[n], &linears[n]);
            let lanes = rows.mean.len();
            let from = task * extent.task();
            let dx = &mut dx[part.start - from..part.end - from];
            let inputs = x[part.clone()].chunks(lanes).zip(gradient[part].chunks(lanes));
            isa.run(|| for (dx, (x, dy)) in dx.chunks_mut(lanes).zip(inputs) {
                let affine = rows.mean.iter().zip(&rows.scale).zip(&rows.bias);
                let affine = affine.zip(constant.iter().zip(linear));
                let values = dx.iter_mut().zip(x.iter().zip(dy)).zip(affine);
                for ((dx, (&x, &dy)), (((&mean, &scale), &bias), (&constant, &linear))) in values {
                    let centered = x - mean;
                    let delta = dy * curve.slope(centered * scale + bias);
                    *dx = delta * scale - constant - centered * linear;
                }
            });
        }
    }))
}
