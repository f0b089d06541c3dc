//! Sums over voxels of what losses compare, and their gradient: one pass over the logits each, and no
//! tensor between them. Autovectorized loops over a few voxels at a time.

mod real;
mod rows;
mod summand;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

pub(crate) use self::real::Real;
use self::rows::{Clip, LANES, Rows, SPAN};
use self::summand::{
    Any, CrossEntropy, Difference, Divergence, Errors, Focal, Half, One, Overlap, Picked, Terms,
    Two, Zero,
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
        } else if $exponent == 0.5 {
            let $power = Half;
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
                } else if gamma == 2.0 {
                    let $terms = Focal(power, Two);
                    $run
                } else if gamma == 0.5 {
                    let $terms = Focal(power, Half);
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

/// Both, in one pass, where the loss is the first sum times `factor`; `None` of what no loss is linear in.
pub(crate) fn sums_and_gradient<T: Real>(
    task: &Task<'_, T>,
    of: Summand,
    factor: T,
) -> Option<(Vec<f64>, Vec<T>)> {
    match of {
        Summand::CrossEntropy => {
            let (mut sums, gradient) = both_of(task, Picked, factor);
            // Of the others, the loss takes nothing; should it, that will be seen.
            sums.resize(of.count() * sums.len(), f64::NAN);
            Some((sums, gradient))
        }
        Summand::Divergence => Some(both_of(task, Divergence, factor)),
        _ => None,
    }
}

fn both_of<T: Real, const K: usize>(
    task: &Task<'_, T>,
    terms: impl Terms<T, K>,
    factor: T,
) -> (Vec<f64>, Vec<T>) {
    let Shape { samples, classes, voxels } = task.shape;
    let mut factors = vec![T::ZERO; K * samples * classes];
    factors[..samples * classes].fill(factor);
    let parts = voxels.div_ceil(PART);
    let of_parts: Vec<OnceLock<Vec<[f64; K]>>> =
        (0..samples * parts).map(|_| OnceLock::new()).collect();
    let run = |sample: usize, first: usize, columns: &mut [&mut [MaybeUninit<T>]]| {
        let clip = &Clip::new(task.clip);
        let slice = Slice { task, clip, terms, factors: &factors, sample, first, columns };
        let sums = isa().run(Both(slice));
        let part = sample * parts + first / PART;
        of_parts[part].set(wide(&sums)).expect("each part is computed once");
    };
    #[expect(unsafe_code, reason = "see `in_new_columns`")]
    // SAFETY: as in `gradient_of`.
    let gradient = unsafe { in_new_columns([samples, classes, voxels], PART, run) };
    let of_parts = of_parts.into_iter().map(|sums| sums.into_inner().unwrap_or_default());
    (total(task.shape, of_parts), gradient)
}

/// The sums of a part, by class, over its lanes.
fn wide<T: Real, const K: usize>(sums: &[[[T; LANES]; K]]) -> Vec<[f64; K]> {
    let of_lanes = |lanes: &[T; LANES]| lanes.iter().map(|value| value.wide()).sum::<f64>();
    sums.iter().map(|sums| sums.each_ref().map(of_lanes)).collect()
}

/// The sums of all parts, `(K, N, C)`; each sample has as many of them, one after the other.
fn total<const K: usize>(
    Shape { samples, classes, voxels }: Shape,
    of_parts: impl Iterator<Item = Vec<[f64; K]>>,
) -> Vec<f64> {
    let parts = voxels.div_ceil(PART);
    let mut total = vec![0.0; K * samples * classes];
    for (index, part) in of_parts.enumerate() {
        let sample = index / parts;
        for (class, sums) in part.iter().enumerate() {
            for (number, sum) in sums.iter().enumerate() {
                total[(number * samples + sample) * classes + class] += sum;
            }
        }
    }
    total
}

fn sums_of<T: Real, const K: usize>(task: &Task<'_, T>, terms: impl Terms<T, K>) -> Vec<f64> {
    let Shape { samples, voxels, .. } = task.shape;
    let (isa, clip) = (isa(), Clip::new(task.clip));
    let parts = voxels.div_ceil(PART);
    let of_part = |index: usize| {
        let (sample, first) = (index / parts, index % parts * PART);
        let range = first..voxels.min(first + PART);
        wide(&isa.run(Part { task, clip: &clip, terms, sample, range }))
    };
    let all: Vec<Vec<[f64; K]>> = (0..samples * parts).into_par_iter().map(of_part).collect();
    total(task.shape, all.into_iter())
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
            rows.read(S::LOGS, task, sample, first, count);
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
#[inline(always)]
fn add<T: Real, const IS_BINARY: bool, const K: usize>(
    rows: &Rows<T>,
    class: usize,
    clip: &Clip<T>,
    terms: impl Terms<T, K>,
    sums: &mut [[T; LANES]; K],
) {
    let mut totals = *sums;
    // Loops of lengths that compilers do not know: those that they unroll, they leave as they are, voxel by
    // voxel.
    let mut made = [[T::ZERO; SPAN]; K];
    for first in (0..rows.width).step_by(SPAN) {
        let count = SPAN.min(rows.width - first);
        let span = rows.span(class, [first, count], clip);
        for (place, (voxel, _, weight)) in span.voxels::<IS_BINARY>().enumerate().take(SPAN) {
            let terms = terms.of(voxel);
            for (made, term) in made.iter_mut().zip(terms) {
                made[place] = term * weight;
            }
        }
        for (totals, made) in totals.iter_mut().zip(&made) {
            for made in made[..count].as_chunks::<LANES>().0 {
                for (total, made) in totals.iter_mut().zip(made) {
                    *total += *made;
                }
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
        self.write::<false>();
    }
}

/// The gradient at some voxels, and the sums over them.
struct Both<'a, 'b, T, S, const K: usize>(Slice<'a, 'b, T, S, K>);

impl<T: Real, S: Terms<T, K>, const K: usize> WithSimd for Both<'_, '_, T, S, K> {
    type Output = Vec<[[T; LANES]; K]>;

    #[inline(always)]
    fn with_simd<I: Simd>(self, _: I) -> Self::Output {
        self.0.write::<true>()
    }
}

impl<T: Real, S: Terms<T, K>, const K: usize> Slice<'_, '_, T, S, K> {
    /// Writes the gradient; with `ADDS`, gives the sums of each class, lane by lane.
    #[inline(always)]
    fn write<const ADDS: bool>(self) -> Vec<[[T; LANES]; K]> {
        let Self { task, clip, terms, factors, sample, first, columns } = self;
        let Shape { samples, classes, .. } = task.shape;
        let mut sums = vec![[[T::ZERO; LANES]; K]; if ADDS { classes } else { 0 }];
        let mut rows = Rows::new(classes);
        let mut slopes = vec![T::ZERO; classes * rows.width];
        let length = columns.first().map_or(0, |column| column.len());
        for from in (0..length).step_by(rows.width) {
            let count = rows.width.min(length - from);
            rows.read(S::LOGS, task, sample, first + from, count);
            rows.begin();
            for (class, slopes) in slopes.chunks_exact_mut(rows.width).enumerate() {
                rows.label(task, [sample, class], first + from, count);
                let mut own = [T::ZERO; K];
                for (number, own) in own.iter_mut().enumerate() {
                    *own = factors[(number * samples + sample) * classes + class];
                }
                match task.activation {
                    ClassActivation::Softmax => {
                        if ADDS {
                            add::<T, false, K>(&rows, class, clip, terms, &mut sums[class]);
                        }
                        rows.slopes::<false, K>(class, clip, terms, own, slopes);
                    }
                    ClassActivation::Sigmoid => {
                        if ADDS {
                            add::<T, true, K>(&rows, class, clip, terms, &mut sums[class]);
                        }
                        rows.slopes::<true, K>(class, clip, terms, own, slopes);
                    }
                }
            }
            for (class, column) in columns.iter_mut().enumerate() {
                let slopes = &slopes[class * rows.width..][..rows.width];
                rows.finish(class, task, slopes, &mut column[from..from + count]);
            }
        }
        sums
    }
}
