use serde::{Deserialize, Serialize};

use crate::{Empty, MaskPair, Metric, Scale};

/// Intersection over union `|A ∩ B| / |A ∪ B|`, also called Jaccard index.
///
/// Undefined where both masks are empty, 0 where one is, unless `empty` says otherwise. It orders
/// predictions for one reference as [`Dice`](crate::Dice) does, `dice / (2 − dice)`; means over
/// cases it does not.
///
/// # Source
///
/// Jaccard: *The Distribution of the Flora in the Alpine Zone*, New Phytologist 11 (1912).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Iou {
    /// What it is worth where the class is absent.
    pub empty: Empty,
}

impl Metric for Iou {
    fn name(&self) -> &'static str {
        "iou"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn label(&self) -> String {
        format!("iou{}", self.empty.suffix())
    }

    fn definition(&self) -> String {
        format!("|P ∩ R| / |P ∪ R|; {}", self.empty.in_words())
    }

    fn measure(&self, masks: &MaskPair) -> Option<f64> {
        let counts = masks.counts();
        let union = counts.reference() + counts.false_positives;

        self.empty.divide(counts.true_positives as f64, union as f64, counts.reference() == 0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn two_common_voxels_of_six() -> crate::Result<()> {
        let reference = arr2(&[[true, true, true, false, false, false]]);
        let prediction = arr2(&[[false, true, true, true, true, true]]);
        let pair = MaskPair::new(&reference, &prediction, &[1.0, 1.0])?;

        assert_eq!(Iou::default().measure(&pair), Some(2.0 / 6.0));
        Ok(())
    }
}
