use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many voxels two masks agree and disagree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Voxels in both.
    pub true_positives: u64,
    /// Voxels in the prediction only.
    pub false_positives: u64,
    /// Voxels in the reference only.
    pub false_negatives: u64,
    /// Voxels in neither.
    pub true_negatives: u64,
}

impl Counts {
    /// Voxels in the reference.
    pub fn reference(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Voxels in the prediction.
    pub fn prediction(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// All voxels that were compared.
    pub fn total(&self) -> u64 {
        self.reference() + self.false_positives + self.true_negatives
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            false_negatives: self.false_negatives + other.false_negatives,
            true_negatives: self.true_negatives + other.true_negatives,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
