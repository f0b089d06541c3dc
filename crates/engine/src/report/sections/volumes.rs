//! How predicted volumes agree with those of the reference.

use metrics::Summary;

use super::{Term, count_cell, figure, figures, grouped, legend};
use crate::evaluate::Evaluation;
use crate::report::charts::Plot;
use crate::report::classes;
use crate::report::tables::cell;
use crate::report::text::{number, quantity};

pub(super) const TERMS: &[Term] = &[
    Term::new("Cases", None, "cases whose volumes are known; the others take no part"),
    Term::new(
        "Mean difference",
        None,
        "predicted minus reference volume, mean over cases: above 0, too much is predicted; undefined without a case",
    )
    .in_unit("ml"),
    Term::new(
        "SD of differences",
        super::SMALLER,
        "the standard deviation of predicted minus reference volume over cases; undefined of fewer than two",
    )
    .in_unit("ml"),
    Term::new(
        "Lower limit of agreement",
        None,
        "mean difference − 1.96 standard deviations (Bland and Altman 1986): of normally distributed differences, 95 % lie between both limits; undefined of fewer than two cases",
    )
    .in_unit("ml"),
    Term::new(
        "Upper limit of agreement",
        None,
        "mean difference + 1.96 standard deviations (Bland and Altman 1986); undefined of fewer than two cases",
    )
    .in_unit("ml"),
    Term::new("Mean reference volume", None, "mean over cases; undefined without a case").in_unit("ml"),
];

/// The factor of the limits of agreement.
const LIMIT: f64 = 1.96;

/// A case with its predicted and its reference volume, ml.
type Volumes<'a> = Vec<(&'a str, [f64; 2])>;

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let mut all = String::new();
    let mut groups = Vec::new();
    for class in classes(evaluations) {
        let found: Vec<(usize, &str, Volumes<'_>)> = evaluations
            .iter()
            .enumerate()
            .map(|(series, one)| (series, one.name.as_str(), volumes(one, class)))
            .filter(|(.., volumes)| !volumes.is_empty())
            .collect();
        if found.is_empty() {
            continue;
        }
        let legend = legend(evaluations);
        let caption = format!(
            "Bland–Altman plot. Above 0, too much is predicted. Solid: mean difference. Dashed: \
             the limits of agreement, 1.96 standard deviations to either side.{legend}"
        );
        let mut pair = figure(&format!("{class}, volumes"), &differences(&found), &caption);
        let caption = format!("Each point is a case; on the dashed line, both are equal.{legend}");
        pair += &figure(&format!("{class}, predicted and reference"), &scatter(&found), &caption);
        all += &figures(&pair);
        let rows = found.iter().map(|(series, _, volumes)| (*series, cells(volumes)));
        groups.push((class, rows.collect::<Vec<_>>()));
    }
    let caption = "Agreement of volumes";
    all + &grouped(evaluations, caption, "class", TERMS, groups.into_iter())
}

fn volumes<'a>(evaluation: &'a Evaluation, class: &str) -> Volumes<'a> {
    const MM3_OF_ML: f64 = 1000.0;
    let of_case = evaluation.cases.iter().map(|case| (case.id.as_str(), case.volumes(class)));
    of_case.filter_map(|(id, found)| Some((id, found?.map(|mm3| mm3 / MM3_OF_ML)))).collect()
}

/// Predicted minus reference.
fn agreement(volumes: &Volumes<'_>) -> Summary {
    Summary::of(volumes.iter().map(|(_, [predicted, reference])| Some(predicted - reference)))
}

/// The mean, and the limits around it.
fn limits(found: &Summary) -> [Option<f64>; 3] {
    let reach = found.standard_deviation.map(|sd| LIMIT * sd);
    let at = |sign: f64| Some(found.mean? + sign * reach?);
    [at(-1.0), found.mean, at(1.0)]
}

fn differences(found: &[(usize, &str, Volumes<'_>)]) -> Plot {
    let mut plot = Plot::new("mean of both volumes, ml", "predicted − reference, ml");
    for (series, model, volumes) in found {
        let [lower, mean, upper] = limits(&agreement(volumes));
        for (style, value) in [("dashed", lower), ("solid", mean), ("dashed", upper)] {
            if let Some(value) = value {
                // Of several models, color tells the lines apart.
                let label = if found.len() > 1 { String::new() } else { number(Some(value)) };
                plot.level(style, *series, value, label);
            }
        }
        for (id, [predicted, reference]) in volumes {
            let difference = predicted - reference;
            let tip = format!("{model}, {id}: {}", quantity(Some(difference), "ml"));
            plot.mark(*series, [f64::midpoint(*predicted, *reference), difference], tip);
        }
    }
    plot
}

fn scatter(found: &[(usize, &str, Volumes<'_>)]) -> Plot {
    let mut plot = Plot::new("reference volume, ml", "predicted volume, ml").with_diagonal();
    for (series, model, volumes) in found {
        for (id, [predicted, reference]) in volumes {
            let of = |value: &f64| quantity(Some(*value), "ml");
            let tip = format!("{model}, {id}: {} of {}", of(predicted), of(reference));
            plot.mark(*series, [*reference, *predicted], tip);
        }
    }
    plot
}

fn cells(volumes: &Volumes<'_>) -> Vec<String> {
    let found = agreement(volumes);
    let [lower, mean, upper] = limits(&found);
    let reference = Summary::of(volumes.iter().map(|(_, [_, reference])| Some(*reference))).mean;
    let values = [mean, found.standard_deviation, lower, upper, reference];
    [count_cell(volumes.len())].into_iter().chain(values.map(cell)).collect()
}
