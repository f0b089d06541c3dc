use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::{Binning, Confidence, ProbabilityMetric, ProbabilityPair, Reliability, Scale, Voxels};

/// The expected calibration error: by how much confidence and accuracy differ, on average.
///
/// Predictions are put into bins by their confidence; each bin is off by the distance between its
/// mean confidence and the share of its predictions that is right. Undefined where no voxel counts.
///
/// Where the truth is soft, a prediction is right to the degree that the truth gives to its class:
/// of raters, the share that agrees. It depends on the number of bins, on which voxels are looked
/// at, and, being a mean of absolute values, never falls to 0 on few voxels.
///
/// # Source
///
/// Naeini, Cooper, Hauskrecht: *Obtaining Well Calibrated Probabilities Using Bayesian Binning*,
/// AAAI 2015; Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017,
/// [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ece {
    /// How many bins, all equally wide.
    pub bins: NonZeroUsize,
    /// Which side of a bin its edge belongs to.
    pub binning: Binning,
    /// What is called confidence.
    pub confidence: Confidence,
    /// Which voxels are looked at.
    pub voxels: Voxels,
}

impl Default for Ece {
    fn default() -> Self {
        Self {
            bins: crate::DEFAULT_BINS,
            binning: Binning::LeftClosed,
            confidence: Confidence::TopLabel,
            voxels: Voxels::All,
        }
    }
}

impl Ece {
    /// The table behind the number; `None` where the confidence of a class is asked for that there
    /// is not.
    pub fn reliability(&self, pair: &ProbabilityPair<'_>) -> Option<Reliability> {
        Reliability::of(pair, self.bins, self.binning, self.confidence, self.voxels).ok()
    }
}

impl ProbabilityMetric for Ece {
    fn name(&self) -> &'static str {
        "ece"
    }

    fn scale(&self) -> Scale {
        Scale::ERROR
    }

    fn definition(&self) -> String {
        let Self { bins, confidence, voxels, .. } = self;
        let (confidence, voxels) = (confidence.in_words(), voxels.in_words());
        format!(
            "mean over voxels of |accuracy − confidence| of their bin, {bins} equal bins, of {confidence}, {voxels}; of several \
             raters, the share that agrees counts as accuracy"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        self.reliability(pair)?.ece()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    /// Four voxels, two of which nobody doubts to be background.
    fn measure(metric: &Ece) -> Option<f64> {
        let prediction = arr2(&[[1.0, 1.0, 0.25, 0.25], [0.0, 0.0, 0.75, 0.75]]);
        let truth = arr1(&[0, 0, 1, 0]);
        let pair = ProbabilityPair::new(
            Probabilities::new(&prediction).unwrap(),
            Truth::hard(&truth, None),
        );
        metric.measure(&pair.unwrap())
    }

    #[test]
    fn certain_background_hides_the_rest() {
        // The bin at 0.75 is right once of twice, off by 0.25; the one at 1 is not off.
        assert_eq!(measure(&Ece::default()), Some(0.125));
        let foreground = Ece { voxels: Voxels::Foreground, ..Ece::default() };
        assert_eq!(measure(&foreground), Some(0.25));
    }

    #[test]
    fn a_class_that_is_none_has_no_calibration() {
        let third = Ece { confidence: Confidence::Class(2), ..Ece::default() };

        assert_eq!(measure(&third), None);
    }

    #[test]
    fn half_of_the_raters_make_a_prediction_half_right() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[0.3], [0.7]]), arr2(&[[0.5], [0.5]]));
        let pair = ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::soft(&truth)?)?;

        approx::assert_relative_eq!(Ece::default().measure(&pair).unwrap(), 0.2, epsilon = 1e-12);
        Ok(())
    }
}
