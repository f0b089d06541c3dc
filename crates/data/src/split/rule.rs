//! How those who publish on a data set divided it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::mersenne::Mersenne;
use super::{Fold, grouped};
use crate::{Dataset, Error, Result};

/// By which rule a data set is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SplitRule {
    /// nnU-Net's: shuffled by the seed; see [`Fold::new`].
    #[default]
    Nnunet,
    /// That of the Dice semimetric losses (Wang et al.), for QUBIQ, LiTS and KiTS: in the order of the cases'
    /// numbers, all folds of the same size but the last, which has what is left. No seed. Of QUBIQ's prostate they left
    /// out case 9, and gave its number to the last: there their folds are others.
    Contiguous,
    /// That of the study of losses out of distribution (Galdran et al.), for Kvasir-SEG: fold after fold is drawn at
    /// random from what is left, each time with `RandomState(0)`. No seed but 0.
    Successive,
    /// Where the authors of DSC++ (Yeung et al.) published lists: to train, and to validate while training.
    /// Their test cases are in neither. No folds, no seed.
    ///
    /// The lists go by number: the cases of `drive` (those to train on come first), `bus2017`, `cvc_clinicdb`, `dsb2018`,
    /// `isic2018` and `kits19` in the order of their names; which set it is, its number of cases tells. That
    /// the authors numbered DSB2018, whose names are no numbers, in that order is likely, but not known.
    DscPlusPlusValidation,
    /// The same lists, to test: trained on all but the test cases, which are held out.
    DscPlusPlusTest,
}

/// One line for each set: its name, and for each case whether it serves to train (`r`), to validate (`v`), to test
/// (`t`), or is left out (`-`).
const LISTS: &str = include_str!("dsc_plus_plus.txt");

impl Fold {
    /// Division number `fold` of a data set in `folds` by a rule.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], for a number of folds that the data set does not allow, a fold that the rule does
    /// not have, or a data set that lists were not published for.
    pub fn by(
        rule: SplitRule,
        dataset: &dyn Dataset,
        folds: usize,
        fold: usize,
        seed: u32,
    ) -> Result<Self> {
        match rule {
            SplitRule::Nnunet => Self::new(dataset, folds, fold, seed),
            SplitRule::Contiguous => contiguous(dataset, folds, fold),
            SplitRule::Successive => successive(dataset, folds, fold),
            SplitRule::DscPlusPlusValidation => listed(dataset, 'r', 'v'),
            SplitRule::DscPlusPlusTest => listed(dataset, 'v', 't'),
        }
    }
}

/// The groups of cases in the order of the numbers in their names.
fn in_order(dataset: &dyn Dataset) -> Vec<(&str, Vec<&String>)> {
    let mut groups: Vec<_> = grouped(dataset).into_iter().collect();
    groups.sort_by(|(a, _), (b, _)| natural(a, b));
    groups
}

fn expect_fold(groups: usize, folds: usize, fold: usize) -> Result<()> {
    if folds < 2 || folds > groups {
        return Err(super::too_few(groups, folds));
    }
    if fold >= folds {
        return Err(Error::settings(
            format!("there is no fold {fold} of {folds}"),
            format!("set `fold` between 0 and {}", folds - 1),
        ));
    }
    Ok(())
}

fn contiguous(dataset: &dyn Dataset, folds: usize, fold: usize) -> Result<Fold> {
    let groups = in_order(dataset);
    expect_fold(groups.len(), folds, fold)?;
    let size = groups.len() / folds;
    let end = if fold + 1 == folds { groups.len() } else { (fold + 1) * size };
    Ok(divided(&groups, &(fold * size..end).collect()))
}

fn successive(dataset: &dyn Dataset, folds: usize, fold: usize) -> Result<Fold> {
    // Here names are sorted as texts.
    let groups: Vec<_> = grouped(dataset).into_iter().collect();
    expect_fold(groups.len(), folds, fold)?;
    let size = groups.len() / folds;
    let mut rest: Vec<usize> = (0..groups.len()).collect();
    for _ in 0..fold {
        let order = Mersenne::new(0).permutation(rest.len());
        rest = order[size..].iter().map(|&at| rest[at]).collect();
    }
    // What is left for the last fold is all of it.
    let held_out = if fold + 1 == folds {
        rest.into_iter().collect()
    } else {
        let order = Mersenne::new(0).permutation(rest.len());
        order[..size].iter().map(|&at| rest[at]).collect()
    };
    Ok(divided(&groups, &held_out))
}

/// All groups, of which some are held out.
fn divided(groups: &[(&str, Vec<&String>)], held_out: &BTreeSet<usize>) -> Fold {
    let of = |wanted: bool| {
        let groups = groups.iter().enumerate();
        let kept = groups.filter(|(group, _)| held_out.contains(group) == wanted);
        let mut ids: Vec<String> =
            kept.flat_map(|(_, (_, ids))| ids).map(|&id| id.clone()).collect();
        ids.sort_unstable();
        ids
    };
    Fold { train: of(false), val: of(true) }
}

/// The division of published lists: trained on `r` and, where that is not held out, on `also`.
fn listed(dataset: &dyn Dataset, also: char, held_out: char) -> Result<Fold> {
    let mut ids: Vec<&String> = dataset.ids().iter().collect();
    ids.sort_by(|a, b| natural(a, b));
    let sets = || LISTS.lines().filter_map(|line| line.split_once(' '));
    let Some((name, list)) = sets().find(|(_, list)| list.len() == ids.len()) else {
        let known: Vec<String> =
            sets().map(|(name, list)| format!("{name} ({})", list.len())).collect();
        return Err(Error::settings(
            format!("no list was published for a data set of {} cases", ids.len()),
            format!("complete the data set; there are lists for {}", known.join(", ")),
        ));
    };
    if name == "DRIVE" {
        // The first twenty names are those of the official test set, which comes last.
        ids.rotate_left(20);
    }
    let of = |kinds: &[char]| {
        let chosen = ids.iter().zip(list.chars()).filter(|(_, kind)| kinds.contains(kind));
        let mut ids: Vec<String> = chosen.map(|(&id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    };
    Ok(Fold { train: of(&['r', also]), val: of(&[held_out]) })
}

/// The order in which people number things: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        match (digits(left), digits(right)) {
            (0, _) | (_, 0) => match (left.chars().next(), right.chars().next()) {
                (Some(first), Some(second)) if first == second => {
                    left = &left[first.len_utf8()..];
                    right = &right[second.len_utf8()..];
                }
                (first, second) => return first.cmp(&second).then_with(|| a.cmp(b)),
            },
            (n, m) => {
                let (own, other) =
                    (left[..n].trim_start_matches('0'), right[..m].trim_start_matches('0'));
                let order = own.len().cmp(&other.len()).then_with(|| own.cmp(other));
                if order.is_ne() {
                    return order;
                }
                (left, right) = (&left[n..], &right[m..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Names;
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["a10", "a2", "b", "a02", "", "a2x", "12", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "9", "12", "a02", "a2", "a2x", "a10", "b"]);
    }

    #[test]
    fn the_last_of_contiguous_folds_has_what_is_left() -> anyhow::Result<()> {
        // QUBIQ's brain-growth: 39 cases, folds of 7 and at last 11.
        let names = Names::new(39, 1);
        let fold = |number| Fold::by(SplitRule::Contiguous, &names, 5, number, 0);

        assert_eq!(Names::numbers(&fold(0)?.val), (0..7).collect::<Vec<_>>());
        assert_eq!(Names::numbers(&fold(4)?.val), (28..39).collect::<Vec<_>>());
        assert_eq!(fold(4)?.train.len(), 28);
        assert!(fold(5).unwrap_err().to_string().contains("no fold 5 of 5"));
        Ok(())
    }

    #[test]
    fn successive_folds_are_those_of_scikit_learn() -> anyhow::Result<()> {
        let names = Names::new(13, 1);
        let fold = |number| Fold::by(SplitRule::Successive, &names, 4, number, 0);

        // train_test_split(rest, test_size=3, random_state=0), each time of the rest, scikit-learn 1.9.
        assert_eq!(Names::numbers(&fold(0)?.val), [4, 6, 11]);
        assert_eq!(Names::numbers(&fold(1)?.val), [5, 7, 8]);
        assert_eq!(Names::numbers(&fold(2)?.val), [2, 3, 9]);
        assert_eq!(Names::numbers(&fold(3)?.val), [0, 1, 10, 12]);
        assert_eq!(Names::numbers(&fold(3)?.train), [2, 3, 4, 5, 6, 7, 8, 9, 11]);
        Ok(())
    }

    #[test]
    fn published_lists_go_by_number() -> anyhow::Result<()> {
        let fold = |count, rule| Fold::by(rule, &Names::new(count, 1), 5, 0, 0);

        // DRIVE: case 20 is its picture 21, the first to train on; 0 to 19 are the official test set.
        let drive = fold(40, SplitRule::DscPlusPlusTest)?;
        assert_eq!(Names::numbers(&drive.val), (0..20).collect::<Vec<_>>());
        let drive = fold(40, SplitRule::DscPlusPlusValidation)?;
        assert_eq!(Names::numbers(&drive.val), (36..40).collect::<Vec<_>>());
        assert_eq!(drive.train.len(), 16);
        for (count, train, validation, test) in [
            (163, 104, 26, 33),
            (612, 392, 98, 122),
            (670, 428, 108, 134),
            (2594, 1661, 415, 518),
            (210, 130, 33, 41),
        ] {
            let first = fold(count, SplitRule::DscPlusPlusValidation)?;
            assert_eq!((first.train.len(), first.val.len()), (train, validation));
            let second = fold(count, SplitRule::DscPlusPlusTest)?;
            assert_eq!((second.train.len(), second.val.len()), (train + validation, test));
        }
        // KiTS19: case 15 is left out.
        let kits = fold(210, SplitRule::DscPlusPlusTest)?;
        assert!(!Names::numbers(&kits.train).contains(&15));
        let message = fold(41, SplitRule::DscPlusPlusTest).unwrap_err().to_string();
        assert!(
            message.contains("a data set of 41 cases") && message.contains("DRIVE (40)"),
            "{message}"
        );
        Ok(())
    }
}
