use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::Connectivity;

use crate::MaskPair;
use crate::empty::ratio;
use crate::overlaps::Overlaps;

/// Panoptic quality: how many lesions were found, and how well those that were, in one number that is the product of both.
///
/// A component of the reference and one of the prediction are a match where they share more than half of their union: each then has one
/// match at most. Counts of several cases can be added; of all cases it is that of their sums, as the source has it, and not a mean of
/// cases. Undefined where neither mask has any component.
///
/// # Source
///
/// Kirillov, He, Girshick, Rother, Dollár: *Panoptic Segmentation*, CVPR 2019, [arXiv:1801.00868](https://arxiv.org/abs/1801.00868).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panoptic {
    /// Components of the reference that have a match.
    pub true_positives: usize,
    /// Components of the prediction that have none.
    pub false_positives: usize,
    /// Components of the reference that have none.
    pub false_negatives: usize,
    /// The intersections over union of all matches, added up.
    pub iou_sum: f64,
}

impl Panoptic {
    /// Of one case.
    pub fn of(pair: &MaskPair, connectivity: Connectivity) -> Self {
        let Overlaps { reference, prediction, shared } = Overlaps::of(pair, connectivity);
        let matches: Vec<f64> = shared.iter().map(|it| it.iou).filter(|&iou| iou > 0.5).collect();
        Self {
            true_positives: matches.len(),
            false_positives: prediction.len() - matches.len(),
            false_negatives: reference.len() - matches.len(),
            iou_sum: matches.iter().sum(),
        }
    }

    /// Adds another case.
    pub fn add(&mut self, other: &Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.iou_sum += other.iou_sum;
    }

    /// Segmentation quality: the mean intersection over union of matches; `None` without any.
    pub fn segmentation(&self) -> Option<f64> {
        ratio(self.iou_sum, self.true_positives as f64)
    }

    /// Recognition quality: the F1 score of matches; `None` where there is no component at all.
    pub fn recognition(&self) -> Option<f64> {
        ratio(self.true_positives as f64, self.counted())
    }

    /// Panoptic quality; `None` where there is no component at all.
    pub fn quality(&self) -> Option<f64> {
        ratio(self.iou_sum, self.counted())
    }

    fn counted(&self) -> f64 {
        let missed = (self.false_positives + self.false_negatives) as f64;
        self.true_positives as f64 + 0.5 * missed
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_match_needs_more_than_half() -> crate::Result<()> {
        let row = |line: &str| {
            let mut row = [[false; 12]];
            for (x, byte) in line.bytes().enumerate() {
                row[0][x] = byte == b'#';
            }
            arr2(&row)
        };
        // Three of four, one of three, and a false alarm.
        let (reference, prediction) = (row("####..##...."), row("###....##..#"));
        let pair = MaskPair::new(&reference, &prediction, &[1.0, 1.0])?;

        let mut found = Panoptic::of(&pair, Connectivity::Faces);

        let expected =
            Panoptic { true_positives: 1, false_positives: 2, false_negatives: 1, iou_sum: 0.75 };
        assert_eq!(found, expected);
        assert_eq!(found.segmentation(), Some(0.75));
        assert_eq!(found.recognition(), Some(1.0 / 2.5));
        assert_eq!(found.quality(), Some(0.75 / 2.5));
        found.add(&expected);
        assert_eq!((found.true_positives, found.quality()), (2, Some(0.75 / 2.5)));
        assert_eq!(Panoptic::default().quality(), None);
        Ok(())
    }
}
