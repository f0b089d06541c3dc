use serde::{Deserialize, Serialize};

use crate::NonNegative;

/// How the weight of a term changes over a run.
///
/// ```toml
/// [[loss.sum.terms]]
/// weight = 1.0
/// loss.cross_entropy = {}
/// schedule.linear = { from = 1.0, to = 0.0 }
/// [[loss.sum.terms]]
/// weight = 1.0
/// loss.dice = {}
/// schedule.linear = { from = 0.0, to = 1.0 }
/// ```
///
/// The mixtures of Galdran et al. are sums with such terms: *only* is one term, *sum* two of weight 0.5,
/// *linear* the example, and *fine-tune* two steps at 11/12 of the run. They change weights from epoch to
/// epoch, and here from step to step.
///
/// # Source
///
/// Galdran, Carneiro, González Ballester: *On the Optimal Combination of Cross-Entropy and Soft Dice Losses
/// for Lesion Segmentation with Out-of-Distribution Robustness*, DFUC 2022 (MICCAI),
/// [arXiv:2209.06078](https://arxiv.org/abs/2209.06078).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TermSchedule {
    /// From one factor to another along a line.
    Linear {
        /// At the beginning of the run.
        from: NonNegative,
        /// At its end.
        to: NonNegative,
    },
    /// One factor, and from some moment on another.
    Step {
        /// The moment, as a share of the run.
        at: crate::Fraction,
        /// Until then.
        before: NonNegative,
        /// From then on.
        after: NonNegative,
    },
}

impl TermSchedule {
    /// The moments at which it takes a step, as shares of the run, and those just before.
    pub fn moments(self) -> Vec<f64> {
        match self {
            Self::Linear { .. } => Vec::new(),
            Self::Step { at, .. } => vec![at.get(), (at.get() - 1e-6).max(0.0)],
        }
    }

    /// The factor of the weight when a share `done` of the run is done, from 0 to 1.
    pub fn factor(self, done: f64) -> f64 {
        match self {
            Self::Linear { from, to } => {
                let done = done.clamp(0.0, 1.0);
                (1.0 - done) * from.get() + done * to.get()
            }
            Self::Step { at, before, after } => {
                if done < at.get() {
                    before.get()
                } else {
                    after.get()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fraction;

    #[test]
    fn factors_go_from_one_to_the_other() {
        let number = NonNegative::literal;
        let linear = TermSchedule::Linear { from: number(1.0), to: number(0.5) };
        for (done, factor) in [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5), (2.0, 0.5)] {
            approx::assert_abs_diff_eq!(linear.factor(done), factor, epsilon = 1e-15);
        }
        let at = Fraction::literal(0.9);
        let step = TermSchedule::Step { at, before: number(1.0), after: number(0.0) };
        for (done, factor) in [(0.0, 1.0), (0.89, 1.0), (0.9, 0.0), (1.0, 0.0)] {
            approx::assert_abs_diff_eq!(step.factor(done), factor, epsilon = 0.0);
        }
    }
}
