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
pub(crate) fn of_masks(metric: &MetricConfig) -> Definition {
    definition(&metric.as_dyn().definition(), metric.as_dyn().scale())
}

/// What a score of probabilities is, of each case by itself; of `regions`, each of which is scored by itself.
pub(crate) fn of_probabilities(metric: &ProbabilityMetricConfig, regions: bool) -> Definition {
    let each =
        if regions { "; mean over the regions, each against all that is not in it" } else { "" };
    let text = format!("{}; of each case{each}", metric.as_dyn().definition());
    definition(&text, metric.as_dyn().scale())
}

pub(super) fn definition(text: &str, scale: Scale) -> Definition {
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
