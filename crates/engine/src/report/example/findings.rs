//! Thresholds, volumes, lesions and what else is beyond masks, made up.

use std::collections::BTreeMap;

use metrics::{BrierParts, Counts, Fraction, FrocPoint, Goal, Panoptic, Positive, ThresholdPoint};

use crate::evaluate::{
    Absent, ChallengeSummary, ChosenThreshold, Evaluation, Failures, LesionScores, LesionSummary,
    RaterSummary, Summary, ThresholdStudy, Unmatched,
};
use crate::report::{MEAN, value};

/// Adds all of it to an evaluation of several classes, the last of which is of lesions.
pub(super) fn add(evaluation: &mut Evaluation, shift: f64, mut draw: impl FnMut() -> f64) {
    if let Some(near) = &mut evaluation.calibration {
        let parts = BrierParts { reliability: 0.008, resolution: 0.412, uncertainty: 0.457 };
        (near.mce, near.classwise_ece, near.ace) = (Some(0.162), Some(0.021), Some(0.019));
        (near.ks, near.brier_parts) = (Some(0.0398 - shift), Some(parts));
        let mut whole = near.clone();
        (whole.pooled_ece, whole.brier, whole.nll) = (0.0031, 0.0042, 0.0093);
        whole.bins.iter_mut().for_each(|bin| bin.count *= 20);
        evaluation.calibration_whole = Some(whole);
    }
    for case in &mut evaluation.cases {
        let dice = value(case, MEAN, "dice").unwrap_or(0.0);
        case.voxel_volume = 2.5;
        case.doubt.insert("entropy".to_owned(), (1.05 - dice + 0.15 * draw()).clamp(0.0, 1.0));
        for (class, size) in [("liver", 6e5), ("kidney", 8e4), ("lesion", 3e3)] {
            case.voxels.insert(class.to_owned(), counts(size * (0.5 + draw()), draw()));
        }
    }
    for class in evaluation.classes.clone() {
        evaluation.thresholds.insert(class.clone(), study(shift));
        evaluation.raters.insert(class, raters(shift, &mut draw));
    }
    evaluation.lesions.insert("lesion".to_owned(), lesions(shift));
    evaluation.absent.insert("lesion".to_owned(), Absent { cases: 4, false_alarms: 1 });
    let auroc = BTreeMap::from([("entropy".to_owned(), Some(0.874))]);
    evaluation.failures = Some(Failures { below: 0.8, failed: 5, cases: 38, auroc });
    for overlap in ["iou", "dice"] {
        for (kind, level) in [("d", 0.84), ("i", 0.81), ("c", 0.8), ("i_worst_10", 0.52)] {
            evaluation.fine_grained.insert(format!("m{overlap}_{kind}"), Some(level + shift));
        }
        evaluation.fine_grained.insert(format!("m{overlap}_c_worst_10"), None);
    }
    let of_region = BTreeMap::from([("dice".to_owned(), raters(shift, &mut draw).dice)]);
    evaluation.challenge = Some(ChallengeSummary {
        name: "kits".to_owned(),
        regions: BTreeMap::from([("kidney and masses".to_owned(), of_region)]),
        overall: BTreeMap::from([
            ("rank".to_owned(), Some(0.8 + shift)),
            ("tumor".to_owned(), None),
        ]),
    });
    evaluation.unmatched = Unmatched {
        predictions: vec!["case_900".to_owned()],
        references: vec!["case_901".to_owned(), "case_902".to_owned()],
    };
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up counts")]
fn counts(reference: f64, off: f64) -> Counts {
    Counts {
        true_positives: (reference * 0.9) as u64,
        false_positives: (reference * 0.2 * off) as u64,
        false_negatives: (reference * 0.1) as u64,
        true_negatives: 4_000_000,
    }
}

fn study(shift: f64) -> ThresholdStudy {
    let points: Vec<ThresholdPoint> = (1..20)
        .map(|step| {
            let threshold = f64::from(step) / 20.0;
            let found = 1000.0 * (1.0 - (threshold - shift).powi(4));
            ThresholdPoint {
                threshold,
                true_positives: found,
                false_positives: 700.0 * (1.0 - threshold).powi(3),
                false_negatives: 1000.0 - found,
                true_negatives: 9000.0,
            }
        })
        .collect();
    let goals = [
        Goal::FBeta(Positive::literal(1.0)),
        Goal::Recall(Fraction::literal(0.95)),
        Goal::Precision(Fraction::literal(0.999)),
    ];
    let chosen = goals.map(|goal| {
        let threshold = goal.choose(&points).map(|point| point.threshold);
        ChosenThreshold { goal, threshold: threshold.filter(|at| *at < 0.9) }
    });
    ThresholdStudy { chosen: chosen.to_vec(), points }
}

fn raters(shift: f64, draw: &mut impl FnMut() -> f64) -> RaterSummary {
    let mut over_cases = |level: f64| {
        Summary::of((0..38).map(|index| (index % 9 != 4).then(|| level + 0.06 * (draw() - 0.5))))
    };
    RaterSummary {
        dice: over_cases(0.84 + shift),
        between: over_cases(0.85),
        difference: over_cases(shift - 0.01),
        difference_interval: Some([shift - 0.016, shift - 0.004]),
        as_good_as_a_rater: Some(shift > 0.0),
        energy_distance: over_cases(0.21),
        volume_crps: over_cases(412.0),
    }
}

fn lesions(shift: f64) -> LesionSummary {
    let panoptic =
        Panoptic { true_positives: 60, false_positives: 22, false_negatives: 31, iou_sum: 45.0 };
    let curve = (1..=30).map(|step| {
        let confidence = 1.0 - f64::from(step) / 31.0;
        let false_alarms = f64::from(step).powi(2) / 100.0;
        let sensitivity = (0.9 + shift) * (1.0 - (-1.4 * f64::from(step) / 10.0).exp());
        FrocPoint { confidence, false_alarms, sensitivity }
    });
    LesionSummary {
        total: LesionScores { lesions: 91, found: 74, candidates: 96, false_alarms: 22, panoptic },
        sensitivity: Some(0.813 + shift),
        precision: Some(0.771),
        f1: Some(0.791),
        false_alarms_per_case: Some(0.579),
        panoptic_quality: Some(0.522),
        segmentation_quality: Some(0.75),
        recognition_quality: Some(0.694),
        froc: Some(0.712 + shift),
        froc_curve: curve.collect(),
    }
}
