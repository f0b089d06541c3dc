//! The order that a challenge puts submissions into.

use std::collections::BTreeMap;

use metrics::{CaseParts, ChallengeConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaseScores, Evaluation};

/// Models in the order of a challenge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRanking {
    /// The name of its rules.
    pub name: String,
    /// Each model, in the order in which they were given.
    pub models: Vec<ChallengePlace>,
}

/// What became of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengePlace {
    /// 1 is the best.
    pub place: usize,
    /// The mean of its ranks by the scores below.
    pub mean_rank: f64,
    /// Score → mean over regions and cases.
    pub means: BTreeMap<String, f64>,
}

/// By what all models were scored on; `None` where not all were scored by one challenge that ranks, or a score of theirs is undefined.
pub(super) fn of(
    evaluations: &[Evaluation],
    cases: &[String],
    of_case: &[BTreeMap<&str, &CaseScores>],
) -> Option<ChallengeRanking> {
    let name = &evaluations.first()?.challenge.as_ref()?.name;
    let same = |it: &Evaluation| it.challenge.as_ref().is_some_and(|it| it.name == *name);
    if !evaluations.iter().all(same) {
        return None;
    }
    let rules: ChallengeConfig = serde_json::from_value(serde_json::json!({ name: {} })).ok()?;
    let of_model = |scores: &BTreeMap<&str, &CaseScores>| -> Vec<CaseParts> {
        cases.iter().map(|id| scores[id.as_str()].challenge.clone()).collect()
    };
    let models: Vec<Vec<CaseParts>> = of_case.iter().map(of_model).collect();
    let placed = rules.as_dyn().rank_rule()?.place(&models)?;
    let models = placed.into_iter().map(|it| ChallengePlace {
        place: it.place,
        mean_rank: it.mean_rank,
        means: it.means,
    });
    Some(ChallengeRanking { name: name.clone(), models: models.collect() })
}
