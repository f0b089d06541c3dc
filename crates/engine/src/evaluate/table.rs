//! What an evaluation found: `summary.json`, and what reports and model cards are made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The scores of a set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The version of this format: 1.
    pub schema: u32,
    /// What was evaluated, such as the name of a run or a model.
    pub name: String,
    /// The data set that the cases are from.
    pub dataset: String,
    /// The classes that masks are scored for, background left out.
    pub classes: Vec<String>,
    /// What each score is, in one line: the definition, its unit, and what happens where a mask is
    /// empty. Keyed by the names that scores go by below.
    pub definitions: BTreeMap<String, Definition>,
    /// One entry for each case, sorted by id.
    pub cases: Vec<CaseScores>,
    /// Over all cases: class → score → what it came to. The class `mean` is the mean over the
    /// foreground classes of a case, aggregated over cases.
    pub masks: BTreeMap<String, BTreeMap<String, Aggregate>>,
    /// Over all cases: score of the probabilities → what it came to. Empty where only masks were
    /// evaluated.
    pub probabilities: BTreeMap<String, Aggregate>,
    /// Calibration over the voxels of all cases together; `None` where only masks were evaluated.
    pub calibration: Option<Calibration>,
}

/// What a score is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// In words, with the unit and the rule for empty masks.
    pub text: String,
    /// `mm`, `mm³`, or empty for a fraction.
    pub unit: String,
    /// Whether larger values are better.
    pub larger_is_better: bool,
}

/// The scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseScores {
    /// The case.
    pub id: String,
    /// Class → score → value; `None` where it is undefined, such as a distance to an empty mask.
    pub masks: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// Score of the probabilities → value.
    pub probabilities: BTreeMap<String, Option<f64>>,
}

/// A score over several cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The mean over the cases where it is defined; `None` where it is defined nowhere.
    pub mean: Option<f64>,
    /// The standard deviation (n − 1) over them; `None` for fewer than two.
    pub sd: Option<f64>,
    /// The median over them.
    pub median: Option<f64>,
    /// How many cases it is defined for.
    pub defined: usize,
    /// How many cases it is undefined for: these take no part in the mean.
    pub undefined: usize,
}

/// How far probabilities can be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Expected calibration error over [`Calibration::bins`].
    pub ece: f64,
    /// Mean Brier score over voxels, summed over classes.
    pub brier: f64,
    /// Mean negative log likelihood over voxels, nats.
    pub nll: f64,
    /// Which voxels were looked at, in words.
    pub voxels: String,
    /// The reliability diagram, from low confidence to high; empty bins have a count of 0.
    pub bins: Vec<ReliabilityBin>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// The lowest confidence of the bin.
    pub lower: f64,
    /// The highest.
    pub upper: f64,
    /// The mean confidence of its voxels.
    pub confidence: f64,
    /// How often they were right; with several raters, the mean share of raters that agree.
    pub accuracy: f64,
    /// The number of voxels.
    pub count: u64,
}

impl Aggregate {
    /// Of one value for each case.
    pub fn of(values: &[Option<f64>]) -> Self {
        let mut defined: Vec<f64> = values.iter().copied().flatten().collect();
        defined.sort_by(f64::total_cmp);
        let count = defined.len();
        let mean = (count > 0).then(|| defined.iter().sum::<f64>() / count as f64);
        let sd = mean.filter(|_| count > 1).map(|mean| {
            let squares: f64 = defined.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (count - 1) as f64).sqrt()
        });
        let median =
            (count > 0).then(|| f64::midpoint(defined[(count - 1) / 2], defined[count / 2]));
        Self { mean, sd, median, defined: count, undefined: values.len() - count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_values_are_counted_and_left_out() {
        let aggregate = Aggregate::of(&[Some(1.0), None, Some(4.0), Some(1.0)]);

        assert_eq!(aggregate.mean, Some(2.0));
        assert_eq!(aggregate.sd, Some(3f64.sqrt()));
        assert_eq!(aggregate.median, Some(1.0));
        assert_eq!((aggregate.defined, aggregate.undefined), (3, 1));
    }

    #[test]
    fn nothing_has_no_mean() {
        let nothing = Aggregate::of(&[None, None]);

        assert_eq!((nothing.mean, nothing.sd, nothing.median), (None, None, None));
        assert_eq!(nothing.undefined, 2);
    }
}
