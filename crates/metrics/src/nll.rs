use serde::{Deserialize, Serialize};

use crate::{Fraction, ProbabilityMetric, ProbabilityPair, Scale};

/// The negative log-likelihood: the mean over voxels of `−Σ t ln p` over the classes, nats.
///
/// Undefined where no voxel counts. From 0; where the truth is soft, from its own entropy. It is a
/// proper score: it rewards accuracy as well as calibration, and certainty about a wrong class
/// costs more than anything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nll {
    /// Probabilities are kept this far away from 0 and 1. With 0, a class that was called
    /// impossible and occurs makes the score infinite.
    pub clip: Fraction,
    /// Whether class 0 counts. Without it, voxels of background cost nothing, whatever was
    /// predicted there: what the evaluation of Yeung et al. (DSC++) reports.
    pub include_background: bool,
}

impl Default for Nll {
    fn default() -> Self {
        Self { clip: Fraction::literal(1e-7), include_background: true }
    }
}

impl ProbabilityMetric for Nll {
    fn name(&self) -> &'static str {
        "nll"
    }

    fn scale(&self) -> Scale {
        Scale::NATS
    }

    fn definition(&self) -> String {
        let (clip, of) =
            (self.clip.get(), if self.include_background { "" } else { ", class 0 left out" });
        format!(
            "mean negative log likelihood of the true class probabilities, nats, probabilities of at least {clip}{of}"
        )
    }

    fn measure(&self, pair: &ProbabilityPair<'_>) -> Option<f64> {
        let clip = self.clip.get().min(0.5);
        let first = usize::from(!self.include_background);

        let (sum, count) = pair.fold(
            || (0.0, 0u64),
            |total, voxel| {
                for (class, p) in voxel.predicted.iter().enumerate().skip(first) {
                    let t = voxel.truth(class);
                    // What does not occur costs nothing, even where it was called impossible.
                    if t > 0.0 {
                        total.0 -= t * p.clamp(clip, 1.0 - clip).ln();
                    }
                }
                total.1 += 1;
            },
            |total, part| *total = (total.0 + part.0, total.1 + part.1),
        );
        (count > 0).then(|| sum / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::{Probabilities, Truth};

    #[test]
    fn the_true_class_alone_costs() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[0.5, 0.0], [0.5, 1.0]]), arr1(&[0, 1]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        let exact = Nll { clip: Fraction::literal(0.0), ..Nll::default() };
        approx::assert_relative_eq!(exact.measure(&pair).unwrap(), 2f64.ln() / 2.0);
        let foreground = Nll { include_background: false, ..exact };
        assert_eq!(foreground.measure(&pair), Some(0.0));
        Ok(())
    }

    #[test]
    fn the_impossible_costs_what_the_clip_says() -> crate::Result<()> {
        let (prediction, truth) = (arr2(&[[0.0], [1.0]]), arr1(&[0]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, None))?;

        approx::assert_relative_eq!(Nll::default().measure(&pair).unwrap(), 7.0 * 10f64.ln());
        let exact = Nll { clip: Fraction::literal(0.0), ..Nll::default() };
        assert_eq!(exact.measure(&pair), Some(f64::INFINITY));
        Ok(())
    }
}
