//! Cases that failed: whether doubt tells them, and where something is predicted that is not there.

use std::collections::BTreeSet;

use super::{LARGER, SMALLER, Term, by_class, count_cell, figure, figures, grouped, legend};
use crate::evaluate::{Absent, Evaluation};
use crate::report::charts::Plot;
use crate::report::tables::cell;
use crate::report::text::{label, number};
use crate::report::{MEAN, value};

const ABSENT: usize = 3;

pub(super) const TERMS: &[Term] = &[
    Term::new("Cases without it", None, "cases whose reference has none of the class"),
    Term::new("Cases with false alarm", SMALLER, "those of them in which some of it is predicted"),
    Term::new(
        "False-alarm rate",
        SMALLER,
        "the share of cases without the class in which some of it is predicted; undefined where every case has it",
    ),
    Term::new("All cases", None, "cases that were evaluated"),
    Term::new(
        "Failed",
        SMALLER,
        "cases whose Dice, mean over classes, is below the limit, or undefined only by a false alarm",
    ),
    Term::new("Limit of Dice", None, "the Dice below which a case counts as failed"),
    Term::new(
        "AUROC",
        LARGER,
        "the chance that of a case that failed and one that did not, the former has more doubt: 0.5 is guessing; undefined where there are not both",
    ),
];

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let mut all = String::new();
    let kinds = kinds(evaluations);
    for kind in &kinds {
        all += &scatter(evaluations, kind);
    }
    let groups = kinds.iter().map(|kind| {
        let models = evaluations.iter().enumerate();
        let rows = models.filter_map(|(index, one)| {
            let found = one.failures.as_ref()?;
            let auroc = found.auroc.get(*kind)?;
            let counts = [found.cases, found.failed].map(count_cell);
            let values = [Some(found.below), *auroc].map(cell);
            Some((index, counts.into_iter().chain(values).collect()))
        });
        (*kind, rows.collect())
    });
    let caption = "How well doubt tells cases that failed";
    let doubt = grouped(evaluations, caption, "kind of doubt", &TERMS[ABSENT..], groups);
    let caption = "Classes that are absent";
    let absent = by_class(evaluations, caption, &TERMS[..ABSENT], |one| &one.absent, absent);
    figures(&all) + &doubt + &absent
}

fn absent(found: &Absent) -> Vec<String> {
    vec![count_cell(found.cases), count_cell(found.false_alarms), cell(found.rate())]
}

/// The kinds of doubt that any evaluation knows of.
fn kinds(evaluations: &[Evaluation]) -> Vec<&str> {
    let found = evaluations.iter().filter_map(|one| one.failures.as_ref());
    let kinds: BTreeSet<&str> = found.flat_map(|it| it.auroc.keys()).map(String::as_str).collect();
    kinds.into_iter().collect()
}

/// The doubt of each case against its Dice.
fn scatter(evaluations: &[Evaluation], kind: &str) -> String {
    let mut plot =
        Plot::new(&label(kind), "Dice, mean over classes").within(None, Some([0.0, 1.0]));
    let mut limits: Vec<f64> = Vec::new();
    for (series, evaluation) in evaluations.iter().enumerate() {
        let Some(failures) = &evaluation.failures else { continue };
        if !limits.contains(&failures.below) {
            limits.push(failures.below);
            let text = format!("failed below {}", number(Some(failures.below)));
            plot.level("dashed", series, failures.below, text);
        }
        for case in &evaluation.cases {
            let (Some(doubt), Some(dice)) = (case.doubt.get(kind), value(case, MEAN, "dice"))
            else {
                continue;
            };
            let tip = format!("{}, {}: Dice {}", evaluation.name, case.id, number(Some(dice)));
            plot.mark(series, [*doubt, dice], tip);
        }
    }
    let caption = format!(
        "Each point is a case: to the right, those that the model doubts; at the bottom, those \
         that failed. Cases without Dice are not drawn.{}",
        legend(evaluations)
    );
    figure(&format!("{} and Dice", label(kind)), &plot, &caption)
}
