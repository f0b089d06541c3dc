use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{ProbabilityPair, Result};

/// What one threshold makes of the predicted probabilities of a class.
///
/// Where the truth is soft, a voxel counts as belonging to the class to the degree that the truth
/// says, and the counts are not whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdPoint {
    /// A voxel is predicted to belong where its probability is at least this.
    pub threshold: f64,
    /// Voxels that are predicted to belong, and do.
    pub true_positives: f64,
    /// Voxels that are predicted to belong, and do not.
    pub false_positives: f64,
    /// Voxels that belong, and are missed.
    pub false_negatives: f64,
    /// Voxels that neither belong nor are predicted to.
    pub true_negatives: f64,
}

impl ThresholdPoint {
    /// The share of the prediction that is right; `None` where nothing is predicted.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of the truth that is found; `None` where there is none.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The Dice coefficient; `None` where nothing is predicted and there is nothing to find.
    pub fn dice(&self) -> Option<f64> {
        let twice = 2.0 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }
}

/// What each of `thresholds` makes of the predicted probabilities of `class`, in their order.
///
/// A calibrated model moves smoothly along precision and recall as the threshold does.
///
/// # Errors
///
/// [`Error::Class`](crate::Error::Class).
pub fn threshold_sweep(
    pair: &ProbabilityPair<'_>,
    class: usize,
    thresholds: &[f64],
) -> Result<Vec<ThresholdPoint>> {
    pair.expect_class(class)?;
    let empty = |&threshold: &f64| ThresholdPoint {
        threshold,
        true_positives: 0.0,
        false_positives: 0.0,
        false_negatives: 0.0,
        true_negatives: 0.0,
    };
    let stored: Vec<f64> = thresholds.iter().map(|&threshold| pair.stored(threshold).0).collect();
    Ok(pair.fold(
        || thresholds.iter().map(empty).collect::<Vec<_>>(),
        |points, voxel| {
            let truth = voxel.truth(class);
            for (point, &threshold) in points.iter_mut().zip(&stored) {
                if voxel.predicted[class] >= threshold {
                    point.true_positives += truth;
                    point.false_positives += 1.0 - truth;
                } else {
                    point.false_negatives += truth;
                    point.true_negatives += 1.0 - truth;
                }
            }
        },
        |points, part| {
            for (point, more) in points.iter_mut().zip(part) {
                point.true_positives += more.true_positives;
                point.false_positives += more.false_positives;
                point.false_negatives += more.false_negatives;
                point.true_negatives += more.true_negatives;
            }
        },
    ))
}

/// How much of the truth and of the rest all thresholds that matter find: one entry for each
/// probability that occurs, in descending order.
pub(crate) struct Ranking {
    /// True and false positives when cutting at each of them.
    pub(crate) found: Vec<(f64, f64)>,
    /// How much truth there is, and how much of the rest.
    pub(crate) total: (f64, f64),
}

impl Ranking {
    /// `None` where there is no such class.
    pub(crate) fn of(pair: &ProbabilityPair<'_>, class: usize) -> Option<Self> {
        pair.expect_class(class).ok()?;
        let mut voxels = pair.fold(
            Vec::new,
            |all, voxel| all.push((voxel.predicted[class], voxel.truth(class))),
            Vec::extend,
        );
        // By truth as well, so that sums are made in the same order whatever the sort does.
        voxels.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
        let mut found = Vec::new();
        let mut total = (0.0, 0.0);
        for (at, &(probability, truth)) in voxels.iter().enumerate() {
            total = (total.0 + truth, total.1 + (1.0 - truth));
            #[expect(clippy::float_cmp, reason = "the same probability, and no other, is a tie")]
            let last = voxels.get(at + 1).is_none_or(|next| next.0 != probability);
            if last {
                found.push(total);
            }
        }
        Some(Self { found, total })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn a_higher_threshold_finds_less() -> Result<()> {
        let (prediction, truth) = (arr2(&[[0.9, 0.5, 0.2], [0.1, 0.5, 0.8]]), arr1(&[0, 1, 1]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        let points = threshold_sweep(&pair, 1, &[0.0, 0.5, 0.6, 1.0])?;

        let scores =
            |of: fn(&ThresholdPoint) -> Option<f64>| points.iter().map(of).collect::<Vec<_>>();
        assert_eq!(
            scores(ThresholdPoint::precision),
            [Some(2.0 / 3.0), Some(1.0), Some(1.0), None]
        );
        assert_eq!(scores(ThresholdPoint::recall), [Some(1.0), Some(1.0), Some(0.5), Some(0.0)]);
        assert_eq!(points[2].true_negatives, 1.0);
        assert!(threshold_sweep(&pair, 2, &[0.5]).is_err());
        Ok(())
    }
}
