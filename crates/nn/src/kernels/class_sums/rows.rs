//! The classes of a few voxels.

use std::mem::MaybeUninit;

use super::real::Real;
use super::summand::{Slopes, Terms, Voxel};
use super::{Labels, Task};
use crate::ClassActivation;

/// Sums of a class are kept side by side, so many of each.
pub(super) const LANES: usize = 16;
/// Voxels whose terms are computed together, at most: a multiple of [`LANES`].
pub(super) const SPAN: usize = 4 * LANES;
/// Values of a tile of classes and voxels: few enough to stay in the nearest cache.
const TILE: usize = 1 << 11;
/// Voxels of a tile, at most.
const MOST: usize = 256;

/// Voxels of a tile, of so many classes: a multiple of [`LANES`].
pub(super) fn width(classes: usize) -> usize {
    (TILE / classes).clamp(LANES, MOST) / LANES * LANES
}

/// Rows of a tile, `(C, width)`: one for each class.
pub(super) struct Rows<T> {
    pub(super) width: usize,
    p: Vec<T>,
    log_p: Vec<T>,
    /// Under softmax, zeros.
    log_not: Vec<T>,
    /// The labels of one class.
    t: Vec<T>,
    /// The weight of each voxel; 0 of those that there are not.
    weight: Vec<T>,
    /// For each voxel, what all classes share.
    shared: [Vec<T>; 2],
}

impl<T: Real> Rows<T> {
    pub(super) fn new(classes: usize) -> Self {
        let width = width(classes);
        let rows = || vec![T::ZERO; classes * width];
        let row = || vec![T::ZERO; width];
        let (p, log_p, log_not) = (rows(), rows(), rows());
        Self { width, p, log_p, log_not, t: row(), weight: row(), shared: [row(), row()] }
    }

    /// Takes the probabilities of `count` voxels of `sample`, from `first` on; with `logs`, their
    /// logarithms.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        logs: bool,
        task: &Task<'_, T>,
        sample: usize,
        first: usize,
        count: usize,
    ) {
        let (classes, voxels) = (task.shape.classes, task.shape.voxels);
        let scale = T::of(task.scale);
        let most = &mut self.shared[0];
        most.fill(T::LOWEST);
        for (class, row) in self.log_p.chunks_exact_mut(self.width).enumerate() {
            let from = (sample * classes + class) * voxels + first;
            let logits = &task.x[from..][..count];
            for ((value, &x), most) in row.iter_mut().zip(logits).zip(&mut *most) {
                *value = x * scale;
                *most = most.larger(*value);
            }
            row[count..].fill(T::ZERO);
        }
        most[count..].fill(T::ZERO);
        match task.weight {
            Some(weight) => {
                let weight = &weight[sample * voxels + first..][..count];
                self.weight[..count].copy_from_slice(weight);
            }
            None => self.weight[..count].fill(T::ONE),
        }
        self.weight[count..].fill(T::ZERO);
        match task.activation {
            ClassActivation::Softmax => self.softmax(logs),
            ClassActivation::Sigmoid => self.sigmoid(),
        }
    }

    /// Turns logits, which lie in `log_p`, the largest of each voxel in what all classes share, into probabilities of which
    /// a voxel's sum to 1.
    #[inline(always)]
    fn softmax(&mut self, logs: bool) {
        let width = self.width;
        let [most, sum] = &mut self.shared;
        sum.fill(T::ZERO);
        for (row, p) in self.log_p.chunks_exact_mut(width).zip(self.p.chunks_exact_mut(width)) {
            for (((value, p), &most), sum) in row.iter_mut().zip(p).zip(&*most).zip(&mut *sum) {
                *value = *value - most;
                *p = value.exp();
                *sum += *p;
            }
        }
        if !logs {
            for sum in &mut *sum {
                *sum = sum.recip();
            }
            for p in self.p.chunks_exact_mut(width) {
                for (p, &share) in p.iter_mut().zip(&*sum) {
                    *p = *p * share;
                }
            }
            return;
        }
        for (most, sum) in most.iter_mut().zip(&mut *sum) {
            *most = sum.ln();
            *sum = sum.recip();
        }
        for (row, p) in self.log_p.chunks_exact_mut(width).zip(self.p.chunks_exact_mut(width)) {
            for (((value, p), &log), &share) in row.iter_mut().zip(p).zip(&*most).zip(&*sum) {
                *value = *value - log;
                *p = *p * share;
            }
        }
    }

    /// Turns each logit, which lies in `log_p`, into a probability of its own.
    #[inline(always)]
    fn sigmoid(&mut self) {
        let rows = self.log_p.iter_mut().zip(&mut self.p).zip(&mut self.log_not);
        for ((log_p, p), log_not) in rows {
            let x = *log_p;
            let negative = if x < T::ZERO { x } else { T::ZERO };
            let small = (negative + negative - x).exp();
            let sum = T::ONE + small;
            let share = sum.recip();
            *p = if x < T::ZERO { small * share } else { share };
            *log_p = negative - sum.ln();
            *log_not = *log_p - x;
        }
    }

    /// Takes the labels of `class`.
    #[inline(always)]
    pub(super) fn label(
        &mut self,
        task: &Task<'_, T>,
        [sample, class]: [usize; 2],
        first: usize,
        count: usize,
    ) {
        let (classes, voxels) = (task.shape.classes, task.shape.voxels);
        let from = (sample * classes + class) * voxels + first;
        match task.labels {
            Labels::Indices(indices) => {
                let indices = &indices[sample * voxels + first..][..count];
                // As narrow as the indices: wider ones are half as many in a vector.
                let class = u32::try_from(class).unwrap_or(u32::MAX);
                for (t, &index) in self.t.iter_mut().zip(indices) {
                    *t = if index == class { T::ONE } else { T::ZERO };
                }
            }
            Labels::Shares(shares) => self.t[..count].copy_from_slice(&shares[from..][..count]),
            Labels::Masks(masks) => {
                for (t, &mask) in self.t.iter_mut().zip(&masks[from..][..count]) {
                    *t = T::of(mask.into());
                }
            }
        }
        self.t[count..].fill(T::ZERO);
    }

    /// `count` voxels of `class`, whose labels have been taken, from `at` on.
    #[inline(always)]
    pub(super) fn span<'a>(
        &'a self,
        class: usize,
        [at, count]: [usize; 2],
        clip: &Clip<T>,
    ) -> Span<'a, T> {
        let row = class * self.width + at;
        Span {
            p: &self.p[row..][..count],
            log_p: &self.log_p[row..][..count],
            log_not: &self.log_not[row..][..count],
            t: &self.t[at..][..count],
            weight: &self.weight[at..][..count],
            clip: *clip,
        }
    }

    /// Begins a gradient.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.shared[0].fill(T::ZERO);
    }

    /// How the sums, each times its factor, change with the logits of `class`; under softmax, before
    /// [`Self::finish`].
    #[inline(always)]
    pub(super) fn slopes<const IS_BINARY: bool, const K: usize>(
        &mut self,
        class: usize,
        clip: &Clip<T>,
        terms: impl Terms<T, K>,
        factors: [T; K],
        slopes: &mut [T],
    ) {
        // An array of its own, which nothing else points to.
        let mut made = [T::ZERO; SPAN];
        for at in (0..self.width).step_by(SPAN) {
            let count = SPAN.min(self.width - at);
            let span = self.span(class, [at, count], clip);
            let made = &mut made[..count];
            for (made, (voxel, is_within, weight)) in
                made.iter_mut().zip(span.voxels::<IS_BINARY>())
            {
                let Slopes { p, log_p, log_not } = terms.slopes(voxel, factors);
                let up = p * voxel.p + log_p;
                let slope =
                    if IS_BINARY { up * (T::ONE - voxel.p) - log_not * voxel.p } else { up };
                let slope = slope * weight;
                *made = if is_within { slope } else { T::ZERO };
            }
            slopes[at..at + count].copy_from_slice(made);
            for (shared, made) in self.shared[0][at..at + count].iter_mut().zip(made) {
                *shared += *made;
            }
        }
    }

    /// Makes slopes of `class` complete, when those of all classes are known, and writes them to `column`.
    #[inline(always)]
    pub(super) fn finish(
        &self,
        class: usize,
        task: &Task<'_, T>,
        slopes: &[T],
        column: &mut [MaybeUninit<T>],
    ) {
        let scale = T::of(task.scale);
        if task.activation == ClassActivation::Softmax {
            let row = &self.p[class * self.width..][..self.width];
            let slopes = slopes.iter().zip(row).zip(&self.shared[0]);
            for (made, ((&slope, &p), &shared)) in column.iter_mut().zip(slopes) {
                made.write((slope - p * shared) * scale);
            }
        } else {
            for (made, &slope) in column.iter_mut().zip(slopes) {
                made.write(slope * scale);
            }
        }
    }
}

/// Some voxels of one class.
pub(super) struct Span<'a, T> {
    p: &'a [T],
    log_p: &'a [T],
    log_not: &'a [T],
    t: &'a [T],
    weight: &'a [T],
    clip: Clip<T>,
}

impl<T: Real> Span<'_, T> {
    /// Each of them, kept within bounds, whether it lies within, and its weight.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch for each voxel is slow")]
    #[inline(always)]
    pub(super) fn voxels<const IS_BINARY: bool>(
        &self,
    ) -> impl Iterator<Item = (Voxel<T>, bool, T)> {
        let Clip { p: [low, high], log } = self.clip;
        // Zipped: an index would be looked at for each voxel, and compilers then finish half of them alone.
        let voxels = self.p.iter().zip(self.log_p).zip(self.log_not).zip(self.t).zip(self.weight);
        voxels.map(move |((((&p, &log_p), &log_not), &t), &weight)| {
            let log_not = if IS_BINARY { clamp(log_not, log) } else { T::ZERO };
            let voxel = Voxel { p: clamp(p, [low, high]), log_p: clamp(log_p, log), log_not, t };
            (voxel, (low <= p) & (p <= high), weight)
        })
    }
}

#[inline(always)]
fn clamp<T: Real>(x: T, [low, high]: [T; 2]) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Bounds of probabilities, and of their logarithms.
#[derive(Clone, Copy)]
pub(super) struct Clip<T> {
    p: [T; 2],
    log: [T; 2],
}

impl<T: Real> Clip<T> {
    pub(super) fn new(margin: f64) -> Self {
        Self {
            p: [T::of(margin), T::of(1.0 - margin)],
            log: if margin > 0.0 {
                [T::of(margin.ln()), T::of((1.0 - margin).ln())]
            } else {
                [T::LOWEST, T::ZERO]
            },
        }
    }
}
