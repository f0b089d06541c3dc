use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{MaskPair, Metric, Scale};

/// The share of voxels on which the masks agree.
///
/// Undefined where no voxel counts. Like [`Specificity`](crate::Specificity) it depends on how much
/// background the image shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accuracy {}

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "share of all voxels that agree".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();

        ratio((counts.true_positives + counts.true_negatives) as f64, counts.total() as f64)
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
        Accuracy {}.measure(&pair)
    }

    #[test]
    fn masks_agree_on_five_of_eight_voxels() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(5.0 / 8.0));
        assert_eq!(score([[false; 8]], [[false; 8]]), Some(1.0));
    }
}
