//! Whether a division into folds keeps what is held out apart from what is trained on.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use crate::problem::{Problem, ProblemKind, Severity};
use crate::{Dataset, Fold};

/// What is wrong with `folds`: cases that there are not, that are on both sides of a fold, by themselves, by
/// their group or by their image, and those that no fold holds out, or several do.
pub(super) fn splits(
    dataset: &dyn Dataset,
    folds: &[Fold],
    readable: &[(&String, &Facts)],
    problems: &mut Vec<Problem>,
) {
    let known: BTreeSet<&String> = dataset.ids().iter().collect();
    let images: BTreeMap<&String, u64> =
        readable.iter().map(|&(id, facts)| (id, facts.hash)).collect();
    let mut held_out: BTreeMap<&String, usize> = BTreeMap::new();
    for (number, fold) in folds.iter().enumerate() {
        let mut add = |kind, id: &String, what: String| {
            let problem = Problem::new(Severity::Error, kind, format!("fold {number}: {what}"));
            problems.push(problem.of_case(id));
        };
        for id in fold.train.iter().chain(&fold.val).filter(|id| !known.contains(id)) {
            let what =
                format!("there is no case {id} in the data set; remove it, or add its files");
            add(ProblemKind::Split, id, what);
        }
        let trained: BTreeSet<&String> = fold.train.iter().collect();
        let mut groups: BTreeMap<&str, &String> = BTreeMap::new();
        let mut seen: BTreeMap<u64, &String> = BTreeMap::new();
        for id in fold.train.iter().filter(|id| known.contains(id)) {
            groups.entry(dataset.group(id)).or_insert(id);
            if let Some(&image) = images.get(id) {
                seen.entry(image).or_insert(id);
            }
        }
        for id in &fold.val {
            *held_out.entry(id).or_default() += 1;
            if trained.contains(id) {
                add(
                    ProblemKind::Leakage,
                    id,
                    format!("case {id} is both trained on and held out; keep it on one side"),
                );
                continue;
            }
            if !known.contains(id) {
                continue;
            }
            let group = dataset.group(id);
            if let Some(other) = groups.get(group) {
                let what = format!(
                    "case {id} is held out, but {other} of the same group, {group}, is trained on; \
                     scores would be too good: keep them on one side"
                );
                add(ProblemKind::Leakage, id, what);
            } else if let Some(other) = images.get(id).and_then(|image| seen.get(image)) {
                let what = format!(
                    "case {id} is held out, but {other}, which has the same image, is trained on; \
                     scores would be too good: remove one of them"
                );
                add(ProblemKind::Leakage, id, what);
            }
        }
    }
    coverage(dataset, folds.len(), &held_out, problems);
}

/// Of several folds, each case is expected to be held out by one.
fn coverage(
    dataset: &dyn Dataset,
    folds: usize,
    held_out: &BTreeMap<&String, usize>,
    problems: &mut Vec<Problem>,
) {
    if folds < 2 {
        return;
    }
    let mut warn = |ids: Vec<&String>, what: &str| {
        let Some(first) = ids.first() else { return };
        let others = match ids.len() {
            1 => String::new(),
            count => format!(" (and {} others)", count - 1),
        };
        let message = format!("case {first}{others} is held out by {what}");
        let problem = Problem::new(Severity::Warning, ProblemKind::Split, message);
        problems.push(problem.of_case(first));
    };
    let never = dataset.ids().iter().filter(|id| !held_out.contains_key(id)).collect();
    warn(never, "no fold: scores of all folds together leave it out");
    let often = held_out.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    warn(often, "several folds: scores of all folds together count it more than once");
}
