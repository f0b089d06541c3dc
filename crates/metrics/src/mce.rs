use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::{Binning, Confidence, Ece, ProbabilityMetric, ProbabilityPair, Scale, Voxels};

/// The maximum calibration error: by how much confidence and accuracy differ in the bin where they differ most.
///
/// Bins and settings are those of [`Ece`]. Undefined where no voxel counts. A bin of a single voxel may decide it: it says what may
/// happen, not what mostly does.
///
/// # Source
///
/// Naeini, Cooper, Hauskrecht: *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mce {
    /// How many bins, all equally wide.
    pub bins: NonZeroUsize,
    /// Which side of a bin its edge belongs to.
    pub binning: Binning,
    /// What is called confidence.
    pub confidence: Confidence,
    /// Which voxels are looked at.
    pub voxels: Voxels,
}

impl Default for Mce {
    fn default() -> Self {
        let Ece { bins, binning, confidence, voxels } = Ece::default();
        Self { bins, binning, confidence, voxels }
    }
}

impl ProbabilityMetric for Mce {
    fn name(&self) -> &'static str {
        "mce"
    }

    fn scale(&self) -> Scale {
        Scale::ERROR
    }

    fn definition(&self) -> String {
        let Self { bins, confidence, voxels, .. } = self;
        let (confidence, voxels) = (confidence.in_words(), voxels.in_words());
        format!(
            "|accuracy − confidence| of the worst of {bins} equal bins, of {confidence}, {voxels}"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let Self { bins, binning, confidence, voxels } = *self;
        Ece { bins, binning, confidence, voxels }.reliability(pair)?.mce()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn the_worst_bin_decides() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[1.0, 1.0, 0.25], [0.0, 0.0, 0.75]]), arr1(&[0, 0, 0]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        assert_eq!(Mce::default().measure(&pair), Some(0.75));
        Ok(())
    }
}
