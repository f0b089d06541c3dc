//! From scores of cases to a table: means with intervals, ranks, and tests of what a study asks.

use std::collections::BTreeMap;

use metrics::{RankStability, Summary, Wilcoxon};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scores::{CellScores, Row, definition};
use super::{Cell, Study};
use crate::evaluate::{ModelScore, paired, ranked};
use crate::file::Versioned;
use crate::{Error, Result};

/// What came out of a study.
///
/// A case's value in a cell is its mean over seeds (and folds) where it is defined; cases of one group, such as a patient, then count
/// as one, by their mean. Means, intervals, ranks and tests are over groups: were they over cases, slices of one patient would make
/// differences look more certain than they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyTable {
    /// The version of this format: 1.
    pub schema: u32,
    /// What is studied.
    pub title: String,
    /// The claim under test.
    pub claim: String,
    /// What came out.
    pub caption: String,
    /// The factors.
    pub factors: Vec<String>,
    /// The levels of each cell, in the order of factors.
    pub cells: Vec<Vec<String>>,
    /// The seeds that each cell was trained by.
    pub seeds: Vec<u64>,
    /// How many runs there were.
    pub runs: usize,
    /// How many cases were scored in each cell.
    pub cases: usize,
    /// How many groups these are of.
    pub groups: usize,
    /// One entry for each score.
    pub scores: Vec<ScoreTable>,
}

impl Versioned for StudyTable {
    const SCHEMA: u32 = 1;
}

/// One score of all cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreTable {
    /// The score.
    pub score: String,
    /// What it is, in one line.
    pub definition: String,
    /// Whether larger values are better.
    pub larger_is_better: bool,
    /// Each cell's, in their order.
    pub cells: Vec<CellScore>,
    /// Each pair of cells that the study asks for.
    pub contrasts: Vec<ContrastScore>,
}

/// A score of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellScore {
    /// Over groups.
    pub summary: Summary,
    /// The standard deviation over seeds, of the mean over groups; `None` where there is one seed.
    pub over_seeds: Option<f64>,
    /// The 95 % interval of the mean, by the bootstrap over groups.
    pub interval: Option<[f64; 2]>,
    /// Its rank among the cells by the mean over groups where all are defined; `None` where there are fewer than two.
    pub rank: Option<RankStability>,
}

/// Two cells that differ in one level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContrastScore {
    /// Their places among the cells, the reference second.
    pub cells: [usize; 2],
    /// The first minus the reference, over groups where both are defined.
    pub difference: Summary,
    /// The 95 % interval of its mean.
    pub interval: Option<[f64; 2]>,
    /// Whether differences lie to one side; `None` where no two differ.
    pub test: Option<Wilcoxon>,
    /// Its p-value, corrected by Holm for all pairs of this score.
    pub p_corrected: Option<f64>,
}

/// The values of a group's cases, and what is to be their mean.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl StudyTable {
    /// The table of a study's scores.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where a run has no scores, or runs were not scored on the same cases.
    pub fn of(study: &Study, scores: &CellScores) -> Result<Self> {
        let cells = study.cells();
        let by_cell: Vec<Vec<&Row>> = cells.iter().map(|cell| of_cell(cell, scores)).collect();
        let cases = same_cases(study, &cells, &by_cell)?;
        let groups: Vec<&str> = {
            let mut all: Vec<&str> = cases.values().copied().collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let tables = study.scores.iter().enumerate().map(|(at, score)| {
            let of = |rows: &[&Row]| over_groups(rows, at, &groups);
            let values: Vec<Vec<Option<f64>>> = by_cell.iter().map(|rows| of(rows)).collect();
            let over_seeds = by_cell.iter().map(|rows| {
                let mean = |&seed: &u64| {
                    let own: Vec<&Row> =
                        rows.iter().copied().filter(|it| it.seed == seed).collect();
                    Summary::of(of(&own)).mean
                };
                Summary::of(study.seeds.iter().map(mean)).standard_deviation
            });
            let over_seeds: Vec<Option<f64>> = over_seeds.collect();
            score_table(score, &values, &over_seeds, &study.pairs())
        });
        Ok(Self {
            schema: Self::SCHEMA,
            title: study.title.clone(),
            claim: study.claim.clone(),
            caption: study.caption.clone(),
            factors: study.factors.iter().map(|factor| factor.name.clone()).collect(),
            scores: tables.collect(),
            cells: cells.into_iter().map(|cell| cell.levels).collect(),
            seeds: study.seeds.clone(),
            runs: study.runs().len(),
            cases: cases.len(),
            groups: groups.len(),
        })
    }
}

fn of_cell<'a>(cell: &Cell, scores: &'a CellScores) -> Vec<&'a Row> {
    scores.rows.iter().filter(|row| row.levels == cell.levels).collect()
}

/// Case → group, once it is known that every cell was scored on these by each seed.
fn same_cases<'a>(
    study: &Study,
    cells: &[Cell],
    by_cell: &[Vec<&'a Row>],
) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut first: Option<BTreeMap<&str, &str>> = None;
    for (cell, rows) in cells.iter().zip(by_cell) {
        for seed in &study.seeds {
            let own = rows.iter().filter(|row| row.seed == *seed);
            let cases: BTreeMap<&str, &str> =
                own.map(|row| (row.case.as_str(), row.group.as_str())).collect();
            let name = cell.name();
            if cases.is_empty() {
                return Err(Error::Settings(format!("there are no scores of {name}, seed {seed}")));
            }
            if *first.get_or_insert_with(|| cases.clone()) != cases {
                return Err(Error::Settings(format!(
                    "{name}, seed {seed}, was not scored on the same cases as the first cell"
                )));
            }
        }
    }
    Ok(first.unwrap_or_default())
}

/// The score number `at` of each group.
fn over_groups(rows: &[&Row], at: usize, groups: &[&str]) -> Vec<Option<f64>> {
    let mut cases: BTreeMap<(&str, &str), Mean> = BTreeMap::new();
    for row in rows {
        cases.entry((&row.group, &row.case)).or_default().add(row.values[at]);
    }
    let mut found: BTreeMap<&str, Mean> = BTreeMap::new();
    for ((group, _), mean) in cases {
        found.entry(group).or_default().add(mean.value());
    }
    groups.iter().map(|group| found.get(group).and_then(|mean| mean.value())).collect()
}

/// One score: `values` of each cell, over the same groups.
fn score_table(
    score: &str,
    values: &[Vec<Option<f64>>],
    over_seeds: &[Option<f64>],
    pairs: &[[usize; 2]],
) -> ScoreTable {
    let definition = definition(score).unwrap_or_default();
    let scores = ranked(values, definition.larger_is_better).into_iter();
    let cells =
        scores.zip(over_seeds).map(|(ModelScore { summary, interval, rank }, over_seeds)| {
            CellScore { summary, over_seeds: *over_seeds, interval, rank }
        });
    let contrasts = paired(values, pairs.iter().copied()).into_iter().map(|pair| ContrastScore {
        cells: pair.models,
        difference: pair.difference,
        interval: pair.interval,
        test: pair.test,
        p_corrected: pair.p_corrected,
    });
    ScoreTable {
        score: score.to_owned(),
        definition: definition.text,
        larger_is_better: definition.larger_is_better,
        cells: cells.collect(),
        contrasts: contrasts.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Contrast, Factor, Level};

    fn study() -> Study {
        let level = |name: &str| Level { name: name.to_owned(), set: Vec::new() };
        Study {
            schema: 1,
            title: "t".to_owned(),
            claim: String::new(),
            caption: String::new(),
            run: "run.toml".into(),
            seeds: vec![1, 2],
            folds: Vec::new(),
            ensemble: false,
            class: None,
            scores: vec!["dice".to_owned()],
            factors: vec![Factor { name: "loss".to_owned(), levels: vec![level("a"), level("b")] }],
            contrasts: vec![Contrast {
                factor: "loss".to_owned(),
                reference: "a".to_owned(),
                level: None,
            }],
        }
    }

    /// Six patients of two slices each; cell b is better by 0.1, and its second seed by 0.02 more.
    fn scores() -> CellScores {
        let mut rows = Vec::new();
        for level in ["a", "b"] {
            for seed in [1, 2] {
                for case in 0..12 {
                    let better = if level == "b" { 0.1 } else { 0.0 };
                    let luck = if seed == 2 { 0.02 } else { 0.0 };
                    let value = 0.5 + 0.01 * f64::from(case) + better + luck;
                    rows.push(Row {
                        levels: vec![level.to_owned()],
                        seed,
                        fold: None,
                        group: format!("patient {}", case / 2),
                        case: format!("slice {case}"),
                        // One slice is undefined in one run.
                        values: vec![Some(value).filter(|_| (level, seed, case) != ("a", 1, 0))],
                    });
                }
            }
        }
        CellScores { rows }
    }

    #[test]
    fn groups_count_once_and_seeds_are_averaged() {
        let table = StudyTable::of(&study(), &scores()).unwrap();

        assert_eq!((table.cases, table.groups, table.runs), (12, 6, 4));
        let dice = &table.scores[0];
        assert!(dice.larger_is_better);
        assert_eq!(dice.cells[1].summary.defined, 6);
        approx::assert_relative_eq!(dice.cells[1].summary.mean.unwrap(), 0.665, epsilon = 1e-12);
        // Two seeds, 0.02 apart.
        let over_seeds = dice.cells[1].over_seeds.unwrap();
        approx::assert_relative_eq!(over_seeds, 0.02 / 2f64.sqrt(), epsilon = 1e-12);
        assert_eq!(dice.cells[1].rank.as_ref().map(|rank| rank.rank), Some(1.0));
        // All six patients are better: 2 / 2⁶.
        let contrast = &dice.contrasts[0];
        assert_eq!(contrast.cells, [1, 0]);
        assert_eq!(contrast.test.map(|test| test.p_value), Some(0.03125));
        assert_eq!(contrast.p_corrected, Some(0.03125));
        // The slice that is undefined once counts by its other seed, which is 0.01 above its mean: half of that for its patient.
        let mean = contrast.difference.mean.unwrap();
        approx::assert_relative_eq!(mean, 0.1 - 0.005 / 6.0, epsilon = 1e-12);
    }

    #[test]
    fn what_is_not_complete_makes_no_table() {
        let study = study();
        let mut scores = scores();
        let refused = |scores: &CellScores| StudyTable::of(&study, scores).unwrap_err().to_string();

        let last = scores.rows.pop().unwrap();
        assert!(refused(&scores).contains("b, seed 2, was not scored on the same cases"));
        scores.rows.retain(|row| row.levels != last.levels || row.seed == 1);
        assert!(refused(&scores).contains("no scores of b, seed 2"));
    }

    #[test]
    fn scores_survive_their_file() {
        let study = study();
        let scores = scores();
        let mut text = Vec::new();
        scores.to_csv(&study, &mut text).unwrap();

        let rounded = |row: &Row| row.values[0].map(|it| (it * 1e6).round());
        let again = CellScores::from_csv(&study, &text).unwrap();
        assert_eq!(again.rows.len(), scores.rows.len());
        assert!(again.rows.iter().map(rounded).eq(scores.rows.iter().map(rounded)));
        assert!(text.starts_with(b"loss,seed,fold,group,case,dice\na,1,,patient 0,slice 0,\n"));
        let other = Study { scores: vec!["iou".to_owned()], ..study };
        let wrong = CellScores::from_csv(&other, &text).unwrap_err().to_string();
        assert!(wrong.contains("columns are loss, seed, fold, group, case, dice"), "{wrong}");
    }
}
