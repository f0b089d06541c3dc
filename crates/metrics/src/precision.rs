use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{MaskPair, Metric, Scale};

/// The share of the prediction that is right, `TP / (TP + FP)`: positive predictive value.
///
/// Undefined where the prediction is empty; 0 where only the reference is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Precision {}

impl Metric for Precision {
    fn name(&self) -> &'static str {
        "precision"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "|P ∩ R| / |P|; undefined where nothing is predicted".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();

        ratio(counts.true_positives as f64, counts.prediction() as f64)
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
        Precision {}.measure(&pair)
    }

    #[test]
    fn one_of_three_predicted_voxels_is_right() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(1.0 / 3.0));
        assert_eq!(score(REFERENCE, [[false; 8]]), None);
        assert_eq!(score([[false; 8]], PREDICTION), Some(0.0));
    }
}
