use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{MaskPair, Metric, Scale};

/// The share of the background that was left alone, `TN / (TN + FP)`.
///
/// Undefined where the reference fills the image. It depends on how much background the image
/// shows, and is close to 1 for all but absurd predictions of small structures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Specificity {}

impl Metric for Specificity {
    fn name(&self) -> &'static str {
        "specificity"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "share of the background that is left alone; undefined where there is none".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();

        ratio(counts.true_negatives as f64, (counts.true_negatives + counts.false_positives) as f64)
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
        Specificity {}.measure(&pair)
    }

    #[test]
    fn four_of_six_background_voxels_are_left_alone() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(4.0 / 6.0));
        assert_eq!(score([[true; 8]], PREDICTION), None);
        assert_eq!(score([[false; 8]], [[false; 8]]), Some(1.0));
    }
}
