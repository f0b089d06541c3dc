use serde::{Deserialize, Serialize};

use super::{Challenge, ChallengeScore, Part};
use crate::{Bdice, MaskPair, ProbabilityMetricConfig};

/// The rules of QUBIQ: predicted probabilities and the share of raters, both cut at the same thresholds, and the Dice of each averaged, see
/// [`Bdice`].
///
/// # Source
///
/// The challenge *Quantification of Uncertainties in Biomedical Image Quantification*, Li et al., 2024,
/// [arXiv:2405.18435](https://arxiv.org/abs/2405.18435).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qubiq {}

impl Challenge for Qubiq {
    fn name(&self) -> &'static str {
        "qubiq"
    }

    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }

    fn measure(&self, _: &Part, _: &MaskPair) -> Vec<ChallengeScore> {
        Vec::new()
    }

    fn probability_metrics(&self) -> Vec<ProbabilityMetricConfig> {
        vec![Bdice::default().into()]
    }
}
