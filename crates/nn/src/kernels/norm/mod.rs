//! Normalization fused with the activation after it.
//!
//! Sums run in single precision over a few dozen voxels, and in double precision over those sums.

mod gradient;
mod moments;

use std::mem::MaybeUninit;
use std::ops::Range;

use super::act::{Curve, with_curve};
use super::channels::narrow;
use super::element::Element;
use super::fresh::in_new_pieces;
use crate::activation::Form;
use crate::isa::isa;
use crate::norm::Cells;

pub(crate) use self::gradient::{
    cell_means, gradient_sums, input_gradient, input_gradient_in_place,
};
pub(crate) use self::moments::{Moments, merged, moments, of_lines, of_parts};

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
    pub(super) fn parts(
        &self,
        task: usize,
        length: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (from, to, sample) = (task * self.task(), task * self.task() + length, self.sample());
        (from / sample..to.div_ceil(sample))
            .map(move |n| (n, from.max(n * sample)..to.min((n + 1) * sample)))
    }

    /// Values that a task works on: a multiple of what an inner loop takes at once.
    pub(super) fn task(&self) -> usize {
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

/// Scale and offset of a normalization, `(C)` each, 1 and 0 where they are not learned; after the
/// offsets, the slopes of [`Form::Prelu`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// What is done to each channel of one sample, repeated for an inner loop.
pub(super) struct Rows {
    pub(super) mean: Vec<f32>,
    factor: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Slopes that are learned; 0 where there are none.
    pub(super) bends: Vec<f32>,
}

impl Rows {
    /// Those of each sample.
    fn all(standard: &Standard, scaling: Scaling<'_>, extent: Extent) -> Vec<Self> {
        (0..extent.batch)
            .map(|n| Self::new(standard, scaling, extent.channels, n, extent.repeats()))
            .collect()
    }

    /// Those of sample `n`, `times` voxels of them.
    pub(super) fn new(
        standard: &Standard,
        scaling: Scaling<'_>,
        channels: usize,
        n: usize,
        times: usize,
    ) -> Self {
        let mean = &standard.mean[n * channels..][..channels];
        let factor = &standard.factor[n * channels..][..channels];
        let (bias, bends) = scaling.bias.split_at(channels);
        let none = vec![0.0; channels];
        let bends = if bends.is_empty() { &none } else { bends };
        let scale: Vec<f32> = factor.iter().zip(scaling.weight).map(|(f, w)| f * w).collect();
        Self {
            mean: mean.repeat(times),
            factor: factor.repeat(times),
            scale: scale.repeat(times),
            bias: bias.repeat(times),
            bends: bends.repeat(times),
        }
    }
}

/// `act((x − mean) · factor · weight + bias)`.
pub(crate) fn normalize<T: Element>(
    x: &[T],
    extent: Extent,
    standard: &Standard,
    scaling: Scaling<'_>,
    form: Form,
) -> Vec<f32> {
    let rows = Rows::all(standard, scaling, extent);
    let isa = isa();
    with_curve!(form, curve => {
        let run = |task: usize, y: &mut [MaybeUninit<f32>]| {
        for (n, part) in extent.parts(task, y.len()) {
            let rows = &rows[n];
            let lanes = rows.mean.len();
            let from = task * extent.task();
            let y = &mut y[part.start - from..part.end - from];
            isa.run(|| {
                for (y, x) in y.chunks_mut(lanes).zip(x[part].chunks(lanes)) {
                    let affine = rows.mean.iter().zip(&rows.scale).zip(&rows.bias).zip(&rows.bends);
                    for ((y, &x), (((&mean, &scale), &bias), &bend)) in
                        y.iter_mut().zip(x).zip(affine)
                    {
                        y.write(curve.value((x.widen() - mean) * scale + bias, bend));
                    }
                }
            });
        }
        };
        #[expect(unsafe_code, reason = "see `in_new_pieces`")]
        // SAFETY: the parts of a task are all of its values, and chunks of a part all of the part, as
        // long as `rows`, of `lanes` values each.
        unsafe {
            in_new_pieces(x.len(), extent.task(), run)
        }
    })
}
