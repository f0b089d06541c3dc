use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{MaskPair, Metric, Scale};

/// How similar the volumes are, `1 − | |A| − |B| | / (|A| + |B|)`.
///
/// Undefined where both masks are empty, 0 where one is. Right volumes may lie in the wrong place.
///
/// # Source
///
/// Taha, Hanbury: *Metrics for evaluating 3D medical image segmentation*, BMC Medical Imaging 15
/// (2015).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumetricSimilarity {}

impl Metric for VolumetricSimilarity {
    fn name(&self) -> &'static str {
        "volumetric_similarity"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        "1 − ||P| − |R|| / (|P| + |R|); undefined where both masks are empty".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let (reference, prediction) =
            (masks.counts().reference() as f64, masks.counts().prediction() as f64);

        ratio((reference - prediction).abs(), reference + prediction).map(|error| 1.0 - error)
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
        VolumetricSimilarity {}.measure(&pair)
    }

    #[test]
    fn two_voxels_and_three() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(0.8));
        assert_eq!(score([[false; 8]], PREDICTION), Some(0.0));
        assert_eq!(score([[false; 8]], [[false; 8]]), None);
    }
}
