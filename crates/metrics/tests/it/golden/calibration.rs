use std::num::NonZeroUsize;

use anyhow::{Context, bail, ensure};
use golden::{Case, Tolerance, close};
use ndarray::{ArrayD, Axis};
use sconce_metrics::{
    AveragePrecision, Binning, Brier, ClasswiseEce, Confidence, Dice, Fraction, Iou, MaskPair,
    Metric, Nll, Over, Precision, Probabilities, ProbabilityMetric, ProbabilityPair, Recall,
    Reliability, RocAuc, Truth, Voxels,
};
use serde_json::Value;

use super::{agree, array, labels, mask, numbers};

/// Probabilities `(N, C, *S)` as one case `(C, N, *S)`.
fn probabilities(case: &Case) -> anyhow::Result<ArrayD<f64>> {
    let tensor = case.input("prob")?;
    let mut all = array(&tensor, tensor.values.clone())?;
    all.swap_axes(0, 1);
    Ok(all)
}

pub(super) fn calibration(case: &Case) -> anyhow::Result<()> {
    let (prob, label) = (probabilities(case)?, labels(case, "label")?);
    let pair = ProbabilityPair::new(Probabilities::new(&prob)?, Truth::hard(&label, None))?;
    let formula = case.tolerance("formula", Tolerance::new(1e-10, 1e-12));
    let torch = case.tolerance("torchmetrics", Tolerance::new(1e-5, 1e-6));

    for (name, expected) in case.expected.as_object().context("expected")? {
        let nll = |clip| Nll { clip: Fraction::try_from(clip).unwrap(), ..Nll::default() };
        let checked = match name.as_str() {
            "brier_sum_over_classes" => agree(Brier::default().measure(&pair), expected, formula),
            "brier_mean_over_classes" => {
                agree(Brier { classes: Over::Mean }.measure(&pair), expected, formula)
            }
            "brier_per_class" => (0..pair.classes()).try_for_each(|class| {
                agree(Brier::of_class(&pair, class), &expected[class], formula)
            }),
            "nll_mean" => agree(nll(1e-7).measure(&pair), expected, formula),
            "nll_mean_unclipped" => agree(nll(0.0).measure(&pair), expected, formula),
            "dscpp_notebook_per_image" => per_image(&prob, &label, expected, formula),
            table => tables(case, &pair, table, expected, formula, torch),
        };
        checked.with_context(|| name.clone())?;
    }
    Ok(())
}

/// Numbers named by what they are made of, such as `toplabel_b10_left_closed`.
fn tables(
    case: &Case,
    pair: &ProbabilityPair<'_>,
    name: &str,
    expected: &Value,
    formula: Tolerance,
    torch: Tolerance,
) -> anyhow::Result<()> {
    let (kind, rest) = name.split_once("_b").context("no number of bins")?;
    // `torchmetrics_binary_b10` has two of them.
    let (kind, rest) = match rest.split_once("_b") {
        Some((_, rest)) => ("torchmetrics_binary", rest),
        None => (kind, rest),
    };
    let (bins, closed) = rest.split_once('_').unwrap_or((rest, ""));
    let bins: NonZeroUsize = bins.parse()?;
    let binning = match closed {
        "left_closed" => Binning::LeftClosed,
        "right_closed" => Binning::RightClosed,
        "" => Binning::OneApart,
        other => bail!("unknown edges {other}"),
    };
    let table = |confidence| Reliability::of(pair, bins, binning, confidence, Voxels::All);
    match kind {
        "toplabel" | "foreground" => {
            let confidence =
                if kind == "toplabel" { Confidence::TopLabel } else { Confidence::Foreground };
            let table = table(confidence)?;
            agree(table.ece(), &expected["ece"], formula)?;
            agree(table.mce(), &expected["mce"], formula)?;
            agree(table.rmsce(), &expected["rmsce"], formula)?;
            diagram(case, name, &table, formula)
        }
        "torchmetrics" | "torchmetrics_binary" => {
            let binary = kind == "torchmetrics_binary";
            let table = table(if binary { Confidence::Class(1) } else { Confidence::TopLabel })?;
            agree(table.ece(), &expected["l1"], torch)?;
            agree(table.rmsce(), &expected["l2"], torch)?;
            agree(table.mce(), &expected["max"], torch)
        }
        "classwise_ece" => {
            let metric = ClasswiseEce { bins, binning, ..ClasswiseEce::default() };
            for class in 0..pair.classes() {
                let table = metric.reliability(pair, class).context("no such class")?;
                agree(table.ece(), &expected["per_class"][class], formula)?;
            }
            agree(metric.measure(pair), &expected["mean"], formula)
        }
        other => bail!("unknown table {other}"),
    }
}

/// The reliability diagram that came out as tensors.
fn diagram(
    case: &Case,
    name: &str,
    table: &Reliability,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let column = |suffix: &str| case.output(&format!("{name}_{suffix}"));
    let bins = table.bins();
    let counts: Vec<f64> = bins.iter().map(|bin| bin.count as f64).collect();
    // The reference writes 0 for empty bins.
    let confidences: Vec<f64> = bins.iter().map(|bin| bin.confidence().unwrap_or(0.0)).collect();
    let accuracies: Vec<f64> = bins.iter().map(|bin| bin.accuracy().unwrap_or(0.0)).collect();
    close(&counts, &column("count")?.values, Tolerance::new(0.0, 0.0))?;
    close(&confidences, &column("mean_conf")?.values, tolerance)?;
    close(&accuracies, &column("mean_acc")?.values, tolerance)
}

/// What the notebook of DSC++ reports for each image of two classes.
fn per_image(
    prob: &ArrayD<f64>,
    label: &ArrayD<u16>,
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let expected = expected.as_array().context("a list of images")?;
    ensure!(expected.len() == label.len_of(Axis(0)), "{} images", label.len_of(Axis(0)));
    for (i, expected) in expected.iter().enumerate() {
        let (prob, label) = (prob.index_axis(Axis(1), i), label.index_axis(Axis(0), i));
        let pair = ProbabilityPair::new(Probabilities::new(&prob)?, Truth::hard(&label, None))?;
        let foreground = Nll { include_background: false, ..Nll::default() };
        agree(Brier::of_class(&pair, 1), &expected["brier"], tolerance)?;
        agree(foreground.measure(&pair), &expected["nll"], tolerance)?;

        let chosen = ndarray::Zip::from(prob.index_axis(Axis(0), 0))
            .and(prob.index_axis(Axis(0), 1))
            .map_collect(|p0, p1| p1 > p0);
        let truth = label.mapv(|label| label == 1);
        let masks = MaskPair::new(&truth, &chosen, &vec![1.0; label.ndim()])?;
        agree(Dice::default().measure(&masks), &expected["dice"], tolerance)?;
        agree(Iou::default().measure(&masks), &expected["iou"], tolerance)?;
        agree(Precision {}.measure(&masks), &expected["precision"], tolerance)?;
        agree(Recall {}.measure(&masks), &expected["recall"], tolerance)?;
    }
    Ok(())
}

pub(super) fn threshold_sweep(case: &Case) -> anyhow::Result<()> {
    let tensor = case.input("prob")?;
    let foreground = array(&tensor, tensor.values.clone())?;
    let both = ndarray::stack(Axis(0), &[(1.0 - &foreground).view(), foreground.view()])?;
    let label = mask(case, "label")?.mapv(u16::from);
    let pair = ProbabilityPair::new(Probabilities::new(&both)?, Truth::hard(&label, None))?;
    let tolerance = case.tolerance("", Tolerance::new(1e-12, 0.0));

    let points = sconce_metrics::threshold_sweep(&pair, 1, &numbers(case, "thresholds")?)?;
    let columns: Vec<String> = serde_json::from_value(case.expected["columns"].clone())?;
    let mut ours = Vec::new();
    for point in &points {
        for column in &columns {
            ours.push(match column.as_str() {
                "threshold" => point.threshold,
                "tp" => point.true_positives,
                "fp" => point.false_positives,
                "fn" => point.false_negatives,
                "tn" => point.true_negatives,
                "precision" => point.precision().unwrap_or(f64::NAN),
                "recall" => point.recall().unwrap_or(f64::NAN),
                "dice" => point.dice().unwrap_or(f64::NAN),
                other => bail!("unknown column {other}"),
            });
        }
    }
    case.expect("table", &[points.len(), columns.len()], &ours, tolerance)?;
    agree(
        AveragePrecision::default().measure(&pair),
        &case.expected["average_precision"],
        tolerance,
    )?;
    agree(RocAuc::default().measure(&pair), &case.expected["roc_auc"], tolerance)
}
