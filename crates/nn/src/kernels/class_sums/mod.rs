//! Sums over voxels of what losses compare, and their gradient: one pass over the logits each, and no
//! tensor between them. Autovectorized loops over a few voxels at a time.

mod real;
mod rows;
mod summand;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

pub(crate) use self::real::Real;
use self::rows::{Clip, LANES, Rows};
use self::summand::{
    Any, CrossEntropy, Difference, Divergence, Errors, Focal, One, Overlap, Terms, Two, Zero,
};
use super::fresh::in_new_columns;
use crate::class_sums::Shape;
use crate::isa::isa;
use crate::{ClassActivation, Summand};

/// Voxels of a task.
const PART: usize = 1 << 12;

/// Labels, `(N, V)` or `(N, C, V)`.
#[derive(Clone, Copy)]
pub(crate) enum Labels<'a, T> {
    Indices(&'a [u32]),
    Shares(&'a [T]),
    Masks(&'a [u8]),
}

/// What is summed over.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a, T> {
    /// Logits, `(N, C, V)`.
    pub(crate) x: &'a [T],
    pub(crate) labels: Labels<'a, T>,
    /// `(N, V)`.
    pub(crate) weight: Option<&'a [T]>,
    pub(crate) shape: Shape,
    pub(crate) activation: ClassActivation,
    pub(crate) clip: f64,
    /// What logits are multiplied by.
    pub(crate) scale: f64,
}

/// Calls `$run` with a power.
macro_rules! with_power {
    ($exponent:expr, $power:ident => $run:expr) => {
        if $exponent == 1.0 {
            let $power = One;
            $run
        } else if $exponent == 2.0 {
            let $power = Two;
            $run
        } else {
            let $power = Any(T::of($exponent));
            $run
        }
    };
}

/// Calls `$run` with the terms of a summand.
macro_rules! with_terms {
    ($of:expr, $terms:ident => $run:expr) => {
        match $of {
            Summand::Overlap { squared: false } => {
                let $terms = Overlap::<false>;
                $run
            }
            Summand::Overlap { squared: true } => {
                let $terms = Overlap::<true>;
                $run
            }
            Summand::Difference { exponent } => with_power!(exponent, power => {
                let $terms = Difference(power);
                $run
            }),
            Summand::Errors { exponent } => with_power!(exponent, power => {
                let $terms = Errors(power);
                $run
            }),
            Summand::CrossEntropy => {
                let $terms = CrossEntropy;
                $run
            }
            Summand::Divergence => {
                let $terms = Divergence;
                $run
            }
            Summand::Focal { exponent, gamma } => with_power!(exponent, power => {
                if gamma == 0.0 {
                    let $terms = Focal(power, Zero);
                    $run
                } else {
                    let $terms = Focal(power, Any(T::of(gamma)));
                    $run
                }
            }),
        }
    };
}

/// The sums, `(K, N, C)`.
#[expect(clippy::float_cmp, reason = "settings are exact")]
pub(crate) fn sums<T: Real>(task: &Task<'_, T>, of: Summand) -> Vec<f64> {
    with_terms!(of, terms => sums_of(task, terms))
}

/// The gradient with respect to the logits, `(N, C, V)`, from that of the sums.
#[expect(clippy::float_cmp, reason = "settings are exact")]
pub(crate) fn gradient<T: Real>(task: &Task<'_, T>, of: Summand, factors: &[T]) -> Vec<T> {
    with_terms!(of, terms => gradient_of(task, terms, factors))
}

fn sums_of<T: Real, const K: usize>(task: &Task<'_, T>, terms: impl Terms<T, K>) -> Vec<f64> {
    let Shape { samples, classes, voxels } = task.shape;
    let (isa, clip) = (isa(), Clip::new(task.clip));
    let parts = voxels.div_ceil(PART);
    let of_part = |index: usize| {
        let (sample, first) = (index / parts, index % parts * PART);
        let range = first..voxels.min(first + PART);
        let sums = isa.run(Part { task, clip: &clip, terms, sample, range });
        let of_lanes = |lanes: &[T; LANES]| lanes.iter().map(|value| value.wide()).sum::<f64>();
        let of_class = |sums: &[[T; LANES]; K]| sums.each_ref().map(of_lanes);
        sums.iter().map(of_class).collect::<Vec<[f64; K]>>()
    };
    let all: Vec<Vec<[f64; K]>> = (0..samples * parts).into_par_iter().map(of_part).collect();
    let mut total = vec![0.0; K * samples * classes];
    for (index, part) in all.iter().enumerate() {
        let sample = index / parts;
        for (class, sums) in part.iter().enumerate() {
            for (number, sum) in sums.iter().enumerate() {
                total[(number * samples + sample) * classes + class] += sum;
            }
        }
    }
    total
}

/// The sums of each class over a range of voxels of a sample, lane by lane. (A struct, because a closure
/// this large is not inlined, and then not compiled for the instructions at hand.)
struct Part<'a, T, S, const K: usize> {
    task: &'a Task<'a, T>,
    clip: &'a Clip<T>,
    terms: S,
    sample: usize,
    range: Range<usize>,
}

impl<T: Real, S: Terms<T, K>, const K: usize> WithSimd for Part<'_, T, S, K> {
    type Output = Vec<[[T; LANES]; K]>;

    #[inline(always)]
    fn with_simd<I: Simd>(self, _: I) -> Self::Output {
        let Self { task, clip, terms, sample, range } = self;
        let classes = task.shape.classes;
        let mut sums = vec![[[T::ZERO; LANES]; K]; classes];
        let mut rows = Rows::new(classes);
        for first in range.clone().step_by(rows.width) {
            let count = rows.width.min(range.end - first);
            rows.read(task, sample, first, count);
            for (class, sums) in sums.iter_mut().enumerate() {
                rows.label(task, [sample, class], first, count);
                match task.activation {
                    ClassActivation::Softmax => add::<T, false, K>(&rows, class, clip, terms, sums),
                    ClassActivation::Sigmoid => add::<T, true, K>(&rows, class, clip, terms, sums),
                }
            }
        }
        sums
    }
}

/// Adds what the voxels of a tile say of one class.
#[expect(clippy::needless_range_loop, reason = "lanes of several arrays, all at once")]
#[inline(always)]
fn add<T: Real, const IS_BINARY: bool, const K: usize>(
    rows: &Rows<T>,
    class: usize,
    clip: &Clip<T>,
    terms: impl Terms<T, K>,
    sums: &mut [[T; LANES]; K],
) {
    let mut totals = *sums;
    for first in (0..rows.width).step_by(LANES) {
        let tile = rows.lanes(class, first, clip);
        for lane in 0..LANES {
            let (voxel, _) = tile.voxel::<IS_BINARY>(lane);
            let terms = terms.of(voxel);
            for number in 0..K {
                totals[number][lane] += terms[number] * tile.weight[lane];
            }
        }
    }
    *sums = totals;
}

fn gradient_of<T: Real, const K: usize>(
    task: &Task<'_, T>,
    terms: impl Terms<T, K>,
    factors: &[T],
) -> Vec<T> {
    let Shape { samples, classes, voxels } = task.shape;
    let (isa, clip) = (isa(), Clip::new(task.clip));
    let run = |sample: usize, first: usize, columns: &mut [&mut [MaybeUninit<T>]]| {
        let clip = &clip;
        isa.run(Slice { task, clip, terms, factors, sample, first, columns });
    };
    #[expect(unsafe_code, reason = "see `in_new_columns`")]
    // SAFETY: there is a column for each class, and `Slice` writes each in steps of a tile, to its end.
    unsafe {
        in_new_columns([samples, classes, voxels], PART, run)
    }
}

/// The gradient at some voxels of a sample, from `first` on: a column for each class.
struct Slice<'a, 'b, T, S, const K: usize> {
    task: &'a Task<'a, T>,
    clip: &'a Clip<T>,
    terms: S,
    factors: &'a [T],
    sample: usize,
    first: usize,
    columns: &'a mut [&'b mut [MaybeUninit<T>]],
}

impl<T: Real, S: Terms<T, K>, const K: usize> WithSimd for Slice<'_, '_, T, S, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<I: Simd>(self, _: I) {
        let Self { task, clip, terms, factors, sample, first, columns } = self;
        let Shape { samples, classes, .. } = task.shape;
        let mut rows = Rows::new(classes);
        let mut slopes = vec![T::ZERO; classes * rows.width];
        let length = columns.first().map_or(0, |column| column.len());
        for from in (0..length).step_by(rows.width) {
            let count = rows.width.min(length - from);
            rows.read(task, sample, first + from, count);
            rows.begin();
            for (class, slopes) in slopes.chunks_exact_mut(rows.width).enumerate() {
                rows.label(task, [sample, class], first + from, count);
                let mut own = [T::ZERO; K];
                for (number, own) in own.iter_mut().enumerate() {
                    *own = factors[(number * samples + sample) * classes + class];
                }
                match task.activation {
                    ClassActivation::Softmax => {
                        rows.slopes::<false, K>(class, clip, terms, own, slopes);
                    }
                    ClassActivation::Sigmoid => {
                        rows.slopes::<true, K>(class, clip, terms, own, slopes);
                    }
                }
            }
            for (class, column) in columns.iter_mut().enumerate() {
                let slopes = &mut slopes[class * rows.width..][..rows.width];
                rows.finish(class, task, slopes);
                column[from..from + count].write_copy_of_slice(&slopes[..count]);
            }
        }
    }
}
