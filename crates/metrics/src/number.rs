//! Numbers that carry their range, so that a setting out of range never becomes a score.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A finite number that is not negative, such as a tolerance in mm.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct NonNegative(f64);

impl NonNegative {
    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// For defaults written in this crate.
    pub(crate) const fn literal(value: f64) -> Self {
        assert!(value >= 0.0 && value.is_finite());
        Self(value)
    }
}

impl TryFrom<f64> for NonNegative {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self, Error> {
        if value >= 0.0 && value.is_finite() {
            Ok(Self(value))
        } else {
            Err(Error::Setting { value, range: "a finite number from 0 on" })
        }
    }
}

impl From<NonNegative> for f64 {
    fn from(number: NonNegative) -> Self {
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
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Error::Setting { value, range: "a number from 0 to 1" })
        }
    }
}

impl From<Fraction> for f64 {
    fn from(number: Fraction) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        let error = NonNegative::try_from(-1.0).unwrap_err().to_string();
        assert_eq!(error, "-1 is not a finite number from 0 on");
        assert!(NonNegative::try_from(f64::NAN).is_err());

        let error = Fraction::try_from(1.5).unwrap_err().to_string();
        assert_eq!(error, "1.5 is not a number from 0 to 1");
        assert!(Fraction::try_from(f64::NAN).is_err());
    }
}
