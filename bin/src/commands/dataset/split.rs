//! `sconce dataset split`: which cases are held out, as a file.

use std::fmt;
use std::path::{Path, PathBuf};

use sconce::data::{self, Dataset, Fold, SplitRule};
use serde::Serialize;

use crate::output::Output;

/// A rule, as the command line names it: the names of run files.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// nnU-Net's: shuffled by the seed
    #[default]
    Nnunet,
    /// By number, the last fold has what is left (Dice semimetric losses)
    Contiguous,
    /// Drawn from the rest, fold after fold (losses out of distribution)
    Successive,
    /// Published lists: to train and to validate (DSC++)
    DscPlusPlusValidation,
    /// Published lists: to test (DSC++)
    DscPlusPlusTest,
}

impl From<Rule> for SplitRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Nnunet => Self::Nnunet,
            Rule::Contiguous => Self::Contiguous,
            Rule::Successive => Self::Successive,
            Rule::DscPlusPlusValidation => Self::DscPlusPlusValidation,
            Rule::DscPlusPlusTest => Self::DscPlusPlusTest,
        }
    }
}

#[derive(Debug, Serialize)]
struct Written {
    output: PathBuf,
    cases: usize,
    /// Of each fold, how many cases are trained on and how many are held out.
    folds: Vec<[usize; 2]>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "wrote {} folds of {} cases to {}",
            self.folds.len(),
            self.cases,
            self.output.display()
        )?;
        for (fold, [train, held_out]) in self.folds.iter().enumerate() {
            writeln!(f, "fold {fold}: {train} to train on, {held_out} held out")?;
        }
        Ok(())
    }
}

/// Writes the folds of a data set as nnU-Net's `splits_final.json`.
pub(super) fn run(
    dataset: &dyn Dataset,
    rule: SplitRule,
    folds: usize,
    seed: u32,
    output: &Path,
) -> anyhow::Result<Output> {
    let lists = matches!(rule, SplitRule::DscPlusPlusValidation | SplitRule::DscPlusPlusTest);
    let count = if lists { 1 } else { folds.max(1) };
    let all = (0..count).map(|fold| Fold::by(rule, dataset, folds, fold, seed));
    let all: Vec<Fold> = all.collect::<Result<_, _>>()?;
    data::write_splits(output, &all)?;
    let folds = all.iter().map(|fold| [fold.train.len(), fold.val.len()]).collect();
    Ok(Output::of(&Written { output: output.to_owned(), cases: dataset.ids().len(), folds }))
}
