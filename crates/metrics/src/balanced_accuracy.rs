use serde::{Deserialize, Serialize};

use crate::{MaskPair, Metric, Scale};
use crate::{Recall, Specificity};

/// The mean of [`Recall`] and [`Specificity`].
///
/// Undefined where either is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalancedAccuracy {}

impl Metric for BalancedAccuracy {
    fn name(&self) -> &'static str {
        "balanced_accuracy"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "mean of recall and specificity; undefined where either is".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let recall = Recall {}.measure(masks)?;
        let specificity = Specificity {}.measure(masks)?;

        Some(f64::midpoint(recall, specificity))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    /// One true positive, two false positives, one false negative, four true negatives.
    const REFERENCE: [[bool; 8]; 1] = [[true, true, false, false, false, false, false, false]];
    const PREDICTION: [[bool; 8]; 1] = [[false, true, true, true, false, false, false, false]];

    fn score(reference: [[bool; 8]; 1], prediction: [[bool; 8]; 1]) -> Option<f64> {
        let spacing = [2.0, 0.5];
        let pair = MaskPair::new(&arr2(&reference), &arr2(&prediction), &spacing).unwrap();
        BalancedAccuracy {}.measure(&pair)
    }

    #[test]
    fn the_mean_of_a_half_and_two_thirds() {
        approx::assert_relative_eq!(score(REFERENCE, PREDICTION).unwrap(), 7.0 / 12.0);
        assert_eq!(score([[false; 8]], PREDICTION), None);
    }
}
