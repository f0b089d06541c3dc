use serde::{Deserialize, Serialize};

/// What the numbers of a metric are: their unit, and which of them are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// The unit.
    pub unit: Unit,
    /// Which numbers are better.
    pub better: Better,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// A share, from 0 to 1.
    Fraction,
    /// A correlation, from −1 to 1.
    Correlation,
    /// A ratio without bounds.
    Ratio,
    /// mm.
    Millimeters,
    /// mm³; mm² of masks in the plane.
    CubicMillimeters,
    /// Natural logarithm of a probability.
    Nats,
    /// A number of things.
    Count,
}

/// Which numbers of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Larger ones.
    Larger,
    /// Smaller ones, 0 being perfect.
    Smaller,
    /// Those close to 0, of either sign.
    NearZero,
}

impl Scale {
    /// A share, larger is better.
    pub const OVERLAP: Self = Self { unit: Unit::Fraction, better: Better::Larger };
    /// mm, smaller is better.
    pub const DISTANCE: Self = Self { unit: Unit::Millimeters, better: Better::Smaller };
    /// A share of error, smaller is better.
    pub const ERROR: Self = Self { unit: Unit::Fraction, better: Better::Smaller };
    /// A number without unit, smaller is better.
    pub const PENALTY: Self = Self { unit: Unit::Ratio, better: Better::Smaller };
    /// A number of things, of which few are good, such as false alarms.
    pub const COUNT: Self = Self { unit: Unit::Count, better: Better::Smaller };
    /// A number of things, of which many are good, such as lesions that were found.
    pub const FOUND: Self = Self { unit: Unit::Count, better: Better::Larger };
    /// Nats, smaller is better.
    pub const NATS: Self = Self { unit: Unit::Nats, better: Better::Smaller };
}
