//! Reference values of MedPy, MONAI, DeepMind's surface-distance, and others.

mod calibration;
mod fine_grained;
mod lesions;
mod masks;

use anyhow::{Context, bail, ensure};
use golden::{Case, Exempt, Group, Tensor, Tolerance, close, number};
use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

const EXEMPT: &[Exempt] = &[];

#[test]
fn golden_metrics() {
    // Those two are the crate volume's.
    let mine =
        |case: &Case| !matches!(&*case.function, "connected_components" | "distance_transform_edt");
    Group::load("metrics").check(mine, EXEMPT, |case| match &*case.function {
        "segmentation_metrics" => masks::segmentation_metrics(case),
        "multiclass_dice" => masks::multiclass_dice(case),
        "calibration" => calibration::calibration(case),
        "threshold_sweep" => calibration::threshold_sweep(case),
        "lesion_wise" => lesions::lesion_wise(case),
        function if function.starts_with("MetricGroup") => fine_grained::metric_group(case),
        other => bail!("unknown function {other}"),
    });
}

/// Checks a number that may be undefined: NaN, infinity or an error in the reference.
fn agree(ours: Option<f64>, expected: &Value, tolerance: Tolerance) -> anyhow::Result<()> {
    if expected.as_str().is_some_and(|text| text.starts_with("error:")) {
        ensure!(ours.is_none(), "{ours:?}, but the reference raises {expected}");
        return Ok(());
    }
    let expected = number(expected)?;
    match ours {
        None => ensure!(!expected.is_finite(), "undefined, but the reference is {expected}"),
        Some(ours) => close(&[ours], &[expected], tolerance)?,
    }
    Ok(())
}

/// The relative tolerance of a block of expected numbers, with a hair of slack around 0.
fn tolerance_of(case: &Case, block: &str) -> Tolerance {
    let suggested = case.tolerance(block, Tolerance::new(1e-9, 0.0));
    Tolerance::new(suggested.rtol, suggested.atol.max(1e-12))
}

fn array<T>(tensor: &Tensor, values: Vec<T>) -> anyhow::Result<ArrayD<T>> {
    Ok(ArrayD::from_shape_vec(IxDyn(&tensor.shape), values)?)
}

fn labels(case: &Case, role: &str) -> anyhow::Result<ArrayD<u16>> {
    let tensor = case.input(role)?;
    let labels = tensor.to_u32()?.into_iter().map(u16::try_from).collect::<Result<_, _>>()?;
    array(&tensor, labels)
}

fn mask(case: &Case, role: &str) -> anyhow::Result<ArrayD<bool>> {
    let tensor = case.input(role)?;
    array(&tensor, tensor.to_bool())
}

/// The numbers that a parameter lists.
fn numbers(case: &Case, name: &str) -> anyhow::Result<Vec<f64>> {
    serde_json::from_value(case.params[name].clone()).with_context(|| format!("parameter {name}"))
}
