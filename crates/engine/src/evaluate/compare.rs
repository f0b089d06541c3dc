//! Several evaluations of the same cases, side by side.

use std::collections::{BTreeMap, BTreeSet};

use metrics::{RankStability, Summary, Wilcoxon};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paired::{paired, ranked};
use super::ranking::{self, ChallengeRanking};
use super::score::MEAN;
use super::{CaseScores, Evaluation};
use crate::file::Versioned;
use crate::{Error, Result};

/// How models compare on the cases that all of them were scored on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The version of this format: 1.
    pub schema: u32,
    /// The models, in the order in which they were given.
    pub models: Vec<String>,
    /// The cases that all of them were scored on.
    pub cases: Vec<String>,
    /// Cases that only some were scored on, and that are left out.
    pub left_out: Vec<String>,
    /// One entry for each score of each class, and for each score of probabilities.
    pub scores: Vec<ComparedScore>,
    /// The order that a challenge puts them into, where all were scored by the rules of one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeRanking>,
}

impl Versioned for Comparison {
    const SCHEMA: u32 = 1;
}

/// One score of all models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparedScore {
    /// The class; empty for scores of probabilities, which are of all classes.
    pub class: String,
    /// The score.
    pub score: String,
    /// What it is, in one line.
    pub definition: String,
    /// Whether larger values are better.
    pub larger_is_better: bool,
    /// Each model's, in their order.
    pub models: Vec<ModelScore>,
    /// Each two models, the one that was given first as the first.
    pub pairs: Vec<Pair>,
}

/// A score of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelScore {
    /// Over cases.
    pub summary: Summary,
    /// The 95 % interval of the mean, by the bootstrap over cases.
    pub interval: Option<[f64; 2]>,
    /// Its rank among the models by the mean over cases where all are defined; `None` where there are fewer than two.
    pub rank: Option<RankStability>,
}

/// Two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Their places among the models.
    pub models: [usize; 2],
    /// The first minus the second, over cases where both are defined.
    pub difference: Summary,
    /// The 95 % interval of its mean.
    pub interval: Option<[f64; 2]>,
    /// Whether differences lie to one side; `None` where no two differ.
    pub test: Option<Wilcoxon>,
    /// Its p-value, corrected by Holm for all pairs of this score.
    pub p_corrected: Option<f64>,
}

/// Compares models; of several classes `class`, or their mean where it is `None`, and all scores of probabilities.
///
/// A difference that is not significant is no proof that there is none: look at its interval. Cases of one patient are not independent,
/// and make differences look more certain than they are.
///
/// # Errors
///
/// [`Error::Settings`], where there are fewer than two models, no case that all have, or no such class.
pub fn compare(evaluations: &[Evaluation], class: Option<&str>) -> Result<Comparison> {
    let [first, _, ..] = evaluations else {
        return Err(Error::Settings("a comparison needs two evaluations at least".to_owned()));
    };
    let ids = |evaluation: &Evaluation| -> BTreeSet<String> {
        evaluation.cases.iter().map(|case| case.id.clone()).collect()
    };
    let all: BTreeSet<String> = evaluations.iter().flat_map(ids).collect();
    let common =
        |id: &String| evaluations.iter().all(|it| it.cases.iter().any(|case| case.id == *id));
    let (cases, left_out): (Vec<String>, Vec<String>) = all.into_iter().partition(common);
    if cases.is_empty() {
        return Err(Error::Settings(
            "no case was scored by all of them; compare evaluations of the same data set"
                .to_owned(),
        ));
    }
    let class = match (class, first.classes.as_slice()) {
        (Some(class), _) => class,
        (None, [one]) => one,
        (None, _) => MEAN,
    };
    let has = |evaluation: &Evaluation| evaluation.masks.contains_key(class);
    if let Some(without) = evaluations.iter().find(|it| !has(it)) {
        return Err(Error::Settings(format!(
            "{} has no scores of {class}; it has {}",
            without.name,
            without.masks.keys().cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let of_case: Vec<BTreeMap<&str, &CaseScores>> = evaluations
        .iter()
        .map(|it| it.cases.iter().map(|case| (case.id.as_str(), case)).collect())
        .collect();
    let masks =
        |case: &CaseScores, score: &str| case.masks.get(class)?.get(score).copied().flatten();
    let probabilities =
        |case: &CaseScores, score: &str| case.probabilities.get(score).copied().flatten();
    let values = |score: &str, of: &dyn Fn(&CaseScores, &str) -> Option<f64>| {
        let of_model = |cases_of: &BTreeMap<&str, &CaseScores>| {
            cases.iter().map(|id| of(cases_of[id.as_str()], score)).collect::<Vec<_>>()
        };
        of_case.iter().map(of_model).collect::<Vec<_>>()
    };
    let everywhere = |score: &&String| {
        evaluations.iter().all(|it| it.definitions.get(*score) == first.definitions.get(*score))
    };
    let mut scores = Vec::new();
    for score in first.masks[class].keys().filter(everywhere) {
        scores.push(compared(first, class, score, &values(score, &masks)));
    }
    for score in first.probabilities.keys().filter(everywhere) {
        scores.push(compared(first, "", score, &values(score, &probabilities)));
    }
    let challenge = ranking::of(evaluations, &cases, &of_case);
    Ok(Comparison {
        schema: Comparison::SCHEMA,
        models: evaluations.iter().map(|it| it.name.clone()).collect(),
        cases,
        left_out,
        scores,
        challenge,
    })
}

/// One score: `values` of each model, over the same cases.
fn compared(
    first: &Evaluation,
    class: &str,
    score: &str,
    values: &[Vec<Option<f64>>],
) -> ComparedScore {
    let definition = first.definitions.get(score);
    let larger_is_better = definition.is_some_and(|it| it.larger_is_better);
    let each_two = (0..values.len()).flat_map(|b| (0..b).map(move |a| [a, b]));
    ComparedScore {
        class: class.to_owned(),
        score: score.to_owned(),
        definition: definition.map(|it| it.text.clone()).unwrap_or_default(),
        larger_is_better,
        models: ranked(values, larger_is_better),
        pairs: paired(values, each_two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{ChallengeSummary, Definition};

    fn evaluation(name: &str, dice: &[(&str, f64)]) -> Evaluation {
        let case = |(id, dice): &(&str, f64)| CaseScores {
            id: (*id).to_owned(),
            masks: [("liver".to_owned(), [("dice".to_owned(), Some(*dice))].into())].into(),
            ..CaseScores::default()
        };
        let definition = Definition { larger_is_better: true, ..Definition::default() };
        Evaluation {
            name: name.to_owned(),
            classes: vec!["liver".to_owned()],
            definitions: [("dice".to_owned(), definition)].into(),
            masks: [("liver".to_owned(), [("dice".to_owned(), Summary::default())].into())].into(),
            cases: dice.iter().map(case).collect(),
            ..Evaluation::default()
        }
    }

    #[test]
    fn a_challenge_orders_what_was_scored_by_its_rules() -> anyhow::Result<()> {
        let scored = |name: &str, [dice, surface_dice]: [f64; 2]| {
            let mut found = evaluation(name, &[("a", 0.5), ("b", 0.5)]);
            let scores: BTreeMap<_, _> =
                [("dice".to_owned(), Some(dice)), ("surface_dice".to_owned(), Some(surface_dice))]
                    .into();
            let regions = ["kidney_and_mass", "mass", "tumor"].map(str::to_owned);
            for case in &mut found.cases {
                case.challenge = regions.iter().map(|it| (it.clone(), scores.clone())).collect();
            }
            found.challenge =
                Some(ChallengeSummary { name: "kits23".to_owned(), ..Default::default() });
            found
        };
        let [one, other] = [scored("one", [0.75, 0.5]), scored("other", [0.5, 0.75])];

        let found = compare(&[other.clone(), one.clone()], None)?.challenge.expect("a ranking");

        // Alike by ranks; the Dice of tumours decides.
        assert_eq!(found.models.iter().map(|it| it.mean_rank).collect::<Vec<_>>(), [1.5, 1.5]);
        assert_eq!(found.models.iter().map(|it| it.place).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(found.models[1].means.get("dice"), Some(&0.75));
        let unlike = evaluation("unlike", &[("a", 0.5), ("b", 0.5)]);
        assert_eq!(compare(&[one, unlike], None)?.challenge, None);
        Ok(())
    }

    #[test]
    fn models_are_compared_case_by_case() -> anyhow::Result<()> {
        let ids = ["a", "b", "c", "d", "e", "f"];
        let scores = |by: f64| {
            let worse = |(at, id): (u32, &&'static str)| (*id, 0.9 - f64::from(at) * by);
            (0..).zip(&ids).map(worse).collect::<Vec<_>>()
        };
        let one = evaluation("one", &scores(0.01));
        let mut other = scores(0.02);
        other.push(("g", 0.1));
        let other = evaluation("other", &other);
        let third = evaluation("third", &scores(0.01));

        let found = compare(&[one.clone(), other, third], None)?;

        assert_eq!((found.cases.len(), &found.left_out), (6, &vec!["g".to_owned()]));
        let dice = &found.scores[0];
        assert_eq!(dice.models[0].rank.as_ref().map(|rank| rank.rank), Some(1.5));
        assert_eq!(dice.models[1].rank.as_ref().map(|rank| rank.rank), Some(3.0));
        // Five of six differ, all to one side: 2 / 2⁵; two tests.
        let pair = &dice.pairs[0];
        assert_eq!((pair.models, pair.test.map(|test| test.p_value)), ([0, 1], Some(0.0625)));
        assert_eq!(pair.p_corrected, Some(0.125));
        approx::assert_relative_eq!(
            pair.difference.mean.unwrap_or_default(),
            0.025,
            epsilon = 1e-12
        );
        assert_eq!((dice.pairs[1].models, dice.pairs[1].test), ([0, 2], None));

        assert_eq!(found.challenge, None);
        let wrong = compare(std::slice::from_ref(&one), None).unwrap_err().to_string();
        assert!(wrong.contains("two evaluations"), "{wrong}");
        let wrong = compare(&[one.clone(), evaluation("z", &[("z", 0.5)])], None).unwrap_err();
        assert!(wrong.to_string().contains("no case"), "{wrong}");
        let wrong = compare(&[one.clone(), one], Some("spleen")).unwrap_err().to_string();
        assert!(wrong.contains("no scores of spleen"), "{wrong}");
        Ok(())
    }
}
