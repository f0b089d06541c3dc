//! The report of an evaluation: one HTML file that needs nothing else.
//!
//! | to do | use |
//! |---|---|
//! | make the page | [`html`] from a [`ReportInput`] |
//! | report runs and models on disk | [`of_folders`] |
//! | report a study | [`study_html`] |
//! | choose which cases to show | [`exemplars`], [`Exemplar`] |
//! | show a case | [`Snapshot`]; [`pictures`] of the worst cases and all exemplars |
//! | make a picture by hand | [`Picture`], [`Contour`], [`Role`], [`window`] |
//! | lay labels over a single slice | [`overlay`](fn@overlay) |
//! | keep pictures | [`save_pictures`], [`load_pictures`] |
//! | draw a reliability diagram alone | [`reliability_svg`] |
//!
//! [`html`] is data in, text out: nothing is read, written or fetched, and equal input makes equal
//! bytes. It is not a dashboard: a report is of finished evaluations, and never changes.

mod charts;
mod contour;
mod data_set;
#[cfg(test)]
mod example;
mod folders;
mod overlay;
mod page;
mod picture;
mod provenance;
mod sections;
mod snapshot;
mod study;
mod svg;
mod tables;
mod text;

use crate::evaluate::{Calibration, CaseScores, Definition, Evaluation, Summary};
use crate::{EpochSummary, Provenance};

pub use self::charts::reliability_svg;
pub use self::data_set::data_set;
pub use self::folders::of_folders;
pub use self::overlay::overlay;
pub(crate) use self::picture::encode_colours;
pub use self::picture::{Contour, Picture, Role, load_pictures, save_pictures, window};
pub use self::snapshot::{Snapshot, pictures};
pub use self::study::study_html;

/// The number of colors; further series begin again with the first.
const SERIES: usize = 6;

/// The class that stands for the mean over foreground classes.
const MEAN: &str = "mean";

/// What a report is made from.
#[derive(Clone, Debug, Default)]
pub struct ReportInput {
    /// The heading.
    pub title: String,
    /// The models, side by side in this order.
    pub evaluations: Vec<Evaluation>,
    /// Calibration before a temperature was fitted, each with the name of an evaluation: drawn
    /// beside that evaluation's own.
    pub before: Vec<(String, Calibration)>,
    /// Learning curves, each with the name of its run.
    pub history: Vec<(String, Vec<EpochSummary>)>,
    /// Cases to look at.
    pub pictures: Vec<Picture>,
    /// Settings to list, as name and value.
    pub settings: Vec<(String, String)>,
    /// What made the report.
    pub provenance: Provenance,
}

/// The report as one HTML page.
///
/// Style, charts and pictures are inside; nothing is fetched, and all is readable without scripts
/// (a few lines of script let tables of cases be sorted by a click). It follows the reader's light
/// or dark mode, prints, and fits a phone. All texts are escaped. Values that are undefined show as
/// “–” and are counted; they are never 0.
///
/// Sections without content are left out; without any case, the page says so.
pub fn html(report: &ReportInput) -> String {
    page::page(report)
}

/// Which case of an evaluation a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemplar {
    /// The one with the best score.
    Best,
    /// The one in the middle; of two, the worse.
    Median,
    /// The one with the worst score.
    Worst,
}

/// The best, the median and the worst case of an evaluation, by Dice (or, where it has none, its
/// first score of masks), mean over classes.
///
/// Cases where that is undefined do not count. With fewer than three others, each of these appears
/// once, the worst first to stay; with none, there are no exemplars.
pub fn exemplars(evaluation: &Evaluation) -> Vec<(Exemplar, &str)> {
    let Some(score) = primary(std::slice::from_ref(evaluation)) else {
        return Vec::new();
    };
    let mut cases = tables::ranked(evaluation);
    cases.retain(|case| value(case, MEAN, score).is_some());
    let id = |index: usize| cases[index].id.as_str();
    match cases.len() {
        0 => Vec::new(),
        1 => vec![(Exemplar::Worst, id(0))],
        2 => vec![(Exemplar::Best, id(1)), (Exemplar::Worst, id(0))],
        count => vec![
            (Exemplar::Best, id(count - 1)),
            (Exemplar::Median, id((count - 1) / 2)),
            (Exemplar::Worst, id(0)),
        ],
    }
}

/// The foreground classes of all evaluations, and [`MEAN`] after them where there are several.
fn classes(evaluations: &[Evaluation]) -> Vec<&str> {
    let mut classes: Vec<&str> = Vec::new();
    for class in evaluations.iter().flat_map(|evaluation| &evaluation.classes) {
        if !classes.contains(&class.as_str()) {
            classes.push(class);
        }
    }
    if classes.len() > 1 {
        classes.push(MEAN);
    }
    classes
}

/// What a score of a class came to in an evaluation; [`MEAN`] of one class is that class.
fn aggregate<'a>(evaluation: &'a Evaluation, class: &str, score: &str) -> Option<&'a Summary> {
    let class = match evaluation.classes.as_slice() {
        [one] if class == MEAN => one,
        _ => class,
    };
    evaluation.masks.get(class)?.get(score)
}

/// Whether an evaluation is of a class at all: where it is not, nothing is undefined either.
fn covers(evaluation: &Evaluation, class: &str) -> bool {
    class == MEAN || evaluation.classes.iter().any(|own| own == class)
}

/// A finite score of a case; for the class [`MEAN`], if the case does not list it, the mean over
/// the classes where it is defined.
fn value(case: &CaseScores, class: &str, score: &str) -> Option<f64> {
    let of_class = |class: &str| case.masks.get(class)?.get(score).copied().flatten();
    if class != MEAN || case.masks.contains_key(MEAN) {
        return of_class(class).filter(|value| value.is_finite());
    }
    let defined: Vec<f64> = case
        .masks
        .keys()
        .filter_map(|class| of_class(class))
        .filter(|value| value.is_finite())
        .collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

/// The score that cases are ranked by: Dice, or else the first of masks.
fn primary(evaluations: &[Evaluation]) -> Option<&str> {
    mask_scores(evaluations).first().copied()
}

/// The scores of masks in any of the evaluations: overlap and distance first, as people read them.
fn mask_scores(evaluations: &[Evaluation]) -> Vec<&str> {
    let of_classes = evaluations.iter().flat_map(|evaluation| evaluation.masks.values());
    let aggregated = of_classes.flat_map(|scores| scores.keys());
    let cases = evaluations.iter().flat_map(|evaluation| &evaluation.cases);
    let of_cases = cases.flat_map(|case| case.masks.values()).flat_map(|scores| scores.keys());
    sorted(aggregated.chain(of_cases))
}

/// The scores of probabilities in any of the evaluations.
fn probability_scores(evaluations: &[Evaluation]) -> Vec<&str> {
    sorted(evaluations.iter().flat_map(|evaluation| evaluation.probabilities.keys()))
}

fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    const FIRST: &[&str] = &["dice", "hd95", "nsd", "assd", "iou"];
    let rank = |name: &str| {
        // What follows tells settings apart, as in `nsd_1mm`.
        let kind = name.split('_').next().unwrap_or_default();
        FIRST.iter().position(|first| *first == kind).unwrap_or(FIRST.len())
    };
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_by_key(|name| (rank(name), *name));
    names.dedup();
    names
}

fn definition<'a>(evaluations: &'a [Evaluation], score: &str) -> Option<&'a Definition> {
    evaluations.iter().find_map(|evaluation| evaluation.definitions.get(score))
}

#[cfg(test)]
mod tests;
