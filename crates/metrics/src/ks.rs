use serde::{Deserialize, Serialize};

use crate::ordered::{Tied, of_table, ordered};
use crate::{ProbabilityMetric, ProbabilityPair, Reliability, Scale, Voxels};

/// The Kolmogorov–Smirnov calibration error: the largest distance between the cumulative sums of confidence and of what is right,
/// over predictions in the order of their confidence, as a share of all.
///
/// It needs no bins. It is at most the expected calibration error of infinitely fine bins, and equals it where a network is always
/// over- or always underconfident. Undefined where no voxel counts.
///
/// # Source
///
/// Gupta, Rahimi, Ajanthan, Mensink, Sminchisescu, Hartley: *Calibration of Neural Networks using Splines*, ICLR 2021,
/// [arXiv:2006.12800](https://arxiv.org/abs/2006.12800).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ks {
    /// Which voxels are looked at.
    pub voxels: Voxels,
}

impl ProbabilityMetric for Ks {
    fn name(&self) -> &'static str {
        "ks"
    }

    fn scale(&self) -> Scale {
        Scale::ERROR
    }

    fn definition(&self) -> String {
        let voxels = self.voxels.in_words();
        format!(
            "largest distance between cumulative accuracy and confidence of the predicted class, voxels in the order of their \
             confidence, {voxels}"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let predictions = ordered(pair, |voxel| {
            self.voxels.include(voxel).then(|| {
                let (class, confidence) = voxel.choice();
                (confidence, voxel.truth(class))
            })
        });
        error(&predictions)
    }
}

impl Reliability {
    /// The [`Ks`] error of what a table holds, as far as its bins tell predictions apart: never more than that of the predictions.
    /// `None` where there are none.
    pub fn ks(&self) -> Option<f64> {
        error(&of_table(self))
    }
}

fn error(predictions: &[Tied]) -> Option<f64> {
    let total: u64 = predictions.iter().map(|tied| tied.count).sum();
    let mut apart = 0.0;
    let furthest = predictions.iter().map(|tied| {
        apart += tied.right - tied.confidence * tied.count as f64;
        f64::abs(apart)
    });
    let furthest = furthest.fold(0.0, f64::max);
    (total > 0).then(|| furthest / total as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Ece, Probabilities, Truth};

    #[test]
    fn errors_of_both_signs_are_seen_before_they_cancel() -> crate::Result<()> {
        // Right at 0.6, wrong at 0.9: 0.4 too modest, then 0.9 too sure; half a prediction too sure in the end.
        let (prediction, truth) = (arr2(&[[0.6, 0.9], [0.4, 0.1]]), arr1(&[0, 1]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        approx::assert_relative_eq!(Ks::default().measure(&pair).unwrap(), 0.25, epsilon = 1e-12);
        let ece = Ece::default().measure(&pair).unwrap();
        approx::assert_relative_eq!(ece, 0.65, epsilon = 1e-12);
        Ok(())
    }
}
