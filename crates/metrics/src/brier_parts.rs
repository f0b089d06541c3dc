use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Reliability;

/// What a Brier score is made of, by bins of confidence: `reliability − resolution + uncertainty`.
///
/// The sum is the [`Brier`](crate::Brier) score where all predictions of a bin are equal and the truth is hard; else it differs by
/// what predictions vary within bins, which finer bins make less, and, where the truth is soft, by the doubt of the truth itself.
///
/// # Source
///
/// Murphy: *A New Vector Partition of the Probability Score*, Journal of Applied Meteorology 12 (1973).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrierParts {
    /// The mean squared distance between confidence and accuracy: 0 where calibration is perfect.
    pub reliability: f64,
    /// By how much accuracy varies with confidence: how well predictions tell voxels apart. Larger is better.
    pub resolution: f64,
    /// What a prediction of nothing but how often each class occurs would have: a property of the truth.
    pub uncertainty: f64,
}

impl BrierParts {
    /// Of the tables of each class, [`Confidence::Class`](crate::Confidence::Class), summed over them; `None` where there are none, or one
    /// is empty.
    pub fn of(classes: &[Reliability]) -> Option<Self> {
        let parts = classes.iter().map(Self::of_class).collect::<Option<Vec<_>>>()?;
        parts.into_iter().reduce(|a, b| Self {
            reliability: a.reliability + b.reliability,
            resolution: a.resolution + b.resolution,
            uncertainty: a.uncertainty + b.uncertainty,
        })
    }

    fn of_class(table: &Reliability) -> Option<Self> {
        let total = table.total() as f64;
        let occurs: f64 = table.bins().iter().map(|bin| bin.accuracy_sum).sum();
        if total == 0.0 {
            return None;
        }
        let occurs = occurs / total;
        let mut parts = Self { uncertainty: occurs * (1.0 - occurs), ..Self::default() };
        for bin in table.bins() {
            let (Some(confidence), Some(accuracy)) = (bin.confidence(), bin.accuracy()) else {
                continue;
            };
            let share = bin.count as f64 / total;
            parts.reliability += share * (confidence - accuracy).powi(2);
            parts.resolution += share * (accuracy - occurs).powi(2);
        }
        Some(parts)
    }

    /// What they come to.
    pub fn sum(&self) -> f64 {
        self.reliability - self.resolution + self.uncertainty
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{
        Binning, Brier, Confidence, Probabilities, ProbabilityMetric as _, ProbabilityPair, Truth,
        Voxels,
    };

    #[test]
    fn where_predictions_of_a_bin_are_equal_the_parts_are_the_score() -> anyhow::Result<()> {
        let prediction = arr2(&[[0.25, 0.25, 0.75, 0.75, 0.75], [0.75, 0.75, 0.25, 0.25, 0.25]]);
        let truth = arr1(&[1, 0, 0, 0, 1]);
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;
        let bins = NonZeroUsize::new(10).unwrap();
        let table = |class| {
            let class = Confidence::Class(class);
            Reliability::of(&pair, bins, Binning::LeftClosed, class, Voxels::All)
        };

        let parts = BrierParts::of(&[table(0)?, table(1)?]).unwrap();

        let brier = Brier::default().measure(&pair).unwrap();
        approx::assert_relative_eq!(parts.sum(), brier, epsilon = 1e-12);
        // Class 1 occurs in 2 of 5.
        approx::assert_relative_eq!(parts.uncertainty, 2.0 * 0.4 * 0.6, epsilon = 1e-12);
        assert_eq!(BrierParts::of(&[]), None);
        Ok(())
    }
}
