//! The guide's page on scores leaves none out.

use std::collections::BTreeSet;

use sconce::engine::evaluate::{Definitions, EvaluateConfig, LesionSummary, RaterSummary};
use sconce::metrics::{ChallengeConfig, MetricConfig, ProbabilityMetricConfig};

const PAGE: &str = include_str!("../../guide/metrics.md");

/// All that the page has in code, whole and word by word.
fn named() -> BTreeSet<&'static str> {
    let text = PAGE.split("```").step_by(2);
    let spans = text.flat_map(|part| part.split('`').skip(1).step_by(2));
    spans.flat_map(|span| span.split(' ').chain([span])).collect()
}

#[test]
fn every_score_has_its_definition_in_the_guide() {
    let named = named();
    let families = [MetricConfig::NAMES, ProbabilityMetricConfig::NAMES, ChallengeConfig::NAMES];
    for name in families.into_iter().flatten() {
        assert!(named.contains(name), "guide/metrics.md does not speak of {name}");
    }
    for (name, _) in Definitions::NAMES {
        assert!(named.contains(name), "guide/metrics.md does not speak of --definitions {name}");
    }
    // Names that tell definitions apart, too.
    let config = |definitions| EvaluateConfig::default().by(definitions);
    for (_, definitions) in Definitions::NAMES {
        for metric in config(definitions).masks {
            let label = metric.as_dyn().label();
            assert!(named.contains(label.as_str()), "guide/metrics.md does not speak of {label}");
        }
    }
}

#[test]
fn what_is_of_all_cases_together_is_in_the_guide_too() -> Result<(), serde_json::Error> {
    let named = named();
    let tables = [
        serde_json::to_value(LesionSummary::default())?,
        serde_json::to_value(RaterSummary::default())?,
    ];
    // Sums of what is told, and how sure it is.
    let parts = [
        "total",
        "difference_interval",
        "as_good_as_a_rater",
        "false_alarms_per_case",
        "recognition_quality",
    ];
    for key in tables.iter().filter_map(|table| table.as_object()).flat_map(|table| table.keys()) {
        let known = named.contains(key.as_str()) || parts.contains(&key.as_str());
        assert!(known, "guide/metrics.md does not speak of {key}");
    }
    let tables = [
        "calibration",
        "calibration_whole",
        "thresholds",
        "absent",
        "raters",
        "failures",
        "fine_grained",
    ];
    for table in tables {
        assert!(named.contains(table), "guide/metrics.md does not speak of {table}");
    }
    Ok(())
}
