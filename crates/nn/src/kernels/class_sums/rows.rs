//! The classes of a few voxels.

use super::real::Real;
use super::summand::{Slopes, Terms, Voxel};
use super::{Labels, Task};
use crate::ClassActivation;

/// Voxels that are computed together.
pub(super) const LANES: usize = 16;
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

    /// Takes the probabilities of `count` voxels of `sample`, from `first` on.
    #[inline(always)]
    pub(super) fn read(&mut self, task: &Task<'_, T>, sample: usize, first: usize, count: usize) {
        let (classes, voxels) = (task.shape.classes, task.shape.voxels);
        let scale = T::of(task.scale);
        for (class, row) in self.log_p.chunks_exact_mut(self.width).enumerate() {
            let from = (sample * classes + class) * voxels + first;
            for (value, &x) in row[..count].iter_mut().zip(&task.x[from..][..count]) {
                *value = x * scale;
            }
            row[count..].fill(T::ZERO);
        }
        match task.weight {
            Some(weight) => {
                let weight = &weight[sample * voxels + first..][..count];
                self.weight[..count].copy_from_slice(weight);
            }
            None => self.weight[..count].fill(T::ONE),
        }
        self.weight[count..].fill(T::ZERO);
        match task.activation {
            ClassActivation::Softmax => self.softmax(),
            ClassActivation::Sigmoid => self.sigmoid(),
        }
    }

    /// Turns logits, which lie in `log_p`, into probabilities of which a voxel's sum to 1.
    #[inline(always)]
    fn softmax(&mut self) {
        let width = self.width;
        let [most, sum] = &mut self.shared;
        most.fill(T::LOWEST);
        sum.fill(T::ZERO);
        for row in self.log_p.chunks_exact(width) {
            for (most, &value) in most.iter_mut().zip(row) {
                *most = if value > *most { value } else { *most };
            }
        }
        for (row, p) in self.log_p.chunks_exact_mut(width).zip(self.p.chunks_exact_mut(width)) {
            for (((value, p), &most), sum) in row.iter_mut().zip(p).zip(&*most).zip(&mut *sum) {
                *value = *value - most;
                *p = value.exp();
                *sum += *p;
            }
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
                for (t, &index) in self.t.iter_mut().zip(indices) {
                    *t = if index as usize == class { T::ONE } else { T::ZERO };
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

    /// Voxels of `class`, whose labels have been taken, from `at` on.
    #[inline(always)]
    pub(super) fn lanes<'a>(&'a self, class: usize, at: usize, clip: &'a Clip<T>) -> Lanes<'a, T> {
        let row = class * self.width + at;
        Lanes {
            p: lanes(&self.p, row),
            log_p: lanes(&self.log_p, row),
            log_not: lanes(&self.log_not, row),
            t: lanes(&self.t, at),
            weight: lanes(&self.weight, at),
            clip,
        }
    }

    /// Begins a gradient.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.shared[0].fill(T::ZERO);
    }

    /// How the sums, each times its factor, change with the logits of `class`; under softmax, before
    /// [`Self::finish`].
    #[expect(clippy::needless_range_loop, reason = "lanes of several arrays, all at once")]
    #[inline(always)]
    pub(super) fn slopes<const IS_BINARY: bool, const K: usize>(
        &mut self,
        class: usize,
        clip: &Clip<T>,
        terms: impl Terms<T, K>,
        factors: [T; K],
        slopes: &mut [T],
    ) {
        for at in (0..self.width).step_by(LANES) {
            let mut made = [T::ZERO; LANES];
            let tile = self.lanes(class, at, clip);
            for lane in 0..LANES {
                let (voxel, is_within) = tile.voxel::<IS_BINARY>(lane);
                let Slopes { p, log_p, log_not } = terms.slopes(voxel, factors);
                let up = p * voxel.p + log_p;
                let slope =
                    if IS_BINARY { up * (T::ONE - voxel.p) - log_not * voxel.p } else { up };
                made[lane] = if is_within { slope * tile.weight[lane] } else { T::ZERO };
            }
            slopes[at..at + LANES].copy_from_slice(&made);
            for (shared, made) in self.shared[0][at..at + LANES].iter_mut().zip(made) {
                *shared += made;
            }
        }
    }

    /// Makes slopes of `class` complete, when those of all classes are known.
    #[inline(always)]
    pub(super) fn finish(&self, class: usize, task: &Task<'_, T>, slopes: &mut [T]) {
        if task.activation == ClassActivation::Softmax {
            let row = &self.p[class * self.width..][..self.width];
            for ((slope, &p), &shared) in slopes.iter_mut().zip(row).zip(&self.shared[0]) {
                *slope = *slope - p * shared;
            }
        }
        let scale = T::of(task.scale);
        for slope in slopes {
            *slope = *slope * scale;
        }
    }
}

#[inline(always)]
fn lanes<T>(row: &[T], at: usize) -> &[T; LANES] {
    row[at..].first_chunk().expect("tiles are whole lanes")
}

/// Some voxels of one class.
pub(super) struct Lanes<'a, T> {
    p: &'a [T; LANES],
    log_p: &'a [T; LANES],
    log_not: &'a [T; LANES],
    t: &'a [T; LANES],
    pub(super) weight: &'a [T; LANES],
    clip: &'a Clip<T>,
}

impl<T: Real> Lanes<'_, T> {
    /// One of them, kept within bounds, and whether it lies within.
    #[inline(always)]
    pub(super) fn voxel<const IS_BINARY: bool>(&self, lane: usize) -> (Voxel<T>, bool) {
        let Clip { p: [low, high], log } = *self.clip;
        let p = self.p[lane];
        let log_not = self.log_not[lane];
        let voxel = Voxel {
            p: clamp(p, [low, high]),
            log_p: clamp(self.log_p[lane], log),
            log_not: if IS_BINARY { clamp(log_not, log) } else { T::ZERO },
            t: self.t[lane],
        };
        (voxel, low <= p && p <= high)
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
