//! `sconce train --fold all`: each fold as a process of its own, on the devices that are given.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::bail;
use sconce::engine::evaluate::{Evaluation, decimals};
use sconce::engine::{DeviceChoice, RunFolder, file};
use serde::Serialize;

use crate::output::Output;
use crate::progress::inform;
use crate::workers::work;

/// Which fold is held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldChoice {
    /// One, from 0.
    One(usize),
    /// Each in turn, or several at once.
    All,
}

impl FromStr for FoldChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            text => text.parse().map(Self::One).map_err(|_| "it is neither a number nor all"),
        }
    }
}

/// What to start for each fold.
pub(super) struct Folds<'a> {
    /// How many there are.
    pub(super) count: usize,
    /// The folder that has a folder for each.
    pub(super) output: &'a Path,
    /// The arguments of `sconce train` but fold, output, device and `--resume`.
    pub(super) arguments: Vec<String>,
    /// What computes, one process on each.
    pub(super) devices: Vec<DeviceChoice>,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    folds: Vec<Fold>,
    /// The mean over the folds of each class's Dice.
    dice: Vec<(String, Option<f64>)>,
}

#[derive(Debug, Serialize)]
struct Fold {
    folder: PathBuf,
    held_out: usize,
    dice: Option<f64>,
}

impl Folds<'_> {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        let mut left: Vec<usize> = (0..self.count).collect();
        left.retain(|&fold| !self.is_done(fold));
        if left.len() < self.count {
            let done = self.count - left.len();
            inform(&format!("{done} of {} folds are done already", self.count));
        }
        let ended = work(left, &self.devices, |fold, device| self.arguments(*fold, device))?;
        if ended.asked {
            bail!("it was asked to stop; the same command with --resume goes on");
        }
        if let Some(fold) = ended.failed.first() {
            bail!(
                "fold {fold} failed, as said above; the others are kept, and the same command with --resume \
                 goes on"
            );
        }
        Ok(Output::of(&self.report()?))
    }

    fn folder(&self, fold: usize) -> PathBuf {
        self.output.join(format!("fold_{fold}"))
    }

    fn scores(&self, fold: usize) -> PathBuf {
        RunFolder::at(&self.folder(fold)).validation().join("summary.json")
    }

    /// Whether a fold has been trained and scored.
    fn is_done(&self, fold: usize) -> bool {
        self.scores(fold).exists()
    }

    fn arguments(&self, fold: usize, device: DeviceChoice) -> Vec<String> {
        let mut arguments = vec!["train".to_owned()];
        arguments.extend_from_slice(&self.arguments);
        let (fold, output) = (fold.to_string(), self.folder(fold).display().to_string());
        let device = device.to_string();
        let own = [
            "--fold", &fold, "--output", &output, "--device", &device, "--resume", "--format",
            "json",
        ];
        arguments.extend(own.map(str::to_owned));
        arguments
    }

    fn report(&self) -> anyhow::Result<Report> {
        let mut folds = Vec::new();
        let mut classes: Vec<(String, Vec<f64>)> = Vec::new();
        for fold in 0..self.count {
            let evaluation: Evaluation = file::read_json(&self.scores(fold))?;
            let of = |class: &str| evaluation.masks.get(class)?.get("dice")?.mean;
            let each: Vec<f64> = evaluation.classes.iter().filter_map(|class| of(class)).collect();
            for class in &evaluation.classes {
                if !classes.iter().any(|(name, _)| name == class) {
                    classes.push((class.clone(), Vec::new()));
                }
                let known = classes.iter_mut().find(|(name, _)| name == class);
                if let (Some((_, values)), Some(value)) = (known, of(class)) {
                    values.push(value);
                }
            }
            let held_out = evaluation.cases.len();
            folds.push(Fold { folder: self.folder(fold), held_out, dice: mean(&each) });
        }
        let dice = classes.into_iter().map(|(name, values)| (name, mean(&values))).collect();
        Ok(Report { output: self.output.to_owned(), folds, dice })
    }
}

#[expect(clippy::cast_precision_loss, reason = "few folds and classes")]
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fold  cases  mean Dice")?;
        for (number, fold) in self.folds.iter().enumerate() {
            writeln!(f, "{number:<5} {:<6} {}", fold.held_out, decimals(fold.dice, 4))?;
        }
        for (class, dice) in &self.dice {
            writeln!(f, "{class}: Dice {} over all folds", decimals(*dice, 4))?;
        }
        let output = self.output.display();
        write!(f, "runs     {output}/fold_0 to {output}/fold_{}", self.folds.len() - 1)
    }
}
