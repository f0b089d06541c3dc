//! What an evaluation found: `summary.json`, and what reports and model cards are made from.

use std::collections::BTreeMap;

use metrics::Summary;
use serde::{Deserialize, Serialize};

use super::Scaling;
use crate::file::Versioned;

/// The scores of a set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The version of this format: 1.
    pub schema: u32,
    /// What was evaluated, such as the name of a run or a model.
    pub name: String,
    /// The SHA-256 hash of the `model.safetensors` that predicted; `None` where label files were
    /// evaluated, which do not say what predicted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Where the temperatures come from that probabilities were scored with; `None` where only
    /// masks were evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// The data set that the cases are from.
    pub dataset: String,
    /// The classes that masks are scored for, background left out. One that is called as the mean
    /// over classes is, or as a class before it, has its place in the list added to its name.
    pub classes: Vec<String>,
    /// What each score is, in one line: the definition, its unit, and what happens where a mask is
    /// empty. Keyed by the names that scores go by below.
    pub definitions: BTreeMap<String, Definition>,
    /// One entry for each case, sorted by id.
    pub cases: Vec<CaseScores>,
    /// Over all cases: class → score → what it came to, undefined values left out and counted. The
    /// class `mean` is the mean over the foreground classes of a case, summed up over cases.
    pub masks: BTreeMap<String, BTreeMap<String, Summary>>,
    /// Over all cases: score of the probabilities → what it came to. Empty where only masks were
    /// evaluated.
    pub probabilities: BTreeMap<String, Summary>,
    /// Calibration over the voxels of all cases together; `None` where only masks were evaluated.
    pub calibration: Option<Calibration>,
}

impl Versioned for Evaluation {
    const SCHEMA: u32 = 1;
}

/// What a score is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// In words, with the unit and the rule for empty masks.
    pub text: String,
    /// `mm`, `mm³`, or empty for a fraction.
    pub unit: String,
    /// Whether larger values are better.
    pub larger_is_better: bool,
}

/// The scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseScores {
    /// The case.
    pub id: String,
    /// Class → score → value; `None` where it is undefined, such as a distance to an empty mask.
    pub masks: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// Score of the probabilities → value.
    pub probabilities: BTreeMap<String, Option<f64>>,
    /// What logits were divided by before they became probabilities; `None` where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// How far probabilities can be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Expected calibration error over [`Calibration::bins`]: of the voxels of all cases together.
    /// It is another number than the score `case_ece`, which is of all voxels of a case by
    /// themselves, in ten bins.
    #[serde(alias = "ece")]
    pub pooled_ece: f64,
    /// Mean Brier score over voxels, summed over classes.
    pub brier: f64,
    /// Mean negative log likelihood over voxels, nats.
    pub nll: f64,
    /// Which voxels were looked at, in words.
    pub voxels: String,
    /// The reliability diagram, from low confidence to high; empty bins have a count of 0.
    pub bins: Vec<ReliabilityBin>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// The lowest confidence of the bin.
    pub lower: f64,
    /// The highest.
    pub upper: f64,
    /// The mean confidence of its voxels.
    pub confidence: f64,
    /// How often they were right; with several raters, the mean share of raters that agree.
    pub accuracy: f64,
    /// The number of voxels.
    pub count: u64,
}

/// A score as text, with that many decimals: `–` where it is undefined or not finite, never 0; and
/// no sign where it rounds to 0.
pub fn decimals(value: Option<f64>, decimals: usize) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "–".to_owned() };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(size) if !size.contains(|digit: char| matches!(digit, '1'..='9')) => size.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign_and_undefined_is_not_zero() {
        let shown = [Some(-1e-9), Some(-0.0), Some(-0.25), Some(1.0), None, Some(f64::NAN)];

        let shown = shown.map(|value| decimals(value, 3));

        assert_eq!(shown, ["0.000", "0.000", "-0.250", "1.000", "–", "–"]);
    }
}
