//! An evaluation that several processes share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calibration::Accumulator;
use super::score::fine_grained;
use super::scored::Scored;
use super::{Evaluation, Evaluator};
use crate::file::Versioned;
use crate::{Error, Provenance, Result};

/// What one of several processes scored: some of the cases of an evaluation, each by itself, so that
/// [`merge`] comes to what one process would have, to the last bit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The version of this format: 1.
    schema: u32,
    /// How many cases the whole evaluation has.
    total: usize,
    /// What the whole evaluation says of itself, without cases.
    frame: Evaluation,
    /// Cases by their place among all.
    cases: BTreeMap<usize, Evaluator>,
}

impl Versioned for Part {
    const SCHEMA: u32 = 1;
}

impl Part {
    /// Of an evaluation of so many cases, without any yet.
    pub fn new(evaluator: &Evaluator, total: usize) -> Self {
        let frame = evaluator.fresh().finish();
        Self { schema: Self::SCHEMA, total, frame, cases: BTreeMap::new() }
    }

    /// Adds a case, which was added to what [`Evaluator::fresh`] gives, by its place among all cases,
    /// from 0.
    pub fn add(&mut self, place: usize, case: Evaluator) {
        self.cases.insert(place, case);
    }

    /// With more that is to be said of the whole evaluation.
    #[must_use]
    pub fn framed(self, frame: impl FnOnce(Evaluation) -> Evaluation) -> Self {
        Self { frame: frame(self.frame), ..self }
    }

    /// Its cases.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.cases.values().flat_map(|it| &it.cases).map(|case| case.id.as_str())
    }

    /// How many cases all parts have together.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Of what the parts of one evaluation agree.
    fn of(&self) -> (usize, &str, &str, Option<&String>, Vec<&String>, String) {
        let Evaluation { name, dataset, classes, weights, provenance, .. } = &self.frame;
        // Another device or number of threads makes no other evaluation.
        let made = provenance.clone().unwrap_or_default();
        let made = Provenance { command: String::new(), ..made };
        let made = format!("{made:?} {:?} {:?}", self.frame.unmatched, self.frame.scaling);
        (self.total, name, dataset, weights.as_ref(), classes.iter().collect(), made)
    }
}

/// Puts the parts of an evaluation together; of what they say of themselves, the first is right.
///
/// # Errors
///
/// [`Error::Settings`], where they are of different evaluations, where a case is in two of them, or
/// some are missing.
pub fn merge(parts: Vec<Part>) -> Result<Evaluation> {
    let wrong = |what: String| Err(Error::Settings(what));
    let Some(first) = parts.first() else { return wrong("there is no part to merge".to_owned()) };
    if parts.iter().any(|part| part.of() != first.of()) {
        return wrong(
            "the parts are of different evaluations: other cases, weights, settings, or another version of the \
             program; score all parts anew, by the same command"
                .to_owned(),
        );
    }
    let (total, mut frame) = (first.total, None);
    let mut cases = BTreeMap::new();
    for part in parts {
        frame = frame.or(Some(part.frame));
        for (place, case) in part.cases {
            if cases.insert(place, case).is_some() {
                return wrong(format!(
                    "case number {} is in two parts; remove those that are of another number of shards",
                    place + 1
                ));
            }
        }
    }
    if cases.len() != total {
        return wrong(format!(
            "the parts have {} of {total} cases; score the missing shards first",
            cases.len()
        ));
    }
    let mut cases = cases.into_values();
    let frame = frame.unwrap_or_default();
    let Some(mut all) = cases.next() else { return Ok(frame) };
    for case in cases {
        all.absorb(case)?;
    }
    let found = all.finish();
    let scored_data = found.provenance.as_ref().and_then(|it| it.scored_data.clone());
    Ok(Evaluation {
        name: frame.name,
        dataset: frame.dataset,
        weights: frame.weights,
        scaling: frame.scaling,
        provenance: frame.provenance.map(|it| Provenance { scored_data, ..it }),
        unmatched: frame.unmatched,
        ..found
    })
}

impl Evaluator {
    /// One for the same classes and scores, without a case.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self {
            name: self.name.clone(),
            dataset: self.dataset.clone(),
            classes: self.classes.iter().map(Scored::fresh).collect(),
            regions: self.regions,
            channels: self.channels,
            config: self.config.clone(),
            cases: Vec::new(),
            calibration: Accumulator::new(),
            challenge: self.challenge.as_ref().map(super::challenge::Scored::fresh),
            fine: fine_grained(self.classes.len()),
            files: BTreeMap::new(),
            contents: BTreeMap::new(),
        }
    }

    /// Adds the cases of another of the same classes and scores, after its own.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where it has others.
    pub fn absorb(&mut self, other: Self) -> Result<()> {
        let of = |it: &Self| {
            it.classes.iter().map(|it| (it.name.clone(), it.values.clone())).collect::<Vec<_>>()
        };
        if (of(self), self.regions, &self.config) != (of(&other), other.regions, &other.config) {
            return Err(Error::Settings(
                "cases are scored by different classes or scores; score all of them by the same command"
                    .to_owned(),
            ));
        }
        if let Some(channels) = other.channels {
            self.expect_channels(channels)?;
        }
        for (class, more) in self.classes.iter_mut().zip(other.classes) {
            class.merge(more)?;
        }
        self.calibration.merge(&other.calibration)?;
        if let (Some(challenge), Some(more)) = (&mut self.challenge, other.challenge) {
            challenge.merge(more);
        }
        self.fine.merge(other.fine);
        self.cases.extend(other.cases);
        self.files.extend(other.files);
        self.contents.extend(other.contents);
        Ok(())
    }
}
