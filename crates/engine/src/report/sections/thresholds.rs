//! What other thresholds than one half would make of probabilities.

use metrics::{Goal, ThresholdPoint};

use super::{LARGER, Term, figure, figures, grouped, legend, names};
use crate::evaluate::{ChosenThreshold, Evaluation, ThresholdStudy};
use crate::report::charts::Plot;
use crate::report::tables::cell;
use crate::report::text::number;

pub(super) const TERMS: &[Term] = &[
    Term::new(
        "Threshold",
        None,
        "a voxel is predicted to belong to the class where its probability is at least this; – where no threshold serves the goal",
    ),
    Term::new(
        "Dice at threshold",
        LARGER,
        "2 TP / (2 TP + FP + FN) over the voxels of all cases together; undefined where nothing is predicted and there is nothing to find",
    ),
    Term::new(
        "Precision at threshold",
        LARGER,
        "the share of predicted voxels that are right, over all cases together; undefined where nothing is predicted",
    ),
    Term::new(
        "Recall at threshold",
        LARGER,
        "the share of the reference's voxels that are found, over all cases together; undefined where there are none",
    ),
];

const GOAL: Term =
    Term::new("Goal", None, "what the threshold was chosen by, on these cases").in_words();

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let mut all = String::new();
    for class in names(evaluations, |one| &one.thresholds) {
        let mut plot =
            Plot::new("threshold", "of all voxels").within(Some([0.0, 1.0]), Some([0.0, 1.0]));
        for (series, evaluation) in evaluations.iter().enumerate() {
            if let Some(study) = evaluation.thresholds.get(class) {
                draw(&mut plot, series, &evaluation.name, study);
            }
        }
        let caption = format!(
            "Solid: Dice. Dashed: precision. Dotted: recall. Marks: thresholds that were chosen, \
             on the curve of their goal.{}",
            legend(evaluations)
        );
        all += &figure(&format!("{class} over thresholds"), &plot, &caption);
    }
    figures(&all) + &chosen(evaluations)
}

/// The thresholds that were chosen, with what they make of each class.
fn chosen(evaluations: &[Evaluation]) -> String {
    let columns: Vec<Term> = [GOAL].iter().chain(TERMS).copied().collect();
    let groups = names(evaluations, |one| &one.thresholds).into_iter().map(|class| {
        let mut rows = Vec::new();
        for (index, evaluation) in evaluations.iter().enumerate() {
            let Some(study) = evaluation.thresholds.get(class) else { continue };
            rows.extend(study.chosen.iter().map(|chosen| (index, cells(study, chosen))));
        }
        (class, rows)
    });
    grouped(evaluations, "Chosen thresholds", "class", &columns, groups)
}

fn cells(study: &ThresholdStudy, chosen: &ChosenThreshold) -> Vec<String> {
    let point = point(study, chosen);
    vec![
        format!("<td class=\"text\">{}</td>", in_words(chosen.goal)),
        cell(chosen.threshold),
        cell(point.and_then(ThresholdPoint::dice)),
        cell(point.and_then(ThresholdPoint::precision)),
        cell(point.and_then(ThresholdPoint::recall)),
    ]
}

/// What the chosen threshold makes of the voxels.
fn point<'a>(study: &'a ThresholdStudy, chosen: &ChosenThreshold) -> Option<&'a ThresholdPoint> {
    let threshold = chosen.threshold?;
    study.points.iter().find(|point| (point.threshold - threshold).abs() < 1e-9)
}

fn in_words(goal: Goal) -> String {
    match goal {
        Goal::Recall(least) => format!("recall of at least {}", least.get()),
        Goal::Precision(least) => format!("precision of at least {}", least.get()),
        Goal::FBeta(beta) if (beta.get() - 1.0).abs() < 1e-9 => "largest Dice".to_owned(),
        Goal::FBeta(beta) => format!("largest F score with β = {}", beta.get()),
    }
}

fn draw(plot: &mut Plot, series: usize, model: &str, study: &ThresholdStudy) {
    let points = || study.points.iter();
    plot.curve("solid", series, points().map(|it| (it.threshold, it.dice())));
    plot.curve("dashed", series, points().map(|it| (it.threshold, it.precision())));
    plot.curve("dotted", series, points().map(|it| (it.threshold, it.recall())));
    for chosen in &study.chosen {
        let Some(point) = point(study, chosen) else { continue };
        let height = match chosen.goal {
            Goal::Recall(_) => point.recall(),
            Goal::Precision(_) => point.precision(),
            Goal::FBeta(_) => point.dice(),
        };
        let tip = format!("{model}, {}: {}", in_words(chosen.goal), number(chosen.threshold));
        plot.mark(series, [point.threshold, height.unwrap_or(f64::NAN)], tip);
    }
}
