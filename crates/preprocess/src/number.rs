//! Ranges that settings are drawn from: one that is none never becomes an augmentation.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Two finite numbers that are not negative, the smaller first: what a parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval([f64; 2]);

impl Interval {
    /// The smallest value.
    pub const fn low(self) -> f64 {
        self.0[0]
    }

    /// The largest value.
    pub const fn high(self) -> f64 {
        self.0[1]
    }

    /// For defaults written in this crate.
    pub(crate) const fn literal(low: f64, high: f64) -> Self {
        assert!(low >= 0.0 && low <= high && high < f64::MAX);
        Self([low, high])
    }
}

impl TryFrom<[f64; 2]> for Interval {
    type Error = Error;

    fn try_from(value: [f64; 2]) -> Result<Self, Error> {
        let [low, high] = value;
        if low >= 0.0 && low <= high && high.is_finite() {
            Ok(Self(value))
        } else {
            Err(Error::NotInterval(value))
        }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        interval.0
    }
}

/// An interval of positive numbers: factors, exponents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub struct Factors(Interval);

impl Factors {
    /// The smallest value.
    pub const fn low(self) -> f64 {
        self.0.low()
    }

    /// The largest value.
    pub const fn high(self) -> f64 {
        self.0.high()
    }

    /// For defaults written in this crate.
    pub(crate) const fn literal(low: f64, high: f64) -> Self {
        assert!(low > 0.0);
        Self(Interval::literal(low, high))
    }
}

impl TryFrom<[f64; 2]> for Factors {
    type Error = Error;

    fn try_from(value: [f64; 2]) -> Result<Self, Error> {
        if value[0] > 0.0 {
            Ok(Self(Interval::try_from(value)?))
        } else {
            Err(Error::NotInterval(value))
        }
    }
}

impl From<Factors> for [f64; 2] {
    fn from(factors: Factors) -> Self {
        factors.0.into()
    }
}
