//! The part of a summary that is as nnU-Net's own.

use std::collections::BTreeMap;

use metrics::{Counts, Summary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CaseScores;

/// Overlap as nnU-Net's `summary.json` names it: of a case, or means over cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Foreground {
    /// The Dice coefficient; `null`, where nnU-Net writes NaN: where both masks are empty.
    #[serde(rename = "Dice")]
    pub dice: Option<f64>,
    /// Intersection over union; likewise.
    #[serde(rename = "IoU")]
    pub iou: Option<f64>,
    /// Voxels that were missed.
    #[serde(rename = "FN")]
    pub false_negatives: f64,
    /// Voxels that should not have been predicted.
    #[serde(rename = "FP")]
    pub false_positives: f64,
    /// Background that was left alone.
    #[serde(rename = "TN")]
    pub true_negatives: f64,
    /// Voxels that were found.
    #[serde(rename = "TP")]
    pub true_positives: f64,
    /// Voxels of the prediction.
    pub n_pred: f64,
    /// Voxels of the reference.
    pub n_ref: f64,
}

/// A case as nnU-Net's `summary.json` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NnUNetCase {
    /// By label value, or by the name of a region.
    pub metrics: BTreeMap<String, Foreground>,
    /// The file that was predicted, or the case.
    pub prediction_file: String,
    /// The file that it was held against, or the case.
    pub reference_file: String,
}

/// All three parts.
pub(super) struct NnUNet {
    pub(super) foreground_mean: Option<Foreground>,
    pub(super) mean: BTreeMap<String, Foreground>,
    pub(super) metric_per_case: Vec<NnUNetCase>,
}

impl NnUNet {
    /// Of cases whose classes have these keys: the label value, or, of a union, the values as a tuple, as nnU-Net writes them.
    pub(super) fn of(
        cases: &[CaseScores],
        keys: &[(String, String)],
        files: &BTreeMap<String, [String; 2]>,
    ) -> Self {
        let case = |scores: &CaseScores| {
            let of_class = |(class, key): &(String, String)| {
                Some((key.clone(), Foreground::of(scores.voxels.get(class)?)))
            };
            let [prediction_file, reference_file] = files
                .get(&scores.id)
                .cloned()
                .unwrap_or_else(|| [scores.id.clone(), scores.id.clone()]);
            NnUNetCase {
                metrics: keys.iter().filter_map(of_class).collect(),
                prediction_file,
                reference_file,
            }
        };
        let metric_per_case: Vec<NnUNetCase> = cases.iter().map(case).collect();
        let mean: BTreeMap<String, Foreground> = keys
            .iter()
            .filter_map(|(_, key)| {
                let all = metric_per_case.iter().filter_map(|case| case.metrics.get(key));
                Some((key.clone(), Foreground::mean(&all.copied().collect::<Vec<_>>())?))
            })
            .collect();
        let foreground_mean = Foreground::mean(&mean.values().copied().collect::<Vec<_>>());
        Self { foreground_mean, mean, metric_per_case }
    }
}

impl Foreground {
    fn of(counts: &Counts) -> Self {
        let [tp, fp, fn_, tn] = [
            counts.true_positives,
            counts.false_positives,
            counts.false_negatives,
            counts.true_negatives,
        ]
        .map(|count| count as f64);
        let union = tp + fp + fn_;
        let defined = |value: f64| (union > 0.0).then_some(value);
        Self {
            dice: defined(2.0 * tp / (union + tp)),
            iou: defined(tp / union),
            false_negatives: fn_,
            false_positives: fp,
            true_negatives: tn,
            true_positives: tp,
            n_pred: tp + fp,
            n_ref: tp + fn_,
        }
    }

    /// The mean of each, over those where it is defined; `None` of none.
    fn mean(all: &[Self]) -> Option<Self> {
        let of = |value: fn(&Self) -> Option<f64>| Summary::of(all.iter().map(value)).mean;
        let number =
            |value: fn(&Self) -> f64| all.iter().map(value).sum::<f64>() / all.len() as f64;
        (!all.is_empty()).then(|| Self {
            dice: of(|it| it.dice),
            iou: of(|it| it.iou),
            false_negatives: number(|it| it.false_negatives),
            false_positives: number(|it| it.false_positives),
            true_negatives: number(|it| it.true_negatives),
            true_positives: number(|it| it.true_positives),
            n_pred: number(|it| it.n_pred),
            n_ref: number(|it| it.n_ref),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_cases_and_then_over_classes() {
        let counts = |tp, fp, fn_| Counts {
            true_positives: tp,
            false_positives: fp,
            false_negatives: fn_,
            true_negatives: 10,
        };
        let case = |id: &str, a: Counts, b: Counts| CaseScores {
            id: id.to_owned(),
            voxels: [("a".to_owned(), a), ("b".to_owned(), b)].into(),
            ..CaseScores::default()
        };
        let cases = [
            case("x", counts(1, 1, 1), counts(0, 0, 0)),
            case("y", counts(2, 0, 0), counts(0, 1, 0)),
        ];
        let keys = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let files = [("x".to_owned(), ["p/x.nii.gz".to_owned(), "r/x.nii.gz".to_owned()])].into();

        let found = NnUNet::of(&cases, &keys, &files);

        assert_eq!((found.mean["1"].dice, found.mean["1"].n_pred), (Some(0.75), 2.0));
        // Undefined in the first case, 0 in the second.
        assert_eq!(found.mean["2"].dice, Some(0.0));
        assert_eq!(found.foreground_mean.and_then(|mean| mean.dice), Some(0.375));
        assert_eq!(found.metric_per_case[0].prediction_file, "p/x.nii.gz");
        assert_eq!(found.metric_per_case[1].reference_file, "y");
        let text = serde_json::to_value(found.metric_per_case[0].metrics["2"]).unwrap_or_default();
        assert_eq!(text["Dice"], serde_json::Value::Null);
        assert_eq!(text["TN"], 10.0);
    }
}
