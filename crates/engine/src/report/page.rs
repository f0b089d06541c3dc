//! The page, section by section.

use super::charts::Series;
use super::text::{count, escape, label, number, number_like, plural, put};
use super::{
    MEAN, ReportInput, SERIES, aggregate, charts, definition, mask_scores, primary,
    probability_scores, provenance, sections, tables,
};
use crate::Provenance;
use crate::evaluate::{Evaluation, Summary};

const STYLE: &str = include_str!("page.css");
/// The filter first: it takes names from headings before sorting puts buttons there.
const TABLES: &str = concat!(include_str!("filter.js"), include_str!("sort.js"));
/// What volumes are leafed through with.
const VIEWER: &str = include_str!("viewer.js");

/// A part of the page that the menu leads to.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Empty where there is nothing to show.
    pub(super) body: String,
}

pub(super) fn page(report: &ReportInput) -> String {
    let evaluations = &report.evaluations;
    let mut sections = vec![
        Section { id: "classes", title: "Overlap and distance", body: classes(evaluations) },
        Section { id: "pictures", title: "Cases to look at", body: pictures(report) },
        Section { id: "calibration", title: "Calibration", body: calibration(report) },
    ];
    sections.extend(sections::all(evaluations));
    sections.extend([
        Section { id: "curves", title: "Learning curves", body: curves(report) },
        Section { id: "cases", title: "All cases", body: cases(evaluations) },
        Section { id: "definitions", title: "Definitions", body: definitions(evaluations) },
        Section { id: "settings", title: "Settings", body: settings(report) },
        Section { id: "provenance", title: "Provenance", body: provenance::of(evaluations) },
    ]);
    let (title, overview) = (escape(&report.title), overview(evaluations));
    framed(&title, &overview, &cards(evaluations), &sections, &report.provenance)
}

/// A page of sections, with a menu of those that have content; texts are escaped already.
pub(super) fn framed(
    title: &str,
    overview: &str,
    cards: &str,
    sections: &[Section],
    provenance: &Provenance,
) -> String {
    let shown = || sections.iter().filter(|section| !section.body.is_empty());
    let (mut menu, mut content) = (String::new(), String::new());
    for Section { id, title, body } in shown() {
        put!(menu, "<a href=\"#{id}\">{title}</a>");
        put!(content, "<section id=\"{id}\"><h2>{title}</h2>\n{body}</section>\n");
    }
    let viewer = if content.contains("class=\"viewer\"") { VIEWER } else { "" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{}{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n\
         <p>{overview}</p>\n<nav aria-label=\"Sections\">{menu}</nav>\n</header>\n<main>\n{cards}{content}</main>\n\
         <footer><p>{}</p></footer>\n<script>\n{TABLES}{viewer}</script>\n</body>\n</html>\n",
        charts::STYLE,
        made_by(provenance),
    )
}

fn overview(evaluations: &[Evaluation]) -> String {
    if evaluations.iter().all(|evaluation| evaluation.cases.is_empty()) {
        return "No case was evaluated.".to_owned();
    }
    let mut datasets: Vec<(&str, usize)> = Vec::new();
    for Evaluation { dataset, cases, .. } in evaluations {
        match datasets.iter_mut().find(|(known, _)| known == dataset) {
            Some((_, most)) => *most = cases.len().max(*most),
            None => datasets.push((dataset, cases.len())),
        }
    }
    let datasets: Vec<String> = datasets
        .iter()
        .map(|(name, cases)| format!("{} ({})", escape(name), plural(*cases, "case")))
        .collect();
    let sets = if datasets.len() > 1 { "Data sets" } else { "Data set" };
    let names: Vec<String> = evaluations
        .iter()
        .enumerate()
        .map(|(index, evaluation)| {
            format!("<i class=\"chip s{}\"></i>{}", index % SERIES, escape(&evaluation.name))
        })
        .collect();
    let what = if names.len() > 1 { "Models" } else { "Model" };
    format!("{sets}: {}. {what}: {}.", datasets.join(", "), names.join(", "))
}

fn made_by(provenance: &Provenance) -> String {
    let command = if provenance.command.is_empty() {
        String::new()
    } else {
        format!(": <code>{}</code>", escape(&provenance.command))
    };
    format!(
        "Made by {}{command}. For research; not a medical device.",
        if provenance.version.is_empty() { "sconce".into() } else { escape(&provenance.version) }
    )
}

/// The numbers that most readers came for.
fn cards(evaluations: &[Evaluation]) -> String {
    const MASKS: usize = 3;
    const PROBABILITIES: usize = 2;
    let mut cards = String::new();
    let tip = |score: &str| definition(evaluations, score).map_or("", |found| &found.text);
    let unit = |score: &str| definition(evaluations, score).map_or("", |found| &found.unit);
    for score in mask_scores(evaluations).into_iter().take(MASKS) {
        let several = evaluations.iter().any(|evaluation| evaluation.classes.len() > 1);
        let name = if several { format!("{}, mean", label(score)) } else { label(score) };
        let values: Vec<_> = evaluations
            .iter()
            .map(|evaluation| headline(aggregate(evaluation, MEAN, score), unit(score)))
            .collect();
        cards += &tables::card(evaluations, &name, tip(score), &values);
    }
    if evaluations.iter().any(|evaluation| evaluation.calibration.is_some()) {
        let values: Vec<_> = evaluations
            .iter()
            .map(|evaluation| {
                let ece = evaluation.calibration.as_ref().map(|found| found.pooled_ece);
                (ece, "", "voxels of all cases together".to_owned())
            })
            .collect();
        let tip = "Expected calibration error: the mean distance between confidence and the share \
                   that was right, over the bins of the reliability diagram. Case ECE, below, is \
                   another number: of all voxels of each case by themselves.";
        cards += &tables::card(evaluations, &label("pooled_ece"), tip, &values);
    }
    let others = probability_scores(evaluations).into_iter().filter(|score| *score != "case_ece");
    for score in others.take(PROBABILITIES) {
        let values: Vec<_> = evaluations
            .iter()
            .map(|evaluation| headline(evaluation.probabilities.get(score), unit(score)))
            .collect();
        cards += &tables::card(evaluations, &label(score), tip(score), &values);
    }
    if cards.is_empty() {
        return String::new();
    }
    let several = if evaluations.len() > 1 { " several" } else { "" };
    format!(
        "<section class=\"cards{several}\" aria-label=\"Headline numbers\">\n{cards}</section>\n"
    )
}

fn headline<'a>(found: Option<&Summary>, unit: &'a str) -> (Option<f64>, &'a str, String) {
    let Some(aggregate) = found else {
        return (None, unit, "not evaluated".to_owned());
    };
    let cases = aggregate.defined + aggregate.undefined;
    let mut note = String::new();
    if let Some(sd) = aggregate.standard_deviation {
        put!(note, "± {}, ", number_like(Some(sd), aggregate.mean));
    }
    if aggregate.undefined > 0 {
        put!(note, "defined in {} of ", aggregate.defined);
    }
    note += &plural(cases, "case");
    (aggregate.mean, unit, note)
}

pub(super) fn chart(class: &str, drawing: &charts::Drawing, label: &str, caption: &str) -> String {
    format!(
        "<figure class=\"chart {class}\">{}<figcaption>{caption}</figcaption></figure>\n",
        drawing.inline("", label)
    )
}

fn classes(evaluations: &[Evaluation]) -> String {
    let scores = mask_scores(evaluations);
    if scores.is_empty() || evaluations.iter().all(|evaluation| evaluation.cases.is_empty()) {
        return String::new();
    }
    let mut figures = String::new();
    // Overlap and one distance show two sides of a model.
    let first = primary(evaluations);
    let distance = scores.iter().copied().find(|score| {
        Some(*score) != first
            && definition(evaluations, score).is_some_and(|found| found.unit == "mm")
    });
    for score in first.into_iter().chain(distance) {
        let Some(drawing) = charts::strips(evaluations, score) else { continue };
        let name = label(score);
        let caption = format!(
            "{} of each case. Box: quartiles and median; whiskers: up to 1.5 times its width. \
             n: cases where it is defined; –: cases where it is not.",
            escape(&name)
        );
        let label = format!("Distribution of {name} over cases, for each class");
        figures += &chart("", &drawing, &label, &caption);
    }
    format!("<div class=\"charts\">{figures}</div>\n{}", tables::by_class(evaluations))
}

/// Every calibration: before a temperature was fitted, and after.
fn calibrations(report: &ReportInput) -> Vec<Series<'_>> {
    let mut series = Vec::new();
    for (color, evaluation) in report.evaluations.iter().enumerate() {
        let before = report.before.iter().find(|(name, _)| *name == evaluation.name);
        if let Some((name, calibration)) = before {
            let name = format!("{name}, before");
            series.push(Series { name, calibration, color, before: true });
        }
        if let Some(calibration) = &evaluation.calibration {
            let after = if before.is_some() { ", calibrated" } else { "" };
            let name = format!("{}{after}", evaluation.name);
            series.push(Series { name, calibration, color, before: false });
        }
    }
    series
}

fn calibration(report: &ReportInput) -> String {
    let evaluations = &report.evaluations;
    let series = calibrations(report);
    let mut body = String::new();
    if !series.is_empty() {
        let mut errors = String::new();
        for Series { name, calibration, .. } in &series {
            let voxels = calibration.bins.iter().map(|bin| bin.count).sum();
            put!(
                errors,
                "<li>{}: {} {} over {} voxels ({})</li>",
                escape(name),
                label("pooled_ece"),
                number(Some(calibration.pooled_ece)),
                count(voxels),
                escape(&calibration.voxels)
            );
        }
        for evaluation in evaluations {
            let Some(scaling) = evaluation.scaling else { continue };
            let name = escape(&evaluation.name);
            put!(errors, "<li>{name}: probabilities {}</li>", escape(scaling.in_words()));
        }
        let caption = format!(
            "<p>Above: how often predictions were right, by their confidence. On the dashed line, \
             confidence can be taken at its word; below it, the model is overconfident. Beneath: \
             the number of voxels in each bin, on a logarithmic axis.</p><ul>{errors}</ul>"
        );
        body +=
            &chart("square", &charts::reliability(&series), &charts::describe(&series), &caption);
    }
    body + &sections::calibration_table(evaluations) + &tables::probabilities(evaluations)
}

fn curves(report: &ReportInput) -> String {
    let mut figures = String::new();
    let mut legend = String::new();
    for (index, (name, _)) in report.history.iter().enumerate() {
        put!(legend, "<li><i class=\"chip s{}\"></i>{}</li>", index % SERIES, escape(name));
    }
    let legend = format!("<ul class=\"legend\">{legend}</ul>");
    if let Some(drawing) = charts::loss_curves(&report.history) {
        let caption = format!("Solid: held-out patches. Dashed: training.{legend}");
        figures += &chart("", &drawing, "Loss over epochs", &caption);
    }
    if let Some(drawing) = charts::dice_curves(&report.history) {
        let caption = format!(
            "Over all held-out patches of an epoch together. Thin: each class. It is not the Dice \
             of whole cases above.{legend}"
        );
        figures += &chart("", &drawing, "Dice of held-out patches over epochs", &caption);
    }
    if figures.is_empty() { figures } else { format!("<div class=\"charts\">{figures}</div>\n") }
}

fn pictures(report: &ReportInput) -> String {
    if report.pictures.is_empty() {
        return String::new();
    }
    let figures: String =
        report.pictures.iter().enumerate().map(|(index, picture)| picture.figure(index)).collect();
    format!("<div class=\"pictures\">{figures}</div>\n")
}

fn cases(evaluations: &[Evaluation]) -> String {
    let full = || evaluations.iter().filter(|evaluation| !evaluation.cases.is_empty());
    if full().next().is_none() {
        return String::new();
    }
    let mut body = tables::side_by_side(evaluations);
    body += &full().map(tables::by_case).collect::<String>();
    body
}

fn definitions(evaluations: &[Evaluation]) -> String {
    let terms = sections::terms(evaluations);
    if terms.is_empty() && evaluations.iter().all(|one| one.definitions.is_empty()) {
        return String::new();
    }
    let note = "<p class=\"note\">Means are over the cases where a score is defined; “–” stands \
                for an undefined value, which takes no part in any mean and is counted beside \
                it.</p>\n";
    note.to_owned() + &tables::definitions(evaluations, &terms)
}

fn settings(report: &ReportInput) -> String {
    if report.settings.is_empty() { String::new() } else { tables::settings(&report.settings) }
}
