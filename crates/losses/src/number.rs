//! Numbers that carry their range, so that a setting out of range never becomes a loss.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A positive, finite number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Positive(f64);

impl Positive {
    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// For defaults written in this crate.
    pub(crate) const fn literal(value: f64) -> Self {
        assert!(value > 0.0 && value.is_finite());
        Self(value)
    }
}

impl TryFrom<f64> for Positive {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self, Error> {
        if value > 0.0 && value.is_finite() {
            Ok(Self(value))
        } else {
            Err(Error::NotPositive(value))
        }
    }
}

impl From<Positive> for f64 {
    fn from(number: Positive) -> Self {
        number.0
    }
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// For defaults written in this crate.
    pub(crate) const fn literal(value: f64) -> Self {
        assert!(value >= 0.0 && value <= 1.0);
        Self(value)
    }
}

impl TryFrom<f64> for Fraction {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(Error::NotFraction(value)) }
    }
}

impl From<Fraction> for f64 {
    fn from(number: Fraction) -> Self {
        number.0
    }
}
