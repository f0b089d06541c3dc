use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{Better, Unit};
use crate::{MaskPair, Metric, Scale};

/// Matthews' correlation coefficient: the correlation of the two masks, from −1 to 1.
///
/// ```text
/// (TP · TN − FP · FN) / √((TP + FP) (TP + FN) (TN + FP) (TN + FN))
/// ```
///
/// Undefined where either mask is empty or fills the image.
///
/// # Source
///
/// Matthews: *Comparison of the predicted and observed secondary structure of T4 phage lysozyme*,
/// Biochimica et Biophysica Acta 405 (1975).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcc {}

impl Metric for Mcc {
    fn name(&self) -> &'static str {
        "mcc"
    }

    fn scale(&self) -> Scale {
        Scale { unit: Unit::Correlation, better: Better::Larger }
    }

    fn definition(&self) -> String {
        "Matthews' correlation of prediction and reference; undefined where either mask holds nothing or everything".to_owned()
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();
        let (tp, tn) = (counts.true_positives as f64, counts.true_negatives as f64);
        let (fp, fn_) = (counts.false_positives as f64, counts.false_negatives as f64);

        // Roots first: the product of four counts of a large volume loses digits.
        let spread = ((tp + fp) * (tp + fn_)).sqrt() * ((tn + fp) * (tn + fn_)).sqrt();
        ratio(tp * tn - fp * fn_, spread)
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
        Mcc {}.measure(&pair)
    }

    #[test]
    fn a_weak_correlation() {
        // (1 · 4 − 2 · 1) / √(3 · 2 · 6 · 5)
        approx::assert_relative_eq!(score(REFERENCE, PREDICTION).unwrap(), 2.0 / 180f64.sqrt());
        assert_eq!(score(REFERENCE, [[true; 8]]), None);
    }
}
