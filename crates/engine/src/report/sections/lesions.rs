//! Lesions: connected components that are found, missed or made up.

use super::{LARGER, SMALLER, Term, by_class, count_cell, figure, figures, legend, names};
use crate::evaluate::{Evaluation, LesionSummary};
use crate::report::charts::Plot;
use crate::report::tables::cell;
use crate::report::text::number;

pub(super) const TERMS: &[Term] = &[
    Term::new("Lesions", None, "connected components of the reference, over all cases"),
    Term::new("Found", LARGER, "lesions that share at least one voxel with the prediction"),
    Term::new(
        "False alarms per case",
        SMALLER,
        "predicted components that share no voxel with the reference, mean over cases; undefined without a case",
    ),
    Term::new(
        "Sensitivity",
        LARGER,
        "the share of all lesions that are found; undefined without a lesion",
    ),
    Term::new(
        "Lesion precision",
        LARGER,
        "the share of predicted components that share a voxel with the reference; undefined where none is predicted",
    ),
    Term::new(
        "F1",
        LARGER,
        "2 found / (2 found + false alarms + missed); undefined where there is neither lesion nor prediction",
    ),
    Term::new(
        "PQ",
        LARGER,
        "panoptic quality, SQ times RQ (Kirillov et al. 2019); undefined where there is neither lesion nor prediction",
    ),
    Term::new(
        "SQ",
        LARGER,
        "segmentation quality: mean intersection over union of matches, which share more than half of their union; undefined without a match",
    ),
    Term::new(
        "RQ",
        LARGER,
        "recognition quality: the F1 score of matches; undefined where there is neither lesion nor prediction",
    ),
    Term::new(
        "FROC score",
        LARGER,
        "mean sensitivity at ⅛, ¼, ½, 1, 2, 4 and 8 false alarms per image, as the threshold of probability varies; undefined without probabilities or without a lesion",
    ),
];

/// The most false alarms per image that the score of the curve looks at.
const MOST: f64 = 8.0;

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let mut all = String::new();
    for class in names(evaluations, |one| &one.lesions) {
        let points = || {
            let found = evaluations.iter().filter_map(|one| one.lesions.get(class));
            found.flat_map(|it| &it.froc_curve).map(|point| point.false_alarms)
        };
        let range = points().fold(1.0, f64::max).min(MOST);
        let mut plot = Plot::new("false alarms per image", "share of lesions found")
            .within(Some([0.0, range]), Some([0.0, 1.0]));
        for (series, evaluation) in evaluations.iter().enumerate() {
            let Some(found) = evaluation.lesions.get(class) else { continue };
            draw(&mut plot, series, &evaluation.name, found, range);
        }
        let caption = format!(
            "Free-response operating characteristic: as the threshold falls, more lesions are \
             found, and more false alarms made. At most 8 false alarms are shown.{}",
            legend(evaluations)
        );
        all += &figure(&format!("{class}, lesions found"), &plot, &caption);
    }
    let caption = "Lesions of all cases together";
    figures(&all) + &by_class(evaluations, caption, TERMS, |one| &one.lesions, cells)
}

fn draw(plot: &mut Plot, series: usize, model: &str, found: &LesionSummary, range: f64) {
    let mut points: Vec<[f64; 2]> =
        found.froc_curve.iter().map(|point| [point.false_alarms, point.sensitivity]).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.retain(|[alarms, _]| *alarms <= range);
    plot.curve("solid", series, points.iter().map(|[alarms, found]| (*alarms, Some(*found))));
    for [alarms, sensitivity] in points {
        let (found, alarms_shown) = (number(Some(sensitivity)), number(Some(alarms)));
        let tip = format!("{model}: {found} found at {alarms_shown} false alarms per image");
        plot.mark(series, [alarms, sensitivity], tip);
    }
}

fn cells(found: &LesionSummary) -> Vec<String> {
    let counts = [found.total.lesions, found.total.found].map(count_cell);
    let values = [
        found.false_alarms_per_case,
        found.sensitivity,
        found.precision,
        found.f1,
        found.panoptic_quality,
        found.segmentation_quality,
        found.recognition_quality,
        found.froc,
    ];
    counts.into_iter().chain(values.map(cell)).collect()
}
