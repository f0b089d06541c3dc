//! The rules of a challenge, case by case.

use std::collections::BTreeMap;

use metrics::{ChallengeConfig, ChallengeScore, Counts, MaskPair, PartScores, Region, Summary};
use serde::{Deserialize, Serialize};
use volume::LabelMap;

use super::{ChallengeSummary, Definition, Reference, definition};
use crate::Result;

/// What a challenge has said of the cases so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct Scored {
    rules: ChallengeConfig,
    cases: Vec<Vec<PartScores>>,
}

/// The same in a file, where a region is known by its name.
#[derive(Serialize, Deserialize)]
struct Written {
    rules: ChallengeConfig,
    cases: Vec<Vec<(String, Counts, Vec<ChallengeScore>)>>,
}

impl From<Scored> for Written {
    fn from(scored: Scored) -> Self {
        let part = |it: PartScores| (it.part.name.to_owned(), it.counts, it.scores);
        let case = |parts: Vec<PartScores>| parts.into_iter().map(part).collect();
        Self { rules: scored.rules, cases: scored.cases.into_iter().map(case).collect() }
    }
}

impl TryFrom<Written> for Scored {
    type Error = String;

    fn try_from(Written { rules, cases }: Written) -> Result<Self, String> {
        let part = |(name, counts, scores): (String, Counts, Vec<ChallengeScore>)| {
            PartScores::known(rules.as_dyn(), &name, counts, scores)
                .ok_or_else(|| format!("{} has no region {name}", rules.as_dyn().name()))
        };
        let case = |parts: Vec<_>| parts.into_iter().map(part).collect::<Result<Vec<_>, _>>();
        let cases = cases.into_iter().map(case).collect::<Result<_, _>>()?;
        Ok(Self { rules, cases })
    }
}

impl Scored {
    pub(super) fn new(rules: ChallengeConfig) -> Self {
        Self { rules, cases: Vec::new() }
    }

    /// The same rules, of no case.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.rules.clone())
    }

    /// Adds other cases, after its own.
    pub(super) fn merge(&mut self, other: Self) {
        self.cases.extend(other.cases);
    }

    /// Scores a case: region → score → value.
    pub(super) fn add(
        &mut self,
        labels: &LabelMap,
        reference: &Reference,
    ) -> Result<BTreeMap<String, BTreeMap<String, Option<f64>>>> {
        let rules = self.rules.as_dyn();
        let mut case = Vec::new();
        for part in rules.parts() {
            let region = Region::union(part.labels).ignoring(reference.ignore);
            let pair = MaskPair::of_region(&reference.hard, labels, &region)?;
            case.push(PartScores::of(rules, part, &pair));
        }
        let values = |scores: &[ChallengeScore]| {
            scores.iter().map(|score| (score.name.clone(), score.value)).collect()
        };
        let found =
            case.iter().map(|part| (part.part.name.to_owned(), values(&part.scores))).collect();
        self.cases.push(case);
        Ok(found)
    }

    /// What all cases came to; `probabilities` are scores of theirs, among which are those that the challenge asks for.
    pub(super) fn finish(&self, probabilities: &BTreeMap<String, Summary>) -> ChallengeSummary {
        let mut regions: BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>> = BTreeMap::new();
        for part in self.cases.iter().flatten() {
            let region = regions.entry(part.part.name.to_owned()).or_default();
            for score in &part.scores {
                region.entry(score.name.clone()).or_default().push(score.value);
            }
        }
        let summed = |scores: BTreeMap<String, Vec<Option<f64>>>| {
            scores.into_iter().map(|(name, values)| (name, Summary::of(values))).collect()
        };
        let rules = self.rules.as_dyn();
        let overall = rules.overall(&self.cases).into_iter().map(|score| (score.name, score.value));
        let asked = rules.probability_metrics().into_iter().filter_map(|metric| {
            let name = definition::name(metric.as_dyn());
            let mean = probabilities.get(&name)?.mean;
            Some((name, mean))
        });
        ChallengeSummary {
            name: rules.name().to_owned(),
            regions: regions.into_iter().map(|(region, scores)| (region, summed(scores))).collect(),
            overall: overall.chain(asked).collect(),
        }
    }

    /// Of each score, that its definition is the challenge's.
    pub(super) fn definitions(&self) -> impl Iterator<Item = (String, Definition)> {
        let name = self.rules.name();
        let overall = self.rules.as_dyn().overall(&self.cases);
        let parts = self.cases.iter().flatten().flat_map(|part| part.scores.iter().cloned());
        parts.chain(overall).map(move |score| {
            let text = format!("{}, by the rules of {name}", score.name);
            (format!("{name}/{}", score.name), definition::definition(&text, score.scale))
        })
    }
}
