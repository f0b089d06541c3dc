//! The rules by which challenges score, each by the name of the challenge.

mod brats23;
mod brats24;
mod kits23;
mod lits;
mod qubiq;
mod ranking;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::brats23::Tumour2023;
pub use self::brats24::Tumour2024;
pub use self::ranking::{CaseParts, Placed, RankRule};
use crate::{Counts, MaskPair, ProbabilityMetricConfig, Scale};

/// How a challenge scores: regions, scores of each, and what is of all cases together.
///
/// Averages over cases are whoever evaluates': undefined values are left out of them and counted, also where the challenge's own program
/// puts a number in their place and averages that; each kind says so.
pub trait Challenge: fmt::Debug + Send + Sync {
    /// The name that config files and the command line use, such as `kits23`.
    fn name(&self) -> &'static str;

    /// The regions that are scored, each a union of label values as the challenge numbers them. Empty where it scores probabilities alone.
    fn parts(&self) -> Vec<Part>;

    /// The scores of one of its regions in one case.
    fn measure(&self, part: &Part, pair: &MaskPair) -> Vec<ChallengeScore>;

    /// Scores that are of all cases together, and no mean of theirs.
    fn overall(&self, cases: &[Vec<PartScores>]) -> Vec<ChallengeScore> {
        let _ = cases;
        Vec::new()
    }

    /// How it puts submissions into one order, where it does by what is scored here.
    fn rank_rule(&self) -> Option<RankRule> {
        None
    }

    /// What it scores probabilities by.
    fn probability_metrics(&self) -> Vec<ProbabilityMetricConfig> {
        Vec::new()
    }
}

registry::registry! {
    /// Every challenge of this crate, by the name of its rules.
    pub enum ChallengeConfig: Challenge {
        "kits23" => kits23::Kits23,
        "lits" => lits::Lits,
        "brats23" => brats23::Brats23,
        "brats24" => brats24::Brats24,
        "qubiq" => qubiq::Qubiq,
    }
}

/// A region that a challenge scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the challenge calls it.
    pub name: &'static str,
    /// The label values that it consists of.
    pub labels: &'static [u16],
}

/// A score of a challenge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeScore {
    /// What it is called.
    pub name: String,
    /// The value; `None` where it is undefined.
    pub value: Option<f64>,
    /// What the number is.
    pub scale: Scale,
}

impl ChallengeScore {
    pub(crate) fn new(name: &str, value: Option<f64>, scale: Scale) -> Self {
        Self { name: name.to_owned(), value, scale }
    }
}

/// What a challenge says of one region of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct PartScores {
    /// The region.
    pub part: Part,
    /// Its voxels.
    pub counts: Counts,
    /// Its scores.
    pub scores: Vec<ChallengeScore>,
}

impl PartScores {
    /// Scores a region of a case.
    pub fn of(challenge: &dyn Challenge, part: Part, pair: &MaskPair) -> Self {
        Self { part, counts: pair.counts(), scores: challenge.measure(&part, pair) }
    }

    /// The same of a region whose scores are known already; `None` where the challenge has none of that name.
    pub fn known(
        challenge: &dyn Challenge,
        name: &str,
        counts: Counts,
        scores: Vec<ChallengeScore>,
    ) -> Option<Self> {
        let part = challenge.parts().into_iter().find(|part| part.name == name)?;
        Some(Self { part, counts, scores })
    }

    fn score(&self, name: &str) -> Option<f64> {
        self.scores.iter().find(|score| score.name == name)?.value
    }
}
