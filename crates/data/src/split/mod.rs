//! Which cases are trained on, and which are held out.

mod mersenne;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::mersenne::Mersenne;
pub use self::rule::SplitRule;
use crate::format::replace::replace_json;
use crate::{Dataset, Error, Result};

/// The seed of nnU-Net's splits.
pub const NNUNET_SEED: u32 = 12345;

/// One division of a data set, as an entry of nnU-Net's `splits_final.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// The cases to train on.
    pub train: Vec<String>,
    /// The cases that are held out.
    pub val: Vec<String>,
}

impl Fold {
    /// Division number `fold` of a data set in `folds`, from 0, by nnU-Net's rule.
    ///
    /// The sorted groups are shuffled and divided by `KFold(folds, shuffle=True)` of scikit-learn;
    /// a fold beyond the last is a random division 80:20 instead. Cases of one group stay together
    /// (nnU-Net knows no groups: the same comes out where each case is its own). Both lists are
    /// sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], for less than two folds or more than there are groups.
    ///
    /// # Source
    ///
    /// `do_split` of [MIC-DKFZ/nnUNet](https://github.com/MIC-DKFZ/nnUNet), version 2;
    /// `sklearn.model_selection.KFold`.
    pub fn new(dataset: &dyn Dataset, folds: usize, fold: usize, seed: u32) -> Result<Self> {
        let cases: Vec<Vec<&String>> = grouped(dataset).into_values().collect();
        if folds < 2 || folds > cases.len() {
            return Err(too_few(cases.len(), folds));
        }
        let held_out: BTreeSet<usize> = if fold < folds {
            let order = Mersenne::new(seed).permutation(cases.len());
            let (size, larger) = (cases.len() / folds, cases.len() % folds);
            let start = fold * size + fold.min(larger);
            let size = size + usize::from(fold < larger);
            order[start..start + size].iter().copied().collect()
        } else {
            let seed = seed.wrapping_add(u32::try_from(fold).unwrap_or(u32::MAX));
            let order = Mersenne::new(seed).permutation(cases.len());
            order[cases.len() * 8 / 10..].iter().copied().collect()
        };
        let of = |wanted: bool| {
            let groups = cases.iter().enumerate();
            let kept = groups.filter(|(group, _)| held_out.contains(group) == wanted);
            let mut ids: Vec<String> =
                kept.flat_map(|(_, ids)| ids).map(|&id| id.clone()).collect();
            ids.sort_unstable();
            ids
        };
        Ok(Self { train: of(false), val: of(true) })
    }

    /// Checks that this is a division of cases of `dataset`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCase`], for a case that it does not have; [`Error::Settings`], where there
    /// is nothing to train on, or a case or group is both trained on and held out.
    pub fn check(&self, dataset: &dyn Dataset) -> Result<()> {
        let ids = dataset.ids();
        for id in self.train.iter().chain(&self.val) {
            if ids.binary_search(id).is_err() {
                let dataset = dataset.description().name.clone();
                return Err(Error::UnknownCase { id: id.clone(), dataset });
            }
        }
        if self.train.is_empty() {
            return Err(Error::settings("a fold has no case to train on", "correct the split"));
        }
        let groups: BTreeSet<&str> = self.train.iter().map(|id| dataset.group(id)).collect();
        match self.val.iter().find(|id| groups.contains(dataset.group(id))) {
            Some(id) => Err(Error::settings(
                format!("case {id} is held out, but {} is trained on", dataset.group(id)),
                "keep all cases of a group on one side, or leave out the setting `group`",
            )),
            None => Ok(()),
        }
    }
}

/// The cases that must stay together.
fn grouped(dataset: &dyn Dataset) -> BTreeMap<&str, Vec<&String>> {
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for id in dataset.ids() {
        groups.entry(dataset.group(id)).or_default().push(id);
    }
    groups
}

/// That so many groups do not make so many folds.
fn too_few(groups: usize, folds: usize) -> Error {
    Error::settings(
        format!("{groups} groups of cases cannot be divided into {folds} folds"),
        format!("set `folds` between 2 and {groups}"),
    )
}

/// All divisions of a data set in `folds`; see [`Fold::new`].
///
/// # Errors
///
/// As [`Fold::new`].
pub fn k_fold(dataset: &dyn Dataset, folds: usize, seed: u32) -> Result<Vec<Fold>> {
    (0..folds.max(1)).map(|fold| Fold::new(dataset, folds, fold, seed)).collect()
}

/// Reads nnU-Net's `splits_final.json`: a list of folds. See [`Fold::check`].
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Description`].
pub fn read_splits(path: impl AsRef<Path>) -> Result<Vec<Fold>> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(Error::reading(path))?;
    let wrong = |cause: String| Error::Description {
        path: path.to_owned(),
        cause,
        remedy: "write it like [{\"train\": [\"a\", \"b\"], \"val\": [\"c\"]}]".to_owned(),
    };
    let folds: Vec<Fold> = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if folds.is_empty() {
        return Err(wrong("it holds no fold".to_owned()));
    }
    Ok(folds)
}

/// Writes folds as `splits_final.json`, whole or not at all.
///
/// # Errors
///
/// [`Error::Io`].
pub fn write_splits(path: impl AsRef<Path>, folds: &[Fold]) -> Result<()> {
    replace_json(path.as_ref(), &folds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, Description};

    /// Cases `00`, `01`, …, of which `together` each are one group.
    #[derive(Debug)]
    pub(super) struct Names(Description, Vec<String>, usize);

    impl Names {
        pub(super) fn new(count: usize, together: usize) -> Self {
            let description = Description {
                name: "names".to_owned(),
                channels: Vec::new(),
                classes: Vec::new(),
                raters: Vec::new(),
                ignore: None,
                regions_class_order: Vec::new(),
                independent: false,
            };
            Self(description, (0..count).map(|case| format!("{case:02}")).collect(), together)
        }

        pub(super) fn numbers(ids: &[String]) -> Vec<usize> {
            ids.iter().map(|id| id.parse().unwrap()).collect()
        }
    }

    impl Dataset for Names {
        fn description(&self) -> &Description {
            &self.0
        }

        fn ids(&self) -> &[String] {
            &self.1
        }

        fn read(&self, id: &str) -> Result<Case> {
            Err(Error::UnknownCase { id: id.to_owned(), dataset: self.0.name.clone() })
        }

        fn group<'a>(&'a self, id: &'a str) -> &'a str {
            let case: usize = id.parse().unwrap();
            &self.1[case - case % self.2]
        }
    }

    fn validation(count: usize, folds: usize, seed: u32) -> Vec<Vec<usize>> {
        let folds = k_fold(&Names::new(count, 1), folds, seed).unwrap();
        folds.iter().map(|fold| Names::numbers(&fold.val)).collect()
    }

    #[test]
    fn folds_are_those_of_scikit_learn() {
        assert_eq!(
            validation(10, 5, NNUNET_SEED),
            [vec![0, 7], vec![3, 9], vec![4, 6], vec![1, 8], vec![2, 5]],
        );
        assert_eq!(
            validation(13, 5, NNUNET_SEED),
            [vec![0, 7, 9], vec![3, 6, 10], vec![8, 11, 12], vec![1, 4], vec![2, 5]],
        );
        // KFold(3, shuffle=True, random_state=7).split(range(8)), scikit-learn 1.9.1.
        assert_eq!(validation(8, 3, 7), [vec![0, 2, 5], vec![1, 3, 6], vec![4, 7]]);
    }

    #[test]
    fn a_fold_beyond_the_last_is_random() -> anyhow::Result<()> {
        let names = Names::new(13, 1);

        let fold = Fold::new(&names, 5, 7, NNUNET_SEED)?;

        // sorted(numpy.random.RandomState(12345 + 7).choice(13, 10, replace=False)), numpy 2.4.6.
        assert_eq!(Names::numbers(&fold.train), [0, 1, 2, 4, 6, 7, 8, 9, 10, 12]);
        assert_eq!(Names::numbers(&fold.val), [3, 5, 11]);
        Ok(())
    }

    #[test]
    fn groups_stay_together() -> anyhow::Result<()> {
        let names = Names::new(20, 4);

        let folds = k_fold(&names, 5, NNUNET_SEED)?;

        let mut all = Vec::new();
        for fold in &folds {
            fold.check(&names)?;
            assert_eq!((fold.train.len(), fold.val.len()), (16, 4));
            all.extend(Names::numbers(&fold.val));
        }
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        Ok(())
    }

    #[test]
    fn a_split_that_leaks_or_names_strangers_is_refused() {
        let names = Names::new(4, 2);
        let message = |train: &[&str], val: &[&str]| {
            let own = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
            let outcome = Fold { train: own(train), val: own(val) }.check(&names);
            outcome.err().map(|error| error.to_string()).unwrap_or_default()
        };

        assert_eq!(message(&["00", "01"], &["02"]), "");
        assert!(message(&["00"], &["01"]).starts_with("case 01 is held out, but 00 is trained on"));
        assert!(message(&["00"], &["77"]).starts_with("there is no case 77 in names"));
        assert!(message(&[], &["00"]).starts_with("a fold has no case"));
        assert!(k_fold(&names, 3, 0).unwrap_err().to_string().contains("between 2 and 2"));
        assert!(k_fold(&names, 0, 0).is_err());
    }

    #[test]
    fn a_split_is_read_as_it_was_written() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("splits_final.json");
        let folds = k_fold(&Names::new(7, 1), 3, 1)?;

        write_splits(&path, &folds)?;

        assert_eq!(read_splits(&path)?, folds);
        fs::write(&path, "[]")?;
        assert!(read_splits(&path).unwrap_err().to_string().contains("holds no fold"));
        Ok(())
    }
}
