use serde::{Deserialize, Serialize};

use crate::{Better, Unit};
use crate::{MaskPair, Metric, Scale};

/// How much larger the predicted volume is than the reference's, mm³ (in the plane, mm²); negative
/// where it is smaller.
///
/// Always defined: 0 where both are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeDifference {}

impl Metric for VolumeDifference {
    fn name(&self) -> &'static str {
        "volume_difference"
    }

    fn scale(&self) -> Scale {
        Scale { unit: Unit::CubicMillimeters, better: Better::NearZero }
    }

    fn definition(&self) -> String {
        "|P| − |R|, mm³; in the plane mm²".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let (reference, prediction) =
            (masks.counts().reference() as f64, masks.counts().prediction() as f64);

        Some((prediction - reference) * masks.voxel_volume())
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
        VolumeDifference {}.measure(&pair)
    }

    #[test]
    fn one_voxel_more_is_one_voxel_volume() {
        // 2 mm × 0.5 mm.
        assert_eq!(score(REFERENCE, PREDICTION), Some(1.0));
        assert_eq!(score([[false; 8]], [[false; 8]]), Some(0.0));
    }
}
