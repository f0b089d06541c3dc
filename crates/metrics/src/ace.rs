use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::ordered::{Tied, of_table, ordered};
use crate::{Fraction, ProbabilityMetric, ProbabilityPair, Reliability, Scale, Voxels};

/// The adaptive calibration error: the calibration error of each class, over ranges of confidence that hold equally many predictions
/// each, averaged over ranges and classes.
///
/// Ranges that adapt put as many predictions where a network mostly is as where it seldom is, so that no range is empty, and none
/// holds nearly all. Predictions of equal confidence that lie on the edge between two ranges are shared between them. Undefined
/// where no voxel counts, or no class is left.
///
/// Of a medical image most voxels are certain background, and fill most ranges: `threshold` leaves out predictions of a probability
/// that is not above it (thresholded adaptive calibration error), `voxels` certain background.
///
/// # Source
///
/// Nixon, Dusenberry, Zhang, Jerfel, Tran: *Measuring Calibration in Deep Learning*, CVPR Workshops 2019,
/// [arXiv:1904.01685](https://arxiv.org/abs/1904.01685).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ace {
    /// How many ranges.
    pub ranges: NonZeroUsize,
    /// Probabilities up to this one are left out, unless it is 0.
    pub threshold: Fraction,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Which voxels are looked at.
    pub voxels: Voxels,
}

impl Default for Ace {
    fn default() -> Self {
        Self {
            ranges: crate::DEFAULT_BINS,
            threshold: Fraction::literal(0.0),
            include_background: true,
            voxels: Voxels::All,
        }
    }
}

impl Ace {
    fn of_class(&self, pair: &ProbabilityPair<'_>, class: usize) -> Option<f64> {
        let least = self.threshold.get();
        let predictions = ordered(pair, |voxel| {
            let confidence = voxel.predicted[class];
            let counts = (least <= 0.0 || confidence > least) && self.voxels.include(voxel);
            counts.then(|| (confidence, voxel.truth(class)))
        });
        error(&predictions, self.ranges)
    }
}

impl Reliability {
    /// The [`Ace`] of what the table of one class holds, as if all predictions of a bin were equal; `None` where there are none.
    pub fn ace(&self, ranges: NonZeroUsize) -> Option<f64> {
        error(&of_table(self), ranges)
    }
}

/// The mean over ranges of equally many predictions of `|accuracy − confidence|`.
fn error(predictions: &[Tied], ranges: NonZeroUsize) -> Option<f64> {
    let total: u64 = predictions.iter().map(|tied| tied.count).sum();
    if total == 0 {
        return None;
    }
    // Predictions of one range: not whole, where there are ranges enough.
    let size = total as f64 / ranges.get() as f64;
    let (mut sum, mut gap, mut room) = (0.0, 0.0, size);
    for tied in predictions {
        let count = tied.count as f64;
        // What each of them is off by.
        let each = tied.right / count - tied.confidence;
        let mut left = count;
        while left > 0.0 {
            let taken = left.min(room);
            gap += taken * each;
            (left, room) = (left - taken, room - taken);
            // What rounding leaves of a range is none.
            if room <= size * 1e-12 {
                sum += f64::abs(gap) / size;
                (gap, room) = (0.0, size);
            }
        }
    }
    // The last range, where rounding has left it open.
    Some((sum + gap.abs() / size) / ranges.get() as f64)
}

impl ProbabilityMetric for Ace {
    fn name(&self) -> &'static str {
        "ace"
    }

    fn scale(&self) -> Scale {
        Scale::ERROR
    }

    fn definition(&self) -> String {
        let (ranges, voxels) = (self.ranges, self.voxels.in_words());
        let threshold = match self.threshold.get() {
            0.0 => String::new(),
            least => format!(", probabilities above {least}"),
        };
        format!(
            "|accuracy − confidence| of {ranges} ranges of equally many voxels{threshold}, mean over ranges and classes, {voxels}"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let classes = usize::from(!self.include_background)..pair.classes();
        let count = classes.len();
        let sum = classes.map(|class| self.of_class(pair, class)).sum::<Option<f64>>()?;
        (count > 0).then(|| sum / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    fn ranges(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn each_range_holds_as_many_predictions() -> crate::Result<()> {
        let prediction = arr2(&[[0.9, 0.8, 0.4, 0.2], [0.1, 0.2, 0.6, 0.8]]);
        let truth = arr1(&[0, 1, 1, 1]);
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        // Class 1, two ranges: (0 + 1 − 0.3) / 2 = 0.35, and (2 − 1.4) / 2 = 0.3; class 0 mirrors it.
        let metric = Ace { ranges: ranges(2), ..Ace::default() };
        approx::assert_relative_eq!(metric.measure(&pair).unwrap(), 0.325, epsilon = 1e-12);
        // Of class 1 alone, those above 0.2: 0.4 and 0.2, each a range of its own.
        let threshold = Fraction::literal(0.2);
        let metric = Ace { threshold, include_background: false, ..metric };
        approx::assert_relative_eq!(metric.measure(&pair).unwrap(), 0.3, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn a_tie_on_an_edge_is_shared() {
        // Three of 0.5, of which one is right: each range of 1.5 is off by as much.
        let tie = [Tied { confidence: 0.5, count: 3, right: 1.0 }];

        approx::assert_relative_eq!(error(&tie, ranges(2)).unwrap(), 1.0 / 6.0, epsilon = 1e-12);
        // As one range, or as more than there are predictions.
        approx::assert_relative_eq!(error(&tie, ranges(1)).unwrap(), 1.0 / 6.0, epsilon = 1e-12);
        approx::assert_relative_eq!(error(&tie, ranges(7)).unwrap(), 1.0 / 6.0, epsilon = 1e-12);
        assert_eq!(error(&[], ranges(2)), None);
    }
}
