//! The two types that sums are computed in.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use crate::kernels::{channels, softmax};

/// A type that losses are computed in.
pub(crate) trait Real:
    Copy
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    /// So small that no probability is, unless it is 0.
    const TINY: Self;

    /// `eˣ` for `x` of at most 0.
    fn exp(self) -> Self;

    /// `ln x` for `x` of at least 1.
    fn ln(self) -> Self;

    fn recip(self) -> Self;

    fn sqrt(self) -> Self;

    /// The larger of the two. (Not `if`: of that, compilers make stores under a mask, which are slow.)
    fn larger(self, other: Self) -> Self;

    fn of(value: f64) -> Self;

    fn wide(self) -> f64;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LOWEST: Self = Self::NEG_INFINITY;
    const TINY: Self = 1e-18;

    #[inline(always)]
    fn exp(self) -> Self {
        softmax::exp(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        softmax::ln(self)
    }

    #[inline(always)]
    fn recip(self) -> Self {
        1.0 / self
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        self.max(other)
    }

    #[inline(always)]
    fn of(value: f64) -> Self {
        channels::narrow(value)
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LOWEST: Self = Self::NEG_INFINITY;
    const TINY: Self = 1e-150;

    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn ln(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn recip(self) -> Self {
        1.0 / self
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        self.max(other)
    }

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

/// `x^exponent` for `x` from 0 to 1; 0 where `x` is tiny.
#[inline(always)]
pub(super) fn power<T: Real>(x: T, exponent: T) -> T {
    let from = if x > T::TINY { x } else { T::TINY };
    let power = (-(from.recip().ln() * exponent)).exp();
    if x > T::TINY { power } else { T::ZERO }
}
