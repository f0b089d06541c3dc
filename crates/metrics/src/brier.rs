use serde::{Deserialize, Serialize};

use crate::{ProbabilityMetric, ProbabilityPair, Scale};

/// The Brier score: the mean over voxels of the squared distance between predicted and true
/// probabilities, `Σ (p − t)²` over the classes.
///
/// From 0, only for the truth itself, to 2 for certainty about a wrong class. Undefined where no
/// voxel counts. It is a proper score: it rewards accuracy as well as calibration, so that a lower
/// one need not mean better calibration.
///
/// # Source
///
/// Brier: *Verification of Forecasts Expressed in Terms of Probability*, Monthly Weather Review 78
/// (1950).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brier {
    /// How classes are combined.
    pub classes: Over,
}

/// How the classes of a voxel become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Their sum, as in the source.
    #[default]
    Sum,
    /// Their mean: with two exclusive classes, the score of class 1 alone.
    Mean,
}

impl Brier {
    /// The mean over voxels of `(p − t)²` of one class; `None` where there is no such class or no
    /// voxel counts.
    pub fn of_class(pair: &ProbabilityPair<'_>, class: usize) -> Option<f64> {
        pair.expect_class(class).ok()?;
        mean(pair, |error| error(class))
    }
}

impl ProbabilityMetric for Brier {
    fn name(&self) -> &'static str {
        "brier"
    }

    fn scale(&self) -> Scale {
        Scale::PENALTY
    }

    fn definition(&self) -> String {
        let over = match self.classes {
            Over::Sum => "sum",
            Over::Mean => "mean",
        };
        format!(
            "squared distance between predicted and true probabilities, {over} over classes, mean over voxels"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let classes = pair.classes();
        let sum = mean(pair, |error| (0..classes).map(error).sum())?;
        match self.classes {
            Over::Sum => Some(sum),
            Over::Mean => Some(sum / classes as f64),
        }
    }
}

/// The mean over voxels of what `combine` makes of the squared error of each class.
fn mean(
    pair: &ProbabilityPair<'_>,
    combine: impl Fn(&dyn Fn(usize) -> f64) -> f64 + Sync,
) -> Option<f64> {
    let (sum, count) = pair.fold(
        || (0.0, 0u64),
        |total, voxel| {
            let error = |class: usize| (voxel.predicted[class] - voxel.truth(class)).powi(2);
            total.0 += combine(&error);
            total.1 += 1;
        },
        |total, part| *total = (total.0 + part.0, total.1 + part.1),
    );
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn two_voxels_of_three_classes() -> crate::Result<()> {
        let prediction = arr2(&[[0.5, 0.0], [0.25, 0.0], [0.25, 1.0]]);
        let truth = arr1(&[0, 1]);
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        // 0.25 + 0.0625 + 0.0625 = 0.375 at the first voxel, 0 + 1 + 1 at the second.
        assert_eq!(Brier::default().measure(&pair), Some(1.1875));
        assert_eq!(Brier { classes: Over::Mean }.measure(&pair), Some(1.1875 / 3.0));
        assert_eq!(Brier::of_class(&pair, 1), Some(1.0625 / 2.0));
        assert_eq!(Brier::of_class(&pair, 3), None);
        Ok(())
    }

    #[test]
    fn nothing_that_counts_has_no_score() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[0.5], [0.5]]), arr1(&[9]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, Some(9)))?;

        assert_eq!(Brier::default().measure(&pair), None);
        Ok(())
    }
}
