use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{Empty, Fraction, ProbabilityMetric, ProbabilityPair, Scale};

/// The binarized Dice of soft labels: prediction and truth are cut at the same thresholds, and the
/// Dice coefficients are averaged.
///
/// It asks whether a prediction finds what all raters saw as well as what a few did. A voxel
/// belongs where its probability is at least the threshold. Each class but 0 has its own value;
/// with several, the score is their mean.
///
/// A threshold that neither the prediction nor the truth reaches anywhere says nothing and is left
/// out, unless `empty` says otherwise; where that leaves no threshold the class is undefined, and
/// where it leaves no class so is the score.
///
/// # Source
///
/// The measure of the QUBIQ challenge (Li et al.: *QUBIQ: Uncertainty Quantification for Biomedical
/// Image Segmentation Challenge*, [arXiv:2405.18435](https://arxiv.org/abs/2405.18435)), with the nine
/// thresholds of Wang et al.: *Dice Semimetric Losses*, MICCAI 2023,
/// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bdice {
    /// Where to cut.
    pub thresholds: Vec<Fraction>,
    /// What a threshold is worth that nothing reaches.
    pub empty: Empty,
}

impl Default for Bdice {
    fn default() -> Self {
        const TENTHS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
        Self { thresholds: TENTHS.map(Fraction::literal).to_vec(), empty: Empty::Undefined }
    }
}

/// Voxels at one threshold.
#[derive(Clone, Copy, Default)]
struct Cut {
    predicted: u64,
    true_: u64,
    both: u64,
}

impl Bdice {
    /// The Dice coefficient of one class at each threshold, in their order.
    pub fn by_threshold(&self, pair: &ProbabilityPair<'_>, class: usize) -> Vec<Option<f64>> {
        if pair.expect_class(class).is_err() {
            return vec![None; self.thresholds.len()];
        }
        let thresholds: Vec<_> =
            self.thresholds.iter().map(|threshold| pair.stored(threshold.get())).collect();
        let cuts = pair.fold(
            || vec![Cut::default(); thresholds.len()],
            |cuts, voxel| {
                let (p, t) = (voxel.predicted[class], voxel.truth(class));
                for (cut, threshold) in cuts.iter_mut().zip(&thresholds) {
                    let (predicted, true_) = (p >= threshold.0, t >= threshold.1);
                    cut.predicted += u64::from(predicted);
                    cut.true_ += u64::from(true_);
                    cut.both += u64::from(predicted && true_);
                }
            },
            |cuts, part| {
                for (cut, more) in cuts.iter_mut().zip(part) {
                    cut.predicted += more.predicted;
                    cut.true_ += more.true_;
                    cut.both += more.both;
                }
            },
        );
        let dice = |cut: &Cut| {
            let sum = (cut.predicted + cut.true_) as f64;
            self.empty.divide(2.0 * cut.both as f64, sum, cut.true_ == 0)
        };
        cuts.iter().map(dice).collect()
    }

    /// The score of one class: the mean over the thresholds at which it is defined.
    pub fn of_class(&self, pair: &ProbabilityPair<'_>, class: usize) -> Option<f64> {
        mean(self.by_threshold(pair, class))
    }
}

impl ProbabilityMetric for Bdice {
    fn name(&self) -> &'static str {
        "bdice"
    }

    fn scale(&self) -> Scale {
        Scale::OVERLAP
    }

    fn definition(&self) -> String {
        let cuts: Vec<String> = self.thresholds.iter().map(|it| it.get().to_string()).collect();
        let empty = match self.empty {
            Empty::Perfect => "a cut that nothing reaches is worth 1",
            _ => "cuts that nothing reaches are left out",
        };
        format!(
            "Dice of prediction and soft reference, both cut at {}, mean over cuts (QUBIQ); {empty}",
            cuts.join(", ")
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        mean((1..pair.classes()).map(|class| self.of_class(pair, class)))
    }
}

/// The mean of those that are defined.
fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values
        .into_iter()
        .flatten()
        .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    ratio(sum, count)
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::{Probabilities, Truth};

    fn at(thresholds: &[f64], empty: Empty) -> Bdice {
        let thresholds = thresholds.iter().map(|&t| Fraction::try_from(t).unwrap()).collect();
        Bdice { thresholds, empty }
    }

    #[test]
    fn each_threshold_has_its_own_masks() -> crate::Result<()> {
        // Class 1 by 0, 1, 2 and 3 of four raters, and as predicted.
        let truth = arr2(&[[1.0, 0.75, 0.5, 0.25], [0.0, 0.25, 0.5, 0.75]]);
        let prediction = arr2(&[[0.75, 0.5, 0.75, 0.25], [0.25, 0.5, 0.25, 0.75]]);
        let pair = ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::soft(&truth)?)?;

        // At 0.25: 4 predicted, 3 true, 3 both. At 0.5: 2, 2, 1. At 0.75: 1, 1, 1. At 0.9: none.
        let metric = at(&[0.25, 0.5, 0.75, 0.9], Empty::Undefined);
        let expected = [Some(6.0 / 7.0), Some(0.5), Some(1.0), None];
        assert_eq!(metric.by_threshold(&pair, 1), expected);
        approx::assert_relative_eq!(metric.measure(&pair).unwrap(), (6.0 / 7.0 + 1.5) / 3.0);
        let metric = at(&[0.9], Empty::Perfect);
        assert_eq!(metric.measure(&pair), Some(1.0));
        assert_eq!(at(&[0.9], Empty::Undefined).measure(&pair), None);
        Ok(())
    }

    #[test]
    fn what_all_raters_say_is_the_dice_of_masks() -> crate::Result<()> {
        let truth = arr2(&[[0.0f32, 0.0, 1.0], [1.0, 1.0, 0.0]]);
        let prediction = arr2(&[[0.0f32, 1.0, 1.0], [1.0, 0.0, 0.0]]);
        let pair = ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::soft(&truth)?)?;

        approx::assert_relative_eq!(Bdice::default().measure(&pair).unwrap(), 2.0 / 3.0);
        Ok(())
    }
}
