//! What runs score case by case, as a table that lies beside a study.

use std::io::Write;

use metrics::{MetricConfig, ProbabilityMetricConfig};
use serde_json::json;

use super::{Study, StudyRun};
use crate::Error;
use crate::evaluate::{CaseScores, Definition, Evaluation, MEAN, definition as words};

type Result<T, E = Error> = std::result::Result<T, E>;

/// The scores of every case in every run of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellScores {
    /// One for each case of each run, in the order of runs.
    pub rows: Vec<Row>,
}

/// A case in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The levels of the run's cell, in the order of factors.
    pub levels: Vec<String>,
    /// The run's seed.
    pub seed: u64,
    /// The fold that was held out; `None` where the run file says which.
    pub fold: Option<usize>,
    /// Whom the case is of: cases of one group, such as a patient, are not independent.
    pub group: String,
    /// The case.
    pub case: String,
    /// The study's scores, in their order; `None` where one is undefined.
    pub values: Vec<Option<f64>>,
}

impl CellScores {
    /// Scores that are no metric's own, each made of others:
    ///
    /// - `dice_present`: the Dice of cases whose reference has the class; elsewhere it is undefined;
    /// - `dice_empty_rule`: the Dice; 1 where neither reference nor prediction has the class, as in Galdran et al. (DFUC 2022), where
    ///   Dice itself is undefined;
    /// - `false_alarm`: 1 where something is predicted and the reference has nothing of the class, 0 where nothing is; elsewhere
    ///   undefined.
    pub const DERIVED: [&'static str; 3] = ["dice_present", "dice_empty_rule", "false_alarm"];

    /// Adds the cases of a run, from its evaluation; `group` says whom a case is of.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the evaluation lacks a score of the study.
    pub fn add(
        &mut self,
        study: &Study,
        run: &StudyRun,
        evaluation: &Evaluation,
        group: impl Fn(&str) -> String,
    ) -> Result<()> {
        let class = match (&study.class, evaluation.classes.as_slice()) {
            (Some(class), _) => class,
            (None, [one]) => one,
            (None, _) => MEAN,
        };
        let levels = &study.cells()[run.cell].levels;
        for case in &evaluation.cases {
            let value = |score: &String| {
                value(case, class, score).map(|found| found.map(rounded)).map_err(|NotScored| {
                    let run = run.folder.display();
                    Error::Settings(format!("{run} was not scored by {score} of {class}"))
                })
            };
            self.rows.push(Row {
                levels: levels.clone(),
                seed: run.seed,
                fold: run.fold,
                group: group(&case.id),
                case: case.id.clone(),
                values: study.scores.iter().map(value).collect::<Result<_>>()?,
            });
        }
        Ok(())
    }

    /// As CSV: a column for each factor, then `seed`, `fold`, `group`, `case` and the scores, empty where one is undefined.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where it cannot be written.
    pub fn to_csv(&self, study: &Study, out: impl Write) -> Result<()> {
        let cannot = |error: csv::Error| Error::Settings(format!("cannot write scores: {error}"));
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(header(study)).map_err(cannot)?;
        for row in &self.rows {
            let mut record = row.levels.clone();
            record.push(row.seed.to_string());
            record.push(row.fold.map(|fold| fold.to_string()).unwrap_or_default());
            record.extend([row.group.clone(), row.case.clone()]);
            let values = row.values.iter();
            record.extend(values.map(|value| value.map(|it| it.to_string()).unwrap_or_default()));
            writer.write_record(record).map_err(cannot)?;
        }
        writer.flush().map_err(|error| cannot(error.into()))
    }

    /// Reads what [`CellScores::to_csv`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where columns or values are not those of the study.
    pub fn from_csv(study: &Study, text: &[u8]) -> Result<Self> {
        let wrong = |what: String| Error::Settings(format!("the scores of the study: {what}"));
        let mut reader = csv::Reader::from_reader(text);
        let found = reader.headers().map_err(|error| wrong(error.to_string()))?;
        let expected = header(study);
        if found.iter().ne(expected.iter().map(String::as_str)) {
            let found = found.iter().collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("columns are {found}, not {}", expected.join(", "))));
        }
        let factors = study.factors.len();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |text: &str| wrong(format!("line {line}: {text:?} is no number"));
            let own: Vec<&str> = record.iter().skip(factors).collect();
            let number = |text: &str| text.parse::<u64>().map_err(|_| cell(text));
            let value = |text: &str| match text {
                "" => Ok(None),
                text => text.parse::<f64>().map(Some).map_err(|_| cell(text)),
            };
            rows.push(Row {
                levels: record.iter().take(factors).map(str::to_owned).collect(),
                seed: number(own[0])?,
                fold: if own[1].is_empty() {
                    None
                } else {
                    Some(usize::try_from(number(own[1])?).map_err(|_| cell(own[1]))?)
                },
                group: own[2].to_owned(),
                case: own[3].to_owned(),
                values: record.iter().skip(factors + 4).map(value).collect::<Result<_>>()?,
            });
        }
        Ok(Self { rows })
    }
}

fn header(study: &Study) -> Vec<String> {
    let factors = study.factors.iter().map(|factor| factor.name.clone());
    let own = ["seed", "fold", "group", "case"].map(str::to_owned);
    factors.chain(own).chain(study.scores.iter().cloned()).collect()
}

/// To six places: what is stored is what tables are made of.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}

/// A case was not scored by this.
struct NotScored;

/// A score of a case, which may be undefined.
fn value(case: &CaseScores, class: &str, score: &str) -> Result<Option<f64>, NotScored> {
    let masks = || case.masks.get(class).ok_or(NotScored);
    let counts = || case.voxels.get(class).ok_or(NotScored);
    match score {
        "dice_present" => {
            let dice = masks()?.get("dice").ok_or(NotScored)?;
            Ok(dice.filter(|_| case.voxels.get(class).is_some_and(|it| it.reference() > 0)))
        }
        "dice_empty_rule" => {
            let dice = *masks()?.get("dice").ok_or(NotScored)?;
            let empty = counts()?.reference() == 0 && counts()?.prediction() == 0;
            Ok(if empty { Some(1.0) } else { dice })
        }
        "false_alarm" => {
            let alarm = f64::from(u8::from(counts()?.prediction() > 0));
            Ok((counts()?.reference() == 0).then_some(alarm))
        }
        score => {
            let found = masks().ok().and_then(|scores| scores.get(score));
            found.or_else(|| case.probabilities.get(score)).copied().ok_or(NotScored)
        }
    }
}

/// What a score of cases is; `None` where there is no such score.
pub(super) fn definition(score: &str) -> Option<Definition> {
    let derived = |text: &str, larger_is_better: bool| {
        Some(Definition { text: text.to_owned(), larger_is_better, ..Definition::default() })
    };
    match score {
        "dice_present" => {
            return derived("Dice of cases whose reference has the class", true);
        }
        "dice_empty_rule" => {
            return derived(
                "Dice; 1 where neither reference nor prediction has the class, 0 where one of them has",
                true,
            );
        }
        "false_alarm" => {
            return derived(
                "whether something is predicted, in cases whose reference has nothing of the class",
                false,
            );
        }
        _ => {}
    }
    let probability = if score == "case_ece" { "ece" } else { score };
    let masks = serde_json::from_value::<MetricConfig>(json!({ score: {} }));
    let probabilities =
        serde_json::from_value::<ProbabilityMetricConfig>(json!({ probability: {} }));
    match (masks, probabilities) {
        (Ok(metric), _) => Some(words::of_masks(&metric)),
        (_, Ok(metric)) if score != "ece" => Some(words::of_probabilities(&metric, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use metrics::Counts;

    use super::*;

    /// The derived scores of a case with as many voxels of the reference, of the prediction, and of both.
    fn derived(reference: u64, prediction: u64, both: u64) -> Vec<Option<f64>> {
        let counts = Counts {
            true_positives: both,
            false_positives: prediction - both,
            false_negatives: reference - both,
            ..Counts::default()
        };
        let all = reference + prediction;
        let dice = (all > 0).then(|| 2.0 * both as f64 / all as f64);
        let case = CaseScores {
            masks: [("polyp".to_owned(), [("dice".to_owned(), dice)].into())].into(),
            voxels: [("polyp".to_owned(), counts)].into(),
            ..CaseScores::default()
        };
        let of = |score| value(&case, "polyp", score).map_err(|_| score).expect("it was scored");
        CellScores::DERIVED.map(of).to_vec()
    }

    #[test]
    fn cases_without_the_class_are_told_apart() {
        assert_eq!(derived(4, 4, 2), [Some(0.5), Some(0.5), None]);
        assert_eq!(derived(4, 0, 0), [Some(0.0), Some(0.0), None]);
        assert_eq!(derived(0, 3, 0), [None, Some(0.0), Some(1.0)]);
        assert_eq!(derived(0, 0, 0), [None, Some(1.0), Some(0.0)]);
        assert!(value(&CaseScores::default(), "polyp", "dice").is_err());
    }

    #[test]
    fn scores_of_studies_are_known_by_name() {
        let larger = |score| definition(score).map(|found| found.larger_is_better);

        for score in
            ["dice", "bdice", "recall"].into_iter().chain(["dice_present", "dice_empty_rule"])
        {
            assert_eq!(larger(score), Some(true), "{score}");
        }
        for score in ["case_ece", "nll", "brier", "hd95", "false_alarm"] {
            assert_eq!(larger(score), Some(false), "{score}");
        }
        assert_eq!((larger("ece"), larger("wisdom")), (None, None));
    }
}
