//! Sections of the page, one file for each kind of finding.
//!
//! Each has `section`, which is empty where no evaluation has anything to show, and `TERMS`, what its numbers are.

mod calibration;
mod challenge;
mod comparison;
mod failures;
mod fine_grained;
mod lesions;
mod raters;
mod thresholds;
mod unmatched;
mod volumes;

use std::collections::BTreeMap;

use super::charts::Plot;
use super::page::Section;
use super::tables::{name_cell, table};
use super::text::{count, escape, put};
use super::{classes, page};
use crate::evaluate::Evaluation;

pub(super) use self::calibration::table as calibration_table;

/// A number of the report, in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// What its column is called.
    pub(super) name: &'static str,
    /// Empty where it has none.
    pub(super) unit: &'static str,
    /// Whether larger values are better; `None` where neither is.
    pub(super) larger_is_better: Option<bool>,
    /// The definition, with when it is undefined.
    pub(super) text: &'static str,
    /// Whether its cells hold words, not numbers.
    words: bool,
}

impl Term {
    const fn new(name: &'static str, better: Option<bool>, text: &'static str) -> Self {
        Self { name, unit: "", larger_is_better: better, text, words: false }
    }

    const fn in_unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    const fn in_words(self) -> Self {
        Self { words: true, ..self }
    }

    fn heading(&self) -> String {
        let arrow = self.larger_is_better.map_or("", |up| if up { " ↑" } else { " ↓" });
        let hint = format!("{}{arrow}", self.unit);
        let hint = hint.trim();
        let small = if hint.is_empty() { String::new() } else { format!(" <small>{hint}</small>") };
        let class = if self.words { " class=\"text\"" } else { "" };
        format!(
            "<th scope=\"col\"{class} title=\"{}\">{}{small}</th>",
            escape(self.text),
            self.name
        )
    }
}

/// Whether larger values are better.
const LARGER: Option<bool> = Some(true);
const SMALLER: Option<bool> = Some(false);

/// The sections of what lies beyond masks: thresholds, volumes, lesions and so on.
pub(super) fn all(evaluations: &[Evaluation]) -> Vec<Section> {
    [
        ("comparison", "Comparison", comparison::section(evaluations)),
        ("thresholds", "Thresholds", thresholds::section(evaluations)),
        ("volumes", "Volumes", volumes::section(evaluations)),
        ("lesions", "Lesions", lesions::section(evaluations)),
        ("raters", "Raters", raters::section(evaluations)),
        ("failures", "Failures", failures::section(evaluations)),
        ("fine", "Fine-grained overlap", fine_grained::section(evaluations)),
        ("challenge", "Challenge", challenge::section(evaluations)),
        ("unmatched", "Unmatched files", unmatched::section(evaluations)),
    ]
    .into_iter()
    .map(|(id, title, body)| Section { id, title, body })
    .collect()
}

/// What the numbers are that the evaluations have; of sections that are left out, none.
pub(super) fn terms(evaluations: &[Evaluation]) -> Vec<Term> {
    let sections = all(evaluations);
    let shown = |id: &str| sections.iter().any(|one| one.id == id && !one.body.is_empty());
    let calibrated = !calibration::table(evaluations).is_empty();
    [
        (calibrated, calibration::TERMS),
        (shown("comparison"), comparison::TERMS),
        (shown("thresholds"), thresholds::TERMS),
        (shown("volumes"), volumes::TERMS),
        (shown("lesions"), lesions::TERMS),
        (shown("raters"), raters::TERMS),
        (shown("failures"), failures::TERMS),
        (shown("fine"), fine_grained::TERMS),
    ]
    .into_iter()
    .filter(|(shown, _)| *shown)
    .flat_map(|(_, terms)| terms)
    .copied()
    .collect()
}

/// The names of a map by class, in the order of the evaluations' classes; others after them.
fn names<'a, T: 'a>(
    evaluations: &'a [Evaluation],
    of: impl Fn(&'a Evaluation) -> &'a BTreeMap<String, T>,
) -> Vec<&'a str> {
    let has = |class: &str| evaluations.iter().any(|one| of(one).contains_key(class));
    let mut names: Vec<&str> =
        classes(evaluations).into_iter().filter(|class| has(class)).collect();
    for name in evaluations.iter().flat_map(|one| of(one).keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// A table with a row for each class and each evaluation that has something of it; empty without any row.
fn by_class<'a, T: 'a>(
    evaluations: &'a [Evaluation],
    caption: &str,
    terms: &[Term],
    of: impl Fn(&'a Evaluation) -> &'a BTreeMap<String, T>,
    cells: impl Fn(&T) -> Vec<String>,
) -> String {
    let rows = names(evaluations, &of).into_iter().map(|class| {
        let models = evaluations.iter().enumerate();
        let found = models.filter_map(|(index, one)| Some((index, of(one).get(class)?)));
        (class, found.map(|(index, found)| (index, cells(found))).collect())
    });
    grouped(evaluations, caption, "class", terms, rows)
}

/// A table of rows in groups, each row with the place of its evaluation; empty without any row.
fn grouped<'a>(
    evaluations: &[Evaluation],
    caption: &str,
    kind: &str,
    terms: &[Term],
    groups: impl Iterator<Item = (&'a str, Vec<(usize, Vec<String>)>)>,
) -> String {
    let several = evaluations.len() > 1;
    let mut head = format!("<th scope=\"col\" class=\"text\">{kind}</th>");
    if several {
        head += "<th scope=\"col\" class=\"text\">model</th>";
    }
    head += &terms.iter().map(Term::heading).collect::<String>();
    let mut body = String::new();
    for (name, rows) in groups {
        for (at, (index, cells)) in rows.into_iter().enumerate() {
            let group = if at == 0 { "first" } else { "next" };
            put!(body, "<tr class=\"{group}\"><th scope=\"row\" class=\"text\">{}", escape(name));
            body += "</th>";
            if several {
                body += &name_cell(&evaluations[index], index);
            }
            put!(body, "{}</tr>\n", cells.concat());
        }
    }
    if body.is_empty() { body } else { table("", caption, &head, &body) }
}

/// A cell of a count.
fn count_cell(value: usize) -> String {
    format!("<td>{}</td>", count(value as u64))
}

/// A figure of a plot, empty where there is nothing in it; `caption` is HTML.
fn figure(title: &str, plot: &Plot, caption: &str) -> String {
    let Some(drawing) = plot.draw() else { return String::new() };
    let caption = format!("<b>{}.</b> {caption}", escape(title));
    page::chart("", &drawing, title, &caption)
}

/// Figures side by side; empty without any.
fn figures(all: &str) -> String {
    if all.is_empty() { String::new() } else { format!("<div class=\"charts\">{all}</div>\n") }
}

/// The names of several evaluations with their marks; empty of one.
fn legend(evaluations: &[Evaluation]) -> String {
    if evaluations.len() < 2 {
        return String::new();
    }
    let mut names = String::new();
    for (index, one) in evaluations.iter().enumerate() {
        let series = index % super::SERIES;
        put!(names, "<li><i class=\"chip s{series}\"></i>{}</li>", escape(&one.name));
    }
    format!("<ul class=\"legend\">{names}</ul>")
}

#[cfg(test)]
mod tests;
