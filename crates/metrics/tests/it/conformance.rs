//! What every row of the tables must do.

use anyhow::Context;
use ndarray::{Array3, arr1, arr2};
use sconce_metrics::{
    Better, MaskPair, Metric, MetricConfig, Probabilities, ProbabilityMetricConfig,
    ProbabilityPair, Scale, Truth,
};
use serde::de::DeserializeOwned;

/// A box of 3 × 2 × 2 voxels in 60.
fn block() -> Array3<bool> {
    Array3::from_shape_fn((5, 4, 3), |(z, y, x)| z < 3 && (1..3).contains(&y) && x > 0)
}

fn empty() -> Array3<bool> {
    Array3::from_elem((5, 4, 3), false)
}

fn measure(
    reference: &Array3<bool>,
    prediction: &Array3<bool>,
) -> Vec<(&'static str, Option<f64>)> {
    let pair = MaskPair::new(reference, prediction, &[2.0, 1.0, 0.5]).unwrap();
    let all = MetricConfig::defaults();
    all.iter().map(|metric| (metric.name(), metric.as_dyn().measure(&pair))).collect()
}

/// The table of the crate's front page.
#[test]
fn empty_masks_give_what_the_front_page_says() {
    // Name, both empty, reference empty, prediction empty. The block has 12 of 60 voxels, 12 mm³.
    let table: &[(&str, [Option<f64>; 3])] = &[
        ("dice", [None, Some(0.0), Some(0.0)]),
        ("iou", [None, Some(0.0), Some(0.0)]),
        ("precision", [None, Some(0.0), None]),
        ("recall", [None, None, Some(0.0)]),
        ("specificity", [Some(1.0), Some(0.8), Some(1.0)]),
        ("accuracy", [Some(1.0), Some(0.8), Some(0.8)]),
        ("balanced_accuracy", [None, None, Some(0.5)]),
        ("mcc", [None, None, None]),
        ("hd", [None, None, None]),
        ("hd95", [None, None, None]),
        ("asd", [None, None, None]),
        ("assd", [None, None, None]),
        ("nsd", [None, Some(0.0), Some(0.0)]),
        ("volume_error", [None, None, Some(-1.0)]),
        ("volume_difference", [Some(0.0), Some(12.0), Some(-12.0)]),
        ("volumetric_similarity", [None, Some(0.0), Some(0.0)]),
    ];
    let cases = [(empty(), empty()), (empty(), block()), (block(), empty())];
    for (column, (reference, prediction)) in cases.iter().enumerate() {
        let expected: Vec<_> = table.iter().map(|(name, row)| (*name, row[column])).collect();
        assert_eq!(measure(reference, prediction), expected);
    }
}

fn is_best(scale: Scale, value: f64) -> bool {
    let best = match scale.better {
        Better::Larger => 1.0,
        Better::Smaller | Better::NearZero => 0.0,
    };
    (value - best).abs() < 1e-6
}

#[test]
fn the_truth_itself_scores_best() {
    let pair = MaskPair::new(&block(), &block(), &[2.0, 1.0, 0.5]).unwrap();
    for metric in MetricConfig::defaults() {
        let metric = metric.as_dyn();
        let value = metric.measure(&pair).unwrap();
        assert!(is_best(metric.scale(), value), "{} is {value}", metric.name());
    }

    let (prediction, truth) = (arr2(&[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), arr1(&[0, 1, 0]));
    let prediction = Probabilities::new(&prediction).unwrap();
    let pair = ProbabilityPair::new(prediction, Truth::hard(&truth, None)).unwrap();
    for metric in ProbabilityMetricConfig::defaults() {
        let metric = metric.as_dyn();
        let value = metric.measure(&pair).unwrap();
        assert!(is_best(metric.scale(), value), "{} is {value}", metric.name());
    }
}

#[test]
fn where_no_voxel_counts_no_probability_has_a_score() {
    let (prediction, truth) = (arr2(&[[1.0, 0.0], [0.0, 1.0]]), arr1(&[9, 9]));
    let prediction = Probabilities::new(&prediction).unwrap();
    let pair = ProbabilityPair::new(prediction, Truth::hard(&truth, Some(9))).unwrap();

    for metric in ProbabilityMetricConfig::defaults() {
        assert_eq!(metric.as_dyn().measure(&pair), None, "{}", metric.name());
    }
}

fn round_trip<T>(name: &str, config: &T) -> anyhow::Result<()>
where
    T: serde::Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = toml::to_string(config)?;
    assert_eq!(toml::from_str::<T>(&text)?, *config, "{text}");
    assert_eq!(toml::from_str::<T>(&format!("{name} = {{}}"))?, *config);
    let error = toml::from_str::<T>(&format!("{name} = {{ nonsense = 1 }}")).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    Ok(())
}

#[test]
fn settings_survive_a_config_file_and_unknown_keys_do_not() -> anyhow::Result<()> {
    for metric in MetricConfig::defaults() {
        round_trip(metric.name(), &metric).context(metric.name())?;
        assert_eq!(metric.as_dyn().name(), metric.name());
        assert!(metric.as_dyn().label().starts_with(metric.name()));
    }
    for metric in ProbabilityMetricConfig::defaults() {
        round_trip(metric.name(), &metric).context(metric.name())?;
        assert_eq!(metric.as_dyn().name(), metric.name());
        assert!(metric.as_dyn().label().starts_with(metric.name()));
    }
    Ok(())
}

#[test]
fn settings_out_of_range_are_named_with_their_place() {
    let error = toml::from_str::<MetricConfig>("[nsd]\ntolerance = -1.0").unwrap_err().to_string();

    assert!(
        error.contains("line 2") && error.contains("-1 is not a finite number of 0 or more"),
        "{error}"
    );
}

#[test]
fn settings_read_as_the_documentation_names_them() -> anyhow::Result<()> {
    let text = "[hd95]\nsurface = \"elements\"\nsides = \"pooled\"";
    let metric: MetricConfig = toml::from_str(text)?;
    assert_eq!(
        metric,
        sconce_metrics::Hd95 {
            surface: sconce_metrics::Surface::Elements,
            sides: sconce_metrics::Sides::Pooled,
        }
        .into(),
    );
    let text = "[ece]\nbins = 15\nconfidence.class = 2\nvoxels = \"foreground\"";
    assert!(toml::from_str::<ProbabilityMetricConfig>(text).is_ok());
    let metric: &dyn Metric = &sconce_metrics::Nsd::default();
    assert_eq!(metric.label(), "nsd_1mm");
    Ok(())
}
