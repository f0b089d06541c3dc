//! Numbers that carry their range, so that a setting out of range never becomes a loss.

use serde::{Deserialize, Serialize};

use crate::Error;

/// One type for each range: `literal` is for defaults written in this crate.
macro_rules! number {
    ($(#[$meta:meta])* $name:ident: $range:literal, |$value:ident| $holds:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> f64 {
                self.0
            }

            pub(crate) fn literal($value: f64) -> Self {
                assert!($holds);
                Self($value)
            }
        }

        impl TryFrom<f64> for $name {
            type Error = Error;

            fn try_from($value: f64) -> Result<Self, Error> {
                if $holds { Ok(Self($value)) } else { Err(Error::OutOfRange { value: $value, range: $range }) }
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

number! {
    /// A positive, finite number.
    Positive: "a positive, finite number", |value| value > 0.0 && value.is_finite()
}

number! {
    /// A finite number of 0 or more.
    NonNegative: "a finite number of 0 or more", |value| value >= 0.0 && value.is_finite()
}

number! {
    /// A finite number of 1 or more.
    AtLeastOne: "a finite number of 1 or more", |value| value >= 1.0 && value.is_finite()
}

number! {
    /// A number from 0 to 1.
    Fraction: "a number from 0 to 1", |value| (0.0..=1.0).contains(&value)
}

number! {
    /// A number from 0 to below one half: how far probabilities are kept from 0 and 1.
    Margin: "a number from 0 to below 0.5", |value| (0.0..0.5).contains(&value)
}

number! {
    /// A number above 0 and up to 100.
    Percent: "a number above 0 and up to 100", |value| value > 0.0 && value <= 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_and_described() {
        let refused = |error: Error| error.to_string();

        assert_eq!(
            refused(Positive::try_from(0.0).unwrap_err()),
            "0 is not a positive, finite number"
        );
        assert!(NonNegative::try_from(0.0).is_ok());
        assert!(NonNegative::try_from(-1e-9).is_err());
        assert!(AtLeastOne::try_from(0.5).is_err());
        assert!(Fraction::try_from(1.0).is_ok());
        assert!(Fraction::try_from(f64::NAN).is_err());
        assert!(Margin::try_from(0.5).is_err());
        assert!(Percent::try_from(0.0).is_err());
        assert!(Positive::try_from(f64::INFINITY).is_err());
    }
}
