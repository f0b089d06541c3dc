use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{MaskPair, Metric, Scale};

/// The share of the reference that was found, `TP / (TP + FN)`: sensitivity.
///
/// Undefined where the reference is empty; 0 where only the prediction is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recall {}

impl Metric for Recall {
    fn name(&self) -> &'static str {
        "recall"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "|P ∩ R| / |R|; undefined where the reference is empty".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();

        ratio(counts.true_positives as f64, counts.reference() as f64)
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
        Recall {}.measure(&pair)
    }

    #[test]
    fn one_of_two_voxels_is_found() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(0.5));
        assert_eq!(score([[false; 8]], PREDICTION), None);
        assert_eq!(score(REFERENCE, [[false; 8]]), Some(0.0));
    }
}
