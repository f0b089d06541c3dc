use serde::{Deserialize, Serialize};

/// A number outside the range of its setting.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{value} is not {range}")]
pub struct OutOfRange {
    /// The number.
    pub value: f64,
    /// What it should be.
    pub range: &'static str,
}

/// One type for each range. A number that is none is in no range: comparisons with NaN are false.
macro_rules! number {
    ($(#[$meta:meta])* $name:ident: $range:literal, |$value:ident| $holds:expr) => {
        $(#[$meta])*
        ///
        /// A config file is refused where it holds another number.
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        #[allow(clippy::manual_range_contains, reason = "`contains` cannot be called in a constant")]
        impl $name {
            /// The number itself.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// For numbers that are written in the source, such as defaults.
            ///
            /// # Panics
            ///
            /// Where the number is out of range: use `try_from` for numbers that come from
            /// elsewhere.
            pub const fn literal($value: f64) -> Self {
                assert!($holds, $range);
                Self($value)
            }
        }

        #[allow(clippy::manual_range_contains, reason = "as in `literal`")]
        impl TryFrom<f64> for $name {
            type Error = OutOfRange;

            fn try_from($value: f64) -> Result<Self, OutOfRange> {
                if $holds { Ok(Self($value)) } else { Err(OutOfRange { value: $value, range: $range }) }
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
    Fraction: "a number from 0 to 1", |value| value >= 0.0 && value <= 1.0
}

number! {
    /// A number from 0 to below one half: how far probabilities are kept from 0 and 1.
    Margin: "a number from 0 to below 0.5", |value| value >= 0.0 && value < 0.5
}

number! {
    /// A number above 0 and up to 100.
    Percent: "a number above 0 and up to 100", |value| value > 0.0 && value <= 100.0
}

number! {
    /// A number from 0.05 to 1: the distance between tiles, as a share of their extent. At less than
    /// a twentieth, each voxel of a volume would be looked at more than 8,000 times.
    StepSize: "a number from 0.05 to 1", |value| value >= 0.05 && value <= 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_and_described() {
        let refused = |error: OutOfRange| error.to_string();

        assert_eq!(
            refused(Positive::try_from(0.0).unwrap_err()),
            "0 is not a positive, finite number"
        );
        assert_eq!(
            refused(Fraction::try_from(f64::NAN).unwrap_err()),
            "NaN is not a number from 0 to 1"
        );
        assert!(Positive::try_from(f64::INFINITY).is_err());
        assert!(NonNegative::try_from(0.0).is_ok());
        assert!(NonNegative::try_from(-1e-9).is_err());
        assert!(NonNegative::try_from(f64::NAN).is_err());
        assert!(AtLeastOne::try_from(0.5).is_err());
        assert!(Fraction::try_from(1.0).is_ok());
        assert!(Margin::try_from(0.5).is_err());
        assert!(Percent::try_from(0.0).is_err());
        assert!(Percent::try_from(100.0).is_ok());
        assert!(StepSize::try_from(1e-9).is_err());
        assert!(StepSize::try_from(0.05).is_ok() && StepSize::try_from(1.0).is_ok());
    }

    #[test]
    fn a_file_with_a_number_out_of_range_is_refused() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::from_str::<Fraction>("0.25")?, Fraction::literal(0.25));
        assert_eq!(serde_json::to_string(&Fraction::literal(0.25))?, "0.25");
        let error = serde_json::from_str::<Fraction>("1.5").unwrap_err().to_string();
        assert!(error.starts_with("1.5 is not a number from 0 to 1"), "{error}");
        Ok(())
    }
}
