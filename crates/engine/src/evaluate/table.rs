//! What an evaluation found: `summary.json`, and what reports and model cards are made from.

use std::collections::BTreeMap;

use metrics::{BrierParts, Counts, Goal, Panoptic, Summary, ThresholdPoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scaling;
use super::nnunet::{Foreground, NnUNetCase};
use crate::Provenance;
use crate::calibrate::VectorScaling;
use crate::file::Versioned;

/// The scores of a set of predictions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// What the scores come from: program, command, seed and data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
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
    /// Calibration over the voxels of all cases together, near their foreground; `None` where only masks were evaluated.
    pub calibration: Option<Calibration>,
    /// The same over all voxels, most of which are background that nobody doubts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_whole: Option<Calibration>,
    /// What other thresholds than one half would make of the probabilities of each class, over all voxels of all cases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, ThresholdStudy>,
    /// Lesions of each class over all cases: connected components.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lesions: BTreeMap<String, LesionSummary>,
    /// Of each class, the cases whose reference has none of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, Absent>,
    /// How predictions compare with several raters, where there were any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub raters: BTreeMap<String, RaterSummary>,
    /// How well what is known of a case without its reference tells that it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// Overlap over classes and images in three orders, and of the worst; where classes exclude each other.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fine_grained: BTreeMap<String, Option<f64>>,
    /// What the rules of a challenge say, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeSummary>,
    /// What could not be scored, because its other half is missing.
    #[serde(default, skip_serializing_if = "Unmatched::is_empty")]
    pub unmatched: Unmatched,
    /// As nnU-Net's `summary.json` has it: means over cases and classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreground_mean: Option<Foreground>,
    /// As nnU-Net's: means over cases, by label value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mean: BTreeMap<String, Foreground>,
    /// As nnU-Net's: each case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_per_case: Vec<NnUNetCase>,
}

impl Versioned for Evaluation {
    const SCHEMA: u32 = 1;
}

/// What a score is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseScores {
    /// The case.
    pub id: String,
    /// Class → score → value; `None` where it is undefined, such as a distance to an empty mask.
    pub masks: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// Classes that the reference says nothing of: they are neither there nor absent, and their scores are undefined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_labelled: Vec<String>,
    /// Score of the probabilities → value.
    pub probabilities: BTreeMap<String, Option<f64>>,
    /// What logits were divided by before they became probabilities; `None` where there were none,
    /// or where each class was scaled by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// What was done to the logits of each class instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_scaling: Option<VectorScaling>,
    /// Class → voxels that prediction and reference agree and disagree on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub voxels: BTreeMap<String, Counts>,
    /// The volume of one voxel, mm³; 0 where it was not noted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub voxel_volume: f64,
    /// Class → its lesions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lesions: BTreeMap<String, LesionScores>,
    /// Class → comparison with several raters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub raters: BTreeMap<String, RaterScores>,
    /// What is known of the case without its reference, such as its mean entropy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub doubt: BTreeMap<String, f64>,
    /// Region → score → value, by the rules of a challenge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub challenge: BTreeMap<String, BTreeMap<String, Option<f64>>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl CaseScores {
    /// Predicted and reference volume of a class, mm³; `None` where they were not noted.
    pub fn volumes(&self, class: &str) -> Option<[f64; 2]> {
        let counts = self.voxels.get(class).filter(|_| self.voxel_volume > 0.0)?;
        Some([counts.prediction(), counts.reference()].map(|it| it as f64 * self.voxel_volume))
    }
}

/// Connected components of one class of one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LesionScores {
    /// Those of the reference.
    pub lesions: usize,
    /// Those of them that share a voxel with the prediction.
    pub found: usize,
    /// Those of the prediction.
    pub candidates: usize,
    /// Those of them that share no voxel with the reference.
    pub false_alarms: usize,
    /// Matches of more than half of their union.
    pub panoptic: Panoptic,
}

/// Lesions over all cases; shares are those of all lesions together, and undefined where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LesionSummary {
    /// The sums over cases.
    pub total: LesionScores,
    /// Lesions found.
    pub sensitivity: Option<f64>,
    /// Candidates that are lesions.
    pub precision: Option<f64>,
    /// `2 found / (2 found + false alarms + missed)`.
    pub f1: Option<f64>,
    /// Mean false alarms of a case.
    pub false_alarms_per_case: Option<f64>,
    /// Panoptic quality, and the two whose product it is.
    pub panoptic_quality: Option<f64>,
    /// Mean intersection over union of matches.
    pub segmentation_quality: Option<f64>,
    /// The F1 score of matches.
    pub recognition_quality: Option<f64>,
    /// The mean sensitivity at ⅛, ¼, … 8 false alarms per image; `None` without probabilities.
    pub froc: Option<f64>,
    /// Sensitivity over false alarms per image, at no more than a hundred points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub froc_curve: Vec<metrics::FrocPoint>,
}

/// The prediction of a class against each rater, where there are several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaterScores {
    /// Dice of the prediction with each rater.
    pub dice: Vec<Option<f64>>,
    /// Mean Dice of each rater with all others: what another rater would reach.
    pub between: Vec<Option<f64>>,
    /// The squared generalised energy distance between what was predicted and the raters; of probabilities, cut at 0.1, 0.2, … 0.9.
    pub energy_distance: Option<f64>,
    /// The continuous ranked probability score of the volume, mm³, mean over raters; of probabilities, the volumes of the same cuts.
    pub volume_crps: Option<f64>,
}

/// Predictions of a class against raters, over all cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaterSummary {
    /// Mean Dice of the prediction with the raters of a case.
    pub dice: Summary,
    /// Mean Dice of the raters of a case with each other.
    pub between: Summary,
    /// The first minus the second, over cases where both are defined: above 0, predictions agree with raters better than these with each
    /// other.
    pub difference: Summary,
    /// The 95 % interval of its mean, by the bootstrap over cases.
    pub difference_interval: Option<[f64; 2]>,
    /// Whether predictions are as good as another rater: the interval does not lie below 0. `None` where there is no interval.
    pub as_good_as_a_rater: Option<bool>,
    /// See [`RaterScores::energy_distance`].
    pub energy_distance: Summary,
    /// See [`RaterScores::volume_crps`].
    pub volume_crps: Summary,
}

/// Cases whose reference has none of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// How many there are.
    pub cases: usize,
    /// In how many of them something is predicted.
    pub false_alarms: usize,
}

impl Absent {
    /// The share of false alarms; `None` where no reference is empty.
    pub fn rate(&self) -> Option<f64> {
        (self.cases > 0).then(|| self.false_alarms as f64 / self.cases as f64)
    }
}

/// How well doubt tells cases that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// A case fails where its Dice, mean over classes, is below this, or undefined only by a false alarm.
    pub below: f64,
    /// How many did.
    pub failed: usize,
    /// How many cases there are.
    pub cases: usize,
    /// Each kind of [`CaseScores::doubt`] → the chance that of a case that failed and one that did not, the former has more of it. `None`
    /// where there are not both.
    pub auroc: BTreeMap<String, Option<f64>>,
}

/// What thresholds make of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdStudy {
    /// In ascending order of thresholds.
    pub points: Vec<ThresholdPoint>,
    /// The thresholds that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<ChosenThreshold>,
}

/// A threshold that serves a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChosenThreshold {
    /// The purpose.
    pub goal: Goal,
    /// The threshold; `None` where none serves it.
    pub threshold: Option<f64>,
}

/// What a challenge says of all cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeSummary {
    /// The name of its rules.
    pub name: String,
    /// Region → score → what it came to over cases.
    pub regions: BTreeMap<String, BTreeMap<String, Summary>>,
    /// Scores that are of all cases together.
    pub overall: BTreeMap<String, Option<f64>>,
}

/// Names without their other half.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmatched {
    /// Predictions without a reference.
    pub predictions: Vec<String>,
    /// References without a prediction.
    pub references: Vec<String>,
}

impl Unmatched {
    /// Whether all found their other half.
    pub fn is_empty(&self) -> bool {
        self.predictions.is_empty() && self.references.is_empty()
    }
}

/// How far probabilities can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The largest error of any of [`Calibration::bins`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mce: Option<f64>,
    /// The calibration error of each class by itself, in as many bins, mean over classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classwise_ece: Option<f64>,
    /// The adaptive calibration error, in as many ranges of equally many voxels, mean over classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ace: Option<f64>,
    /// The Kolmogorov–Smirnov calibration error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ks: Option<f64>,
    /// What the Brier score is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brier_parts: Option<BrierParts>,
    /// Which voxels were looked at, in words.
    pub voxels: String,
    /// The reliability diagram, from low confidence to high; empty bins have a count of 0.
    pub bins: Vec<ReliabilityBin>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
