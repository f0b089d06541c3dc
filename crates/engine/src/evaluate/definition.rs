//! Each score in words, for those who read a report.

use metrics::{Better, MetricConfig, ProbabilityMetric, ProbabilityMetricConfig, Scale, Unit};

use super::Definition;

/// What a score of probabilities is called: the calibration error of each case is another number
/// than that of all voxels together, `pooled_ece`.
pub(super) fn name(metric: &dyn ProbabilityMetric) -> String {
    match metric.name() {
        "ece" => "case_ece".to_owned(),
        _ => metric.label(),
    }
}

/// What a score of masks is.
pub(super) fn of_masks(metric: &MetricConfig) -> Definition {
    let text = match metric.name() {
        "dice" => "2 |P ∩ R| / (|P| + |R|); undefined where both masks are empty, 0 where one is",
        "iou" => "|P ∩ R| / |P ∪ R|; undefined where both masks are empty, 0 where one is",
        "precision" => "|P ∩ R| / |P|; undefined where nothing is predicted",
        "recall" => "|P ∩ R| / |R|; undefined where the reference is empty",
        "hd95" => {
            "95th percentile of the distances between the borders, mm, the worse of both \
             directions; undefined where either mask is empty"
        }
        "assd" => {
            "mean distance between the borders, mm, over both directions together; undefined \
             where either mask is empty"
        }
        "nsd" => {
            "share of both surfaces within 1 mm of the other; undefined where both masks are \
             empty, 0 where one is"
        }
        other => other,
    };
    definition(text, metric.as_dyn().scale())
}

/// What a score of probabilities is; of `regions`, each of which is scored by itself.
pub(super) fn of_probabilities(metric: &ProbabilityMetricConfig, regions: bool) -> Definition {
    let text = match metric.name() {
        "ece" => {
            "expected calibration error of the predicted class over all voxels of a case by \
             themselves, ten equal bins; of several raters, the share that agrees counts as \
             accuracy"
        }
        "brier" => "mean squared distance between predicted and true class probabilities",
        "nll" => "mean negative log likelihood of the true class probabilities, nats",
        "bdice" => {
            "Dice of prediction and soft reference, both cut at 0.1, 0.2, … 0.9, averaged over \
             the cuts (QUBIQ)"
        }
        other => other,
    };
    let each =
        if regions { "; mean over the regions, each against all that is not in it" } else { "" };
    definition(&format!("{text}{each}"), metric.as_dyn().scale())
}

fn definition(text: &str, scale: Scale) -> Definition {
    let unit = match scale.unit {
        Unit::Millimeters => "mm",
        Unit::CubicMillimeters => "mm³",
        Unit::Nats => "nats",
        _ => "",
    };
    Definition {
        text: text.to_owned(),
        unit: unit.to_owned(),
        larger_is_better: scale.better == Better::Larger,
    }
}
