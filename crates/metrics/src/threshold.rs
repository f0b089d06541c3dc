use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::ordered::ordered;
use crate::{Fraction, Positive, ProbabilityPair, Reliability, Result};

/// What one threshold makes of the predicted probabilities of a class.
///
/// Where the truth is soft, a voxel counts as belonging to the class to the degree that the truth
/// says, and the counts are not whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        self.f_beta(1.0)
    }

    /// `(1 + β²) TP / ((1 + β²) TP + β² FN + FP)`: recall counts β times as much as precision; β = 1 is the Dice coefficient. `None`
    /// where nothing is predicted and there is nothing to find.
    ///
    /// # Source
    ///
    /// van Rijsbergen: *Information Retrieval*, 1979.
    pub fn f_beta(&self, beta: f64) -> Option<f64> {
        let found = (1.0 + beta * beta) * self.true_positives;
        ratio(found, found + beta * beta * self.false_negatives + self.false_positives)
    }

    /// Adds the voxels of another case, cut at the same threshold.
    pub fn add(&mut self, other: &Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

/// What a threshold is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To find at least this share of the truth, and no more than that needs: the highest threshold that does.
    Recall(#[schemars(with = "f64")] Fraction),
    /// Predictions of which at least this share is right: the lowest threshold from which on all higher ones keep it, as long as they
    /// predict anything.
    Precision(#[schemars(with = "f64")] Fraction),
    /// The largest [`ThresholdPoint::f_beta`] with this β; of equals, the one nearest to 0.5.
    FBeta(#[schemars(with = "f64")] Positive),
}

impl Goal {
    /// The one of `points`, of ascending thresholds, that serves it best; `None` where none serves it, or nothing is defined.
    ///
    /// A threshold that was chosen on cases says little about how good it is on these: choose on validation cases, and judge on others.
    pub fn choose(self, points: &[ThresholdPoint]) -> Option<&ThresholdPoint> {
        match self {
            Self::Recall(least) => {
                let mut from_above = points.iter().rev();
                from_above.find(|point| point.recall().is_some_and(|it| it >= least.get()))
            }
            Self::Precision(least) => {
                let from_above = points.iter().rev();
                let predicting = from_above.skip_while(|point| point.precision().is_none());
                let keeps =
                    |point: &&ThresholdPoint| point.precision().is_some_and(|it| it >= least.get());
                predicting.take_while(keeps).last()
            }
            Self::FBeta(beta) => {
                let worth = |point: &ThresholdPoint| point.f_beta(beta.get());
                let best = points.iter().filter_map(worth).reduce(f64::max)?;
                let from_half = |point: &ThresholdPoint| (point.threshold - 0.5).abs();
                let best = points.iter().filter(|point| worth(point) >= Some(best));
                best.min_by(|a, b| from_half(a).total_cmp(&from_half(b)))
            }
        }
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
            for (point, more) in points.iter_mut().zip(&part) {
                point.add(more);
            }
        },
    ))
}

impl Reliability {
    /// What each of `thresholds` makes of the class that the table is of, see [`Confidence::Class`](crate::Confidence::Class): bins whose
    /// lower edge is at least the threshold are predicted. It is that of the predictions where thresholds are edges of bins.
    pub fn cut(&self, thresholds: &[f64]) -> Vec<ThresholdPoint> {
        let bins = self.bins();
        let cut = |&threshold: &f64| {
            let mut point = ThresholdPoint {
                threshold,
                true_positives: 0.0,
                false_positives: 0.0,
                false_negatives: 0.0,
                true_negatives: 0.0,
            };
            for (at, bin) in bins.iter().enumerate() {
                let wrong = bin.count as f64 - bin.accuracy_sum;
                let lower = at as f64 / bins.len() as f64;
                let (right, wrong_to) = if lower >= threshold {
                    (&mut point.true_positives, &mut point.false_positives)
                } else {
                    (&mut point.false_negatives, &mut point.true_negatives)
                };
                *right += bin.accuracy_sum;
                *wrong_to += wrong;
            }
            point
        };
        thresholds.iter().map(cut).collect()
    }
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
        let ascending = ordered(pair, |voxel| Some((voxel.predicted[class], voxel.truth(class))));
        let mut total = (0.0, 0.0);
        let found = ascending.iter().rev().map(|tied| {
            total = (total.0 + tied.right, total.1 + (tied.count as f64 - tied.right));
            total
        });
        let found = found.collect();
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
    #[test]
    fn a_threshold_is_chosen_by_what_is_wanted() {
        let point = |threshold, [tp, fp, fn_]: [f64; 3]| ThresholdPoint {
            threshold,
            true_positives: tp,
            false_positives: fp,
            false_negatives: fn_,
            true_negatives: 0.0,
        };
        let points = [
            point(0.1, [10.0, 30.0, 0.0]),
            point(0.3, [8.0, 2.0, 2.0]),
            point(0.6, [8.0, 2.0, 2.0]),
            point(0.8, [4.0, 0.0, 6.0]),
            point(1.0, [0.0, 0.0, 10.0]),
        ];
        let chosen = |goal: Goal| goal.choose(&points).map(|point| point.threshold);

        assert_eq!(chosen(Goal::Recall(Fraction::literal(0.75))), Some(0.6));
        assert_eq!(chosen(Goal::Recall(Fraction::literal(1.0))), Some(0.1));
        assert_eq!(chosen(Goal::Precision(Fraction::literal(0.8))), Some(0.3));
        assert_eq!(chosen(Goal::Precision(Fraction::literal(0.9))), Some(0.8));
        // 0.6 is nearer to the middle than 0.3.
        assert_eq!(chosen(Goal::FBeta(Positive::literal(1.0))), Some(0.6));
        assert_eq!(chosen(Goal::FBeta(Positive::literal(5.0))), Some(0.1));
        let nothing = point(0.5, [0.0, 0.0, 0.0]);
        assert_eq!(Goal::FBeta(Positive::literal(1.0)).choose(&[nothing]), None);
        assert_eq!(Goal::Recall(Fraction::literal(0.0)).choose(&[nothing]), None);
    }
}
