use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{Better, Unit};
use crate::{MaskPair, Metric, Scale};

/// The relative error of the predicted volume, `(|B| − |A|) / |A|`: 0.1 is 10 % too much, −0.1 too
/// little.
///
/// Undefined where the reference is empty; −1 where only the prediction is. Right volumes may lie
/// in the wrong place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeError {}

impl Metric for VolumeError {
    fn name(&self) -> &'static str {
        "volume_error"
    }

    fn scale(&self) -> Scale {
        Scale { unit: Unit::Ratio, better: Better::NearZero }
    }

    fn definition(&self) -> String {
        "(|P| − |R|) / |R|; undefined where the reference is empty".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let (reference, prediction) =
            (masks.counts().reference() as f64, masks.counts().prediction() as f64);

        ratio(prediction - reference, reference)
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
        VolumeError {}.measure(&pair)
    }

    #[test]
    fn three_voxels_instead_of_two_are_half_too_much() {
        assert_eq!(score(REFERENCE, PREDICTION), Some(0.5));
        assert_eq!(score(REFERENCE, [[false; 8]]), Some(-1.0));
        assert_eq!(score([[false; 8]], PREDICTION), None);
    }
}
