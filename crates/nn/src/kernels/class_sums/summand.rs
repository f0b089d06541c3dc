//! What each kind of sum adds for one class at one voxel, and how that changes with the logit.

use super::real::{Real, power};

/// One class at one voxel.
#[derive(Clone, Copy)]
pub(super) struct Voxel<T> {
    /// The probability.
    pub(super) p: T,
    pub(super) log_p: T,
    /// `ln (1 − p)`; 0 under softmax, where nothing needs it.
    pub(super) log_not: T,
    /// The label.
    pub(super) t: T,
}

/// How what is summed changes with `p`, `ln p` and `ln (1 − p)`, each where the others stay.
#[derive(Clone, Copy)]
pub(super) struct Slopes<T> {
    pub(super) p: T,
    pub(super) log_p: T,
    pub(super) log_not: T,
}

impl<T: Real> Slopes<T> {
    #[inline(always)]
    fn of_p(p: T) -> Self {
        Self { p, log_p: T::ZERO, log_not: T::ZERO }
    }
}

/// `K` sums that are taken together.
pub(super) trait Terms<T: Real, const K: usize>: Copy + Send + Sync {
    /// Whether they take logarithms: where none does, none is computed.
    const LOGS: bool;

    /// What a voxel adds to each.
    fn of(self, voxel: Voxel<T>) -> [T; K];

    /// The slopes of all of them, each times its factor.
    fn slopes(self, voxel: Voxel<T>, factors: [T; K]) -> Slopes<T>;
}

/// See [`Summand::Overlap`](crate::Summand::Overlap).
#[derive(Clone, Copy)]
pub(super) struct Overlap<const SQUARED: bool>;

impl<T: Real, const SQUARED: bool> Terms<T, 3> for Overlap<SQUARED> {
    const LOGS: bool = false;

    #[inline(always)]
    fn of(self, Voxel { p, t, .. }: Voxel<T>) -> [T; 3] {
        if SQUARED { [p * t, p * p, t * t] } else { [p * t, p, t] }
    }

    #[inline(always)]
    fn slopes(self, Voxel { p, t, .. }: Voxel<T>, [shared, own, _]: [T; 3]) -> Slopes<T> {
        Slopes::of_p(shared * t + if SQUARED { own * (p + p) } else { own })
    }
}

/// See [`Summand::Difference`](crate::Summand::Difference).
#[derive(Clone, Copy)]
pub(super) struct Difference<P>(pub(super) P);

impl<T: Real, P: Power<T>> Terms<T, 3> for Difference<P> {
    const LOGS: bool = false;

    #[inline(always)]
    fn of(self, Voxel { p, t, .. }: Voxel<T>) -> [T; 3] {
        let apart = p - t;
        let size = if apart < T::ZERO { -apart } else { apart };
        [self.0.of(p), self.0.of(t), self.0.of(size)]
    }

    #[inline(always)]
    fn slopes(self, Voxel { p, t, .. }: Voxel<T>, [own, _, difference]: [T; 3]) -> Slopes<T> {
        let apart = p - t;
        // Flat where they are equal.
        let up = if apart > T::ZERO { self.0.slope(apart) } else { T::ZERO };
        let down = if apart < T::ZERO { self.0.slope(-apart) } else { T::ZERO };
        Slopes::of_p(own * self.0.slope(p) + difference * (up - down))
    }
}

/// A power of an error, from 0 to 1, and its slope.
pub(super) trait Power<T: Real>: Copy + Send + Sync {
    fn of(self, x: T) -> T;

    fn slope(self, x: T) -> T;
}

/// The error itself.
#[derive(Clone, Copy)]
pub(super) struct One;

impl<T: Real> Power<T> for One {
    #[inline(always)]
    fn of(self, x: T) -> T {
        x
    }

    #[inline(always)]
    fn slope(self, _: T) -> T {
        T::ONE
    }
}

/// Its square.
#[derive(Clone, Copy)]
pub(super) struct Two;

impl<T: Real> Power<T> for Two {
    #[inline(always)]
    fn of(self, x: T) -> T {
        x * x
    }

    #[inline(always)]
    fn slope(self, x: T) -> T {
        x + x
    }
}

/// Its square root; as flat as [`Any`] where it is tiny.
#[derive(Clone, Copy)]
pub(super) struct Half;

impl<T: Real> Power<T> for Half {
    #[inline(always)]
    fn of(self, x: T) -> T {
        if x > T::TINY { x.sqrt() } else { T::ZERO }
    }

    #[inline(always)]
    fn slope(self, x: T) -> T {
        let slope = T::of(0.5) * x.sqrt().recip();
        if x > T::TINY { slope } else { T::ZERO }
    }
}

/// Any power; 0 and flat at 0.
#[derive(Clone, Copy)]
pub(super) struct Any<T>(pub(super) T);

impl<T: Real> Power<T> for Any<T> {
    #[inline(always)]
    fn of(self, x: T) -> T {
        power(x, self.0)
    }

    #[inline(always)]
    fn slope(self, x: T) -> T {
        self.0 * power(x, self.0 - T::ONE)
    }
}

/// The power 0, which is 1 everywhere.
#[derive(Clone, Copy)]
pub(super) struct Zero;

impl<T: Real> Power<T> for Zero {
    #[inline(always)]
    fn of(self, _: T) -> T {
        T::ONE
    }

    #[inline(always)]
    fn slope(self, _: T) -> T {
        T::ZERO
    }
}

/// See [`Summand::Errors`](crate::Summand::Errors).
#[derive(Clone, Copy)]
pub(super) struct Errors<P>(pub(super) P);

impl<T: Real, P: Power<T>> Terms<T, 4> for Errors<P> {
    const LOGS: bool = false;

    #[inline(always)]
    fn of(self, Voxel { p, t, .. }: Voxel<T>) -> [T; 4] {
        let (not_p, not_t) = (T::ONE - p, T::ONE - t);
        [p * t, self.0.of(not_t * p), self.0.of(t * not_p), not_t * not_p]
    }

    #[inline(always)]
    fn slopes(self, Voxel { p, t, .. }: Voxel<T>, factors: [T; 4]) -> Slopes<T> {
        let [found, wrong, missed, left] = factors;
        let not_t = T::ONE - t;
        let of_wrong = self.0.slope(not_t * p) * not_t;
        let of_missed = self.0.slope(t * (T::ONE - p)) * t;
        Slopes::of_p(found * t + wrong * of_wrong - missed * of_missed - left * not_t)
    }
}

/// See [`Summand::CrossEntropy`](crate::Summand::CrossEntropy).
#[derive(Clone, Copy)]
pub(super) struct CrossEntropy;

impl<T: Real> Terms<T, 4> for CrossEntropy {
    const LOGS: bool = true;

    #[inline(always)]
    fn of(self, Voxel { log_p, log_not, t, .. }: Voxel<T>) -> [T; 4] {
        [-(t * log_p), -log_p, -((T::ONE - t) * log_not), -log_not]
    }

    #[inline(always)]
    fn slopes(self, Voxel { t, .. }: Voxel<T>, factors: [T; 4]) -> Slopes<T> {
        let [yes, always, no, never] = factors;
        Slopes { p: T::ZERO, log_p: -(yes * t + always), log_not: -(no * (T::ONE - t) + never) }
    }
}

/// The first sum of [`CrossEntropy`] alone.
#[derive(Clone, Copy)]
pub(super) struct Picked;

impl<T: Real> Terms<T, 1> for Picked {
    const LOGS: bool = true;

    #[inline(always)]
    fn of(self, Voxel { log_p, t, .. }: Voxel<T>) -> [T; 1] {
        [-(t * log_p)]
    }

    #[inline(always)]
    fn slopes(self, Voxel { t, .. }: Voxel<T>, [yes]: [T; 1]) -> Slopes<T> {
        Slopes { p: T::ZERO, log_p: -(yes * t), log_not: T::ZERO }
    }
}

/// See [`Summand::Divergence`](crate::Summand::Divergence).
#[derive(Clone, Copy)]
pub(super) struct Divergence;

impl<T: Real> Terms<T, 1> for Divergence {
    const LOGS: bool = true;

    #[inline(always)]
    fn of(self, Voxel { log_p, t, .. }: Voxel<T>) -> [T; 1] {
        let from = if t > T::TINY { t } else { T::TINY };
        [t * (-from.recip().ln() - log_p)]
    }

    #[inline(always)]
    fn slopes(self, Voxel { t, .. }: Voxel<T>, [own]: [T; 1]) -> Slopes<T> {
        Slopes { p: T::ZERO, log_p: -(own * t), log_not: T::ZERO }
    }
}

/// See [`Summand::Focal`](crate::Summand::Focal): the power of errors, and that of `1 − p`.
#[derive(Clone, Copy)]
pub(super) struct Focal<P, G>(pub(super) P, pub(super) G);

impl<T: Real, P: Power<T>, G: Power<T>> Terms<T, 5> for Focal<P, G> {
    const LOGS: bool = true;

    #[inline(always)]
    fn of(self, Voxel { p, log_p, t, .. }: Voxel<T>) -> [T; 5] {
        let not_p = T::ONE - p;
        let cost = -(t * log_p);
        [p * t, self.0.of((T::ONE - t) * p), t * self.0.of(not_p), cost, self.1.of(not_p) * cost]
    }

    #[inline(always)]
    fn slopes(self, Voxel { p, log_p, t, .. }: Voxel<T>, factors: [T; 5]) -> Slopes<T> {
        let [found, wrong, missed, cost, focal] = factors;
        let (not_p, not_t) = (T::ONE - p, T::ONE - t);
        let of_wrong = self.0.slope(not_t * p) * not_t;
        let of_missed = self.0.slope(not_p) * t;
        let of_focal = self.1.slope(not_p) * t * log_p;
        Slopes {
            p: found * t + wrong * of_wrong - missed * of_missed + focal * of_focal,
            log_p: -(t * (cost + focal * self.1.of(not_p))),
            log_not: T::ZERO,
        }
    }
}
