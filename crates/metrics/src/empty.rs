use serde::{Deserialize, Serialize};

/// What an overlap is worth where a class is absent.
///
/// | | both absent | absent from the reference only | absent from the prediction only |
/// |---|---|---|---|
/// | `undefined` | undefined | 0 | 0 |
/// | `perfect` | 1 | 0 | 0 |
/// | `skip_reference` | undefined | undefined | 0 |
///
/// `undefined` is what nnU-Net does; `perfect` what KiTS, BraTS, and MONAI with
/// `ignore_empty=False` do; `skip_reference` what MONAI does by default. The last one never sees a
/// false alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Undefined where both are absent.
    #[default]
    Undefined,
    /// 1 where both are absent.
    Perfect,
    /// Undefined where the class is absent from the reference.
    SkipReference,
}

impl Empty {
    /// What tells scores by another rule apart from those that are undefined where both are absent, by their names.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Undefined => "",
            Self::Perfect => "_empty_1",
            Self::SkipReference => "_skip_empty",
        }
    }

    /// The rule for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Undefined => "undefined where both masks are empty, 0 where one is",
            Self::Perfect => "1 where both masks are empty, 0 where one is",
            Self::SkipReference => {
                "undefined where the reference is empty, 0 where only the prediction is"
            }
        }
    }

    /// `numerator / denominator`, where the denominator is 0 exactly where both are absent.
    pub(crate) fn divide(
        self,
        numerator: f64,
        denominator: f64,
        reference_empty: bool,
    ) -> Option<f64> {
        match self {
            Self::SkipReference if reference_empty => None,
            Self::Perfect if denominator == 0.0 => Some(1.0),
            _ => ratio(numerator, denominator),
        }
    }
}

/// A quotient, undefined where the denominator is 0.
pub(crate) fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}
