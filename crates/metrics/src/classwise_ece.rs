use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::{Binning, ProbabilityMetric, ProbabilityPair, Reliability, Scale, Voxels};

/// The calibration error of each class by itself, averaged over the classes; also called static
/// calibration error.
///
/// Undefined where no voxel counts, or no class is left.
///
/// The evaluation of Wang et al. (*Dice Semimetric Losses*, 2023) calls a class right only where
/// it is also the predicted one; `chosen_only` reproduces that. Such an error is not 0 for a
/// perfectly calibrated model.
///
/// # Source
///
/// Nixon et al.: *Measuring Calibration in Deep Learning*, CVPR Workshops 2019,
/// [arXiv:1904.01685](https://arxiv.org/abs/1904.01685).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClasswiseEce {
    /// How many bins, all equally wide.
    pub bins: NonZeroUsize,
    /// Which side of a bin its edge belongs to.
    pub binning: Binning,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether a class is right only where the prediction chooses it.
    pub chosen_only: bool,
    /// Which voxels are looked at.
    pub voxels: Voxels,
}

impl Default for ClasswiseEce {
    fn default() -> Self {
        Self {
            bins: crate::DEFAULT_BINS,
            binning: Binning::LeftClosed,
            include_background: true,
            chosen_only: false,
            voxels: Voxels::All,
        }
    }
}

impl ClasswiseEce {
    /// The table of one class; `None` where there is no such class.
    pub fn reliability(&self, pair: &ProbabilityPair<'_>, class: usize) -> Option<Reliability> {
        pair.expect_class(class).ok()?;
        Some(Reliability::gather(
            pair,
            self.bins,
            self.binning,
            self.voxels,
            |block, sure, right| {
                block.sum(class..class + 1, sure, right);
                if self.chosen_only {
                    let mut chosen = vec![true; block.len()];
                    block.keep_chosen(class, &mut chosen);
                    let others = right.iter_mut().zip(chosen).filter(|(_, chosen)| !chosen);
                    others.for_each(|(right, _)| *right = 0.0);
                }
            },
        ))
    }
}

impl ProbabilityMetric for ClasswiseEce {
    fn name(&self) -> &'static str {
        "classwise_ece"
    }

    fn scale(&self) -> Scale {
        Scale::ERROR
    }

    fn label(&self) -> String {
        if self.chosen_only { "sce".to_owned() } else { "classwise_ece".to_owned() }
    }

    fn definition(&self) -> String {
        let (bins, voxels) = (self.bins, self.voxels.in_words());
        let chosen = if self.chosen_only {
            "; a class is right only where it is also predicted (Wang et al.), so that 0 is not the best possible"
        } else {
            ""
        };
        format!(
            "calibration error of each class by itself, {bins} equal bins, mean over classes, {voxels}{chosen}"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let classes = usize::from(!self.include_background)..pair.classes();
        let count = classes.len();
        let errors = classes.map(|class| self.reliability(pair, class)?.ece());
        let sum = errors.sum::<Option<f64>>()?;
        (count > 0).then(|| sum / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn each_class_has_its_own_error() -> crate::Result<()> {
        let prediction = arr2(&[[0.5, 0.5], [0.5, 0.25], [0.0, 0.25]]);
        let truth = arr1(&[0, 1]);
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        // Class 0 is right once of twice at 0.5: 0. Class 1: 0 at 0.5, 1 at 0.25: (0.5 + 0.75) / 2.
        // Class 2: never, at 0 and 0.25: 0.125.
        let error = |metric: ClasswiseEce| metric.measure(&pair);
        assert_eq!(error(ClasswiseEce::default()), Some((0.625 + 0.125) / 3.0));
        let without = ClasswiseEce { include_background: false, ..ClasswiseEce::default() };
        assert_eq!(error(without), Some(0.375));
        // Class 1 is not chosen at the second voxel, and so never right: (0.5 + 0.25) / 2.
        let chosen = ClasswiseEce { chosen_only: true, ..ClasswiseEce::default() };
        assert_eq!(error(chosen), Some((0.375 + 0.125) / 3.0));
        Ok(())
    }
}
