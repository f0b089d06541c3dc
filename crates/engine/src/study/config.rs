//! The file that says what is compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::scores::definition;
use crate::{Error, Result, RunConfig};

/// A study, as its file says.
///
/// ```toml
/// schema = 1
/// title = "Soft labels of four radiologists"
/// claim = "With averaged labels, the Dice semimetric loss has a Dice no worse than with hard labels, and a lower ECE."
/// run = "run.toml"                  # beside this file: what all runs have in common
/// seeds = [1, 2, 3]
/// scores = ["dice", "case_ece"]
/// [[factors]]
/// name = "labels"
/// levels = [
///   { name = "majority", set = ['labels.fusion={majority={}}'] },
///   { name = "mean", set = ['labels.fusion={mean={}}'] },
/// ]
/// [[contrasts]]
/// factor = "labels"
/// reference = "majority"            # all others against it
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// The version of this format: 1.
    pub schema: u32,
    /// What is studied, in a line.
    pub title: String,
    /// The claim under test, and whose it is.
    pub claim: String,
    /// What came out, for the page and the caption of the table; written once it is known.
    #[serde(default)]
    pub caption: String,
    /// What all runs have in common: a run file, beside this one.
    pub run: PathBuf,
    /// Each cell is trained once by each of these.
    pub seeds: Vec<u64>,
    /// The folds that are held out, each in a run of its own; empty: that of the run file.
    #[serde(default)]
    pub folds: Vec<usize>,
    /// Whether the folds of a seed are scored together, by the mean of what they say, on the cases that are held out of all of them
    /// (`split.held_out`); else each fold is scored on its own held-out cases.
    #[serde(default)]
    pub ensemble: bool,
    /// Whose scores are told, of several classes; absent: their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The scores, the one that matters most first: of masks, of probabilities, or one of [`CellScores::DERIVED`](super::CellScores::DERIVED).
    pub scores: Vec<String>,
    /// What is varied.
    pub factors: Vec<Factor>,
    /// What is held against what.
    #[serde(default)]
    pub contrasts: Vec<Contrast>,
}

/// Something that is varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// What it is, such as `loss`.
    pub name: String,
    /// What it can be.
    pub levels: Vec<Level>,
}

/// What a factor can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// What it is called.
    pub name: String,
    /// What it makes of the run file: `key.of.setting=value`, as `sconce train --set` takes it.
    #[serde(default)]
    pub set: Vec<String>,
}

/// One level of a factor against others, with the same levels of all other factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// The factor.
    pub factor: String,
    /// The level that the other is held against.
    pub reference: String,
    /// The other; absent: each of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// A choice of one level of each factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The levels, in the order of factors.
    pub levels: Vec<String>,
    /// What they make of the run file.
    pub settings: Vec<String>,
}

impl Cell {
    /// What it is called: its levels.
    pub fn name(&self) -> String {
        self.levels.join(", ")
    }

    /// What its folder is called.
    fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.+".contains(c) { c } else { '_' };
        self.levels.join("__").chars().map(plain).collect()
    }
}

/// A run of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyRun {
    /// The place of its cell in [`Study::cells`].
    pub cell: usize,
    /// Its seed.
    pub seed: u64,
    /// The fold that is held out; `None` where the run file says which.
    pub fold: Option<usize>,
    /// Where it is kept, in the folder of the study's runs.
    pub folder: PathBuf,
    /// What it makes of the run file.
    pub settings: Vec<String>,
}

impl Study {
    /// The version of the format that this program reads.
    pub const SCHEMA: u32 = 1;

    /// Reads a study's file, and checks that each of its runs could begin.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Config`] and [`Error::File`], where the file or its run file is not usable; [`Error::Settings`], where a
    /// level does not fit the run file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let wrong = |source| Error::Config { path: path.to_owned(), source: Box::new(source) };
        let study: Self = toml::from_str(&text).map_err(wrong)?;
        let refuse = |reason: String| Error::File { path: path.to_owned(), reason };
        study.check().map_err(refuse)?;
        for run in study.runs() {
            study.config(path, &run)?;
        }
        Ok(study)
    }

    /// The run file of a study that was read from `path`.
    pub fn run_file(&self, path: &Path) -> PathBuf {
        path.parent().unwrap_or(Path::new("")).join(&self.run)
    }

    /// The settings of one of its runs.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read_with`].
    pub fn config(&self, path: &Path, run: &StudyRun) -> Result<RunConfig> {
        RunConfig::read_with(&self.run_file(path), &run.settings)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != Self::SCHEMA {
            let (found, known) = (self.schema, Self::SCHEMA);
            return Err(format!("it has schema {found}, and this program knows {known}"));
        }
        unlike("seeds", &self.seeds)?;
        unlike("scores", &self.scores)?;
        if !self.folds.is_empty() {
            unlike("folds", &self.folds)?;
        }
        if self.ensemble && self.folds.len() < 2 {
            return Err("an ensemble needs two folds at least".to_owned());
        }
        for score in &self.scores {
            definition(score).ok_or_else(|| format!("there is no score {score:?} of cases"))?;
        }
        let names: Vec<&String> = self.factors.iter().map(|factor| &factor.name).collect();
        unlike("factors", &names)?;
        for factor in &self.factors {
            let names: Vec<&String> = factor.levels.iter().map(|level| &level.name).collect();
            unlike(&format!("levels of {}", factor.name), &names)?;
            let reserved = ["seed", "fold", "group", "case"];
            if reserved.contains(&factor.name.as_str()) || self.scores.contains(&factor.name) {
                return Err(format!("a factor cannot be called {:?}", factor.name));
            }
        }
        let folders: BTreeSet<String> = self.cells().iter().map(Cell::folder).collect();
        if folders.len() < self.cells().len() {
            return Err("the names of levels differ in signs alone; give them others".to_owned());
        }
        for Contrast { factor, reference, level } in &self.contrasts {
            let found = self.factors.iter().find(|it| it.name == *factor);
            let found = found.ok_or_else(|| format!("a contrast names {factor:?}, no factor"))?;
            for name in std::iter::once(reference).chain(level) {
                if !found.levels.iter().any(|level| level.name == *name) {
                    return Err(format!(
                        "a contrast names {name:?}, which is no level of {factor}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Every cell; the levels of the last factor vary fastest.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = vec![Cell { levels: Vec::new(), settings: Vec::new() }];
        for factor in &self.factors {
            let with = |cell: &Cell, level: &Level| {
                let mut cell = cell.clone();
                cell.levels.push(level.name.clone());
                cell.settings.extend_from_slice(&level.set);
                cell
            };
            cells = cells
                .iter()
                .flat_map(|cell| factor.levels.iter().map(move |level| with(cell, level)))
                .collect();
        }
        cells
    }

    /// Every run: all cells by the first seed, then by the next, so that a study which is stopped has some of each.
    pub fn runs(&self) -> Vec<StudyRun> {
        let folds: Vec<Option<usize>> = if self.folds.is_empty() {
            vec![None]
        } else {
            self.folds.iter().copied().map(Some).collect()
        };
        let cells = self.cells();
        let mut runs = Vec::new();
        for &seed in &self.seeds {
            for (at, cell) in cells.iter().enumerate() {
                for &fold in &folds {
                    let mut folder = PathBuf::from(cell.folder()).join(format!("seed_{seed}"));
                    let mut settings = cell.settings.clone();
                    settings.push(format!("seed={seed}"));
                    if let Some(fold) = fold {
                        folder.push(format!("fold_{fold}"));
                        settings.push(format!("split.fold={fold}"));
                    }
                    runs.push(StudyRun { cell: at, seed, fold, folder, settings });
                }
            }
        }
        runs
    }

    /// What is scored, in the order of [`Study::runs`]: each run; or, of [ensembles](Study::ensemble), the folds of each seed, in the
    /// folder that has theirs.
    pub fn scored(&self) -> Vec<StudyRun> {
        let mut runs = self.runs();
        if self.ensemble {
            runs.retain(|run| run.fold == self.folds.first().copied());
            for run in &mut runs {
                run.folder.pop();
                run.fold = None;
            }
        }
        runs
    }

    /// The pairs of cells that its contrasts hold against each other: places in [`Study::cells`], the reference second.
    pub fn pairs(&self) -> Vec<[usize; 2]> {
        let cells = self.cells();
        let mut pairs = Vec::new();
        for Contrast { factor, reference, level } in &self.contrasts {
            let Some(axis) = self.factors.iter().position(|it| it.name == *factor) else {
                continue;
            };
            for (at, cell) in cells.iter().enumerate() {
                let own = &cell.levels[axis];
                if own == reference || level.as_ref().is_some_and(|level| level != own) {
                    continue;
                }
                let mut other = cell.levels.clone();
                other[axis].clone_from(reference);
                let other = cells.iter().position(|cell| cell.levels == other);
                pairs.extend(other.map(|other| [at, other]).filter(|pair| !pairs.contains(pair)));
            }
        }
        pairs
    }
}

/// That there is something, and nothing twice.
fn unlike<T: Ord + std::fmt::Debug>(what: &str, values: &[T]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
        return Err(format!("{what}: {twice:?} is there twice"));
    }
    if values.is_empty() { Err(format!("{what}: there is none")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
schema = 1
title = "t"
claim = "c"
run = "run.toml"
seeds = [1, 2]
scores = ["dice", "case_ece", "false_alarm"]
factors = [
  { name = "loss", levels = [{ name = "CE" }, { name = "Dice" }, { name = "Dice++" }] },
  { name = "labels", levels = [{ name = "mean", set = ["labels.fusion={mean={}}"] }, { name = "majority" }] },
]
contrasts = [
  { factor = "labels", reference = "majority" },
  { factor = "loss", reference = "Dice", level = "Dice++" },
]
"#;

    fn study() -> Study {
        toml::from_str(TEXT).unwrap()
    }

    #[test]
    fn cells_are_all_choices_and_contrasts_change_one_thing() {
        let study = study();
        study.check().unwrap();

        let names: Vec<String> = study.cells().iter().map(Cell::name).collect();
        let expected = [
            "CE, mean",
            "CE, majority",
            "Dice, mean",
            "Dice, majority",
            "Dice++, mean",
            "Dice++, majority",
        ];
        assert_eq!(names, expected);
        assert_eq!(study.pairs(), [[0, 1], [2, 3], [4, 5], [4, 2], [5, 3]]);
        let runs = study.runs();
        assert_eq!(runs.len(), 12);
        assert_eq!(runs[4].folder, Path::new("Dice++__mean/seed_1"));
        assert_eq!(runs[4].settings, ["labels.fusion={mean={}}", "seed=1"]);
        assert_eq!((runs[6].cell, runs[6].seed), (0, 2));
        assert_eq!(study.scored(), runs);
        let folds = Study { folds: vec![0, 3], ..study };
        assert_eq!(folds.runs()[1].folder, Path::new("CE__mean/seed_1/fold_3"));
        assert_eq!(folds.runs()[1].settings[1..], ["seed=1", "split.fold=3"]);
        let together = Study { ensemble: true, ..folds };
        assert_eq!(together.scored().len(), 12);
        assert_eq!(together.scored()[1].folder, Path::new("CE__majority/seed_1"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |from: &str, to: &str| {
            assert!(TEXT.contains(from), "{from}");
            let study: Study = toml::from_str(&TEXT.replacen(from, to, 1)).unwrap();
            study.check().unwrap_err()
        };

        assert_eq!(refused("[1, 2]", "[1, 1]"), "seeds: 1 is there twice");
        assert_eq!(refused("[1, 2]", "[]"), "seeds: there is none");
        assert_eq!(refused("\"case_ece\"", "\"dise\""), "there is no score \"dise\" of cases");
        assert!(refused("\"CE\"", "\"Dice\"").contains("levels of loss"));
        assert!(refused("\"Dice++\" }", "\"Dice +\" }").contains("\"Dice++\", which is no level"));
        assert!(refused("name = \"loss\"", "name = \"seed\"").contains("cannot be called"));
        assert!(refused("schema = 1", "schema = 2").contains("schema 2"));
    }
}
