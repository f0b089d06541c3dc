//! Made-up evaluations for tests: nothing here is a result.

mod findings;
mod pictures;

use std::collections::BTreeMap;

pub(super) use self::pictures::{picture, stack};
use super::ReportInput;
use crate::evaluate::{Calibration, CaseScores, Definition, Evaluation, ReliabilityBin, Summary};
use crate::{EpochSummary, Provenance};

/// Numbers in `[0, 1)` that look random and are the same each time.
pub(super) fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn definition(text: &str, unit: &str, larger_is_better: bool) -> Definition {
    Definition { text: text.to_owned(), unit: unit.to_owned(), larger_is_better }
}

/// One class, Dice alone.
pub(super) fn evaluation(name: &str, dice: &[Option<f64>]) -> Evaluation {
    let scores = dice.iter().map(|value| vec![("dice", *value)]).collect();
    assemble(name, &["organ"], &[scores])
}

type OfCase = Vec<(&'static str, Option<f64>)>;

/// `scores`: for each class, for each case.
fn assemble(name: &str, classes: &[&str], scores: &[Vec<OfCase>]) -> Evaluation {
    let mut cases: Vec<CaseScores> = Vec::new();
    for (class, of_cases) in classes.iter().zip(scores) {
        for (index, of_case) in of_cases.iter().enumerate() {
            if cases.len() <= index {
                let id = format!("case_{index:03}");
                cases.push(CaseScores { id, ..CaseScores::default() });
            }
            let of_case = of_case.iter().map(|(score, value)| ((*score).to_owned(), *value));
            cases[index].masks.insert((*class).to_owned(), of_case.collect());
        }
    }
    for case in &mut cases {
        let score = |score: &str| super::value(case, super::MEAN, score);
        let mean = ["dice", "hd95", "nsd", "precision"].map(|name| (name.to_owned(), score(name)));
        let known = scores[0].first().map_or(0, Vec::len);
        case.masks.insert("mean".to_owned(), mean.into_iter().take(known).collect());
    }
    let mut masks: BTreeMap<String, BTreeMap<String, Summary>> = BTreeMap::new();
    for class in classes.iter().chain(&["mean"]) {
        let names: Vec<String> = cases
            .first()
            .map(|case| case.masks[*class].keys().cloned().collect())
            .unwrap_or_default();
        for score in names {
            let values: Vec<_> = cases.iter().map(|case| case.masks[*class][&score]).collect();
            let of_class = masks.entry((*class).to_owned()).or_default();
            of_class.insert(score, Summary::of(values));
        }
    }
    let definitions = BTreeMap::from([
        (
            "dice".to_owned(),
            definition("2 |P ∩ T| / (|P| + |T|); undefined where both are empty", "", true),
        ),
        (
            "hd95".to_owned(),
            definition(
                "95th percentile of the distances between the two surfaces; undefined where either is empty",
                "mm",
                false,
            ),
        ),
        (
            "nsd".to_owned(),
            definition(
                "share of both surfaces that is within 2 mm of the other; undefined where both are empty",
                "",
                true,
            ),
        ),
        (
            "precision".to_owned(),
            definition(
                "share of predicted voxels that are right; undefined where none is predicted",
                "",
                true,
            ),
        ),
        (
            "bdice".to_owned(),
            definition(
                "Dice of probabilities against soft truth, binarised Dice over thresholds",
                "",
                true,
            ),
        ),
        ("nll".to_owned(), definition("mean negative log likelihood of a voxel, nats", "", false)),
    ]);
    let classes = classes.iter().map(|class| (*class).to_owned()).collect();
    Evaluation {
        schema: 1,
        name: name.to_owned(),
        dataset: "example".to_owned(),
        classes,
        definitions,
        cases,
        masks,
        ..Evaluation::default()
    }
}

/// Several classes and all kinds of scores; `shift` makes it better or worse.
pub(super) fn full(name: &str, seed: u64, shift: f64) -> Evaluation {
    let mut draw = noise(seed);
    let mut scores = Vec::new();
    for (class, level) in [0.94, 0.86, 0.62].into_iter().enumerate() {
        let of_cases = (0..38).map(|index| {
            let spread = draw() * draw() * (1.0 - level) * 3.0;
            let dice = (level + shift + 0.03 - spread).clamp(0.0, 0.995);
            let absent = class == 2 && index % 9 == 4;
            let some = |value: f64| (!absent).then_some(value);
            vec![
                ("dice", some(dice)),
                ("hd95", some(1.2 + (1.0 - dice) * 22.0 * (0.5 + draw()))),
                ("nsd", some((dice + 0.03 * draw()).min(1.0))),
                ("precision", some((dice + 0.05 * (draw() - 0.5)).clamp(0.0, 1.0))),
            ]
        });
        scores.push(of_cases.collect());
    }
    let mut evaluation = assemble(name, &["liver", "kidney", "lesion"], &scores);
    for case in &mut evaluation.cases {
        let mut score = |level: f64| Some(level + 0.03 * (draw() - 0.5));
        case.probabilities = BTreeMap::from([
            ("bdice".to_owned(), score(0.83 + shift)),
            ("nll".to_owned(), score(0.09 - shift)),
        ]);
    }
    for score in ["bdice", "nll"] {
        let values: Vec<_> =
            evaluation.cases.iter().map(|case| case.probabilities[score]).collect();
        evaluation.probabilities.insert(score.to_owned(), Summary::of(values));
    }
    let bins: Vec<ReliabilityBin> = (0..15)
        .map(|index| {
            let (lower, upper) = (f64::from(index) / 15.0, f64::from(index + 1) / 15.0);
            let confidence = f64::midpoint(lower, upper);
            let accuracy =
                confidence - (0.16 - 2.6 * shift) * (confidence * (1.0 - confidence) * 4.0);
            let count =
                if index < 5 { 0 } else { 4u64.pow(u32::try_from(index).unwrap() - 4) * 37 };
            ReliabilityBin { lower, upper, confidence, accuracy, count }
        })
        .collect();
    evaluation.calibration = Some(Calibration {
        pooled_ece: 0.0412 - shift,
        brier: 0.0521,
        nll: 0.091 - shift,
        voxels: "all voxels within 16 mm of the reference foreground".to_owned(),
        bins,
        ..Calibration::default()
    });
    findings::add(&mut evaluation, shift, draw);
    evaluation
}

pub(super) fn epochs(count: usize) -> Vec<EpochSummary> {
    let mut draw = noise(7);
    (0..count)
        .map(|epoch| {
            let progress = 1.0 - (-(epoch as f64) / 18.0).exp();
            EpochSummary {
                epoch,
                epochs: count,
                train_loss: 1.1 - 0.95 * progress + 0.05 * draw(),
                validation_loss: 1.15 - 0.9 * progress + 0.09 * draw(),
                validation_dice: vec![
                    Some(0.93 * progress + 0.02 * draw()),
                    Some(0.84 * progress + 0.04 * draw()),
                    (epoch > 3).then(|| 0.6 * progress + 0.08 * draw()),
                ],
                learning_rate: 0.01,
                seconds: 12.0,
            }
        })
        .collect()
}

/// Everything that a report can hold.
pub(super) fn report() -> ReportInput {
    ReportInput {
        title: "Abdominal CT: soft labels against majority vote".to_owned(),
        evaluations: vec![full("soft labels", 11, 0.015), full("majority vote", 12, -0.01)],
        before: Vec::new(),
        history: vec![("soft labels".to_owned(), epochs(60))],
        pictures: vec![
            picture("Worst: case_031", 1.0).with_stack(stack(1.0)),
            picture("Worst: case_031, coronal", 0.8),
            picture("Median: case_004", 0.3),
            picture("Best: case_017", 0.05),
        ],
        settings: vec![
            ("seed".to_owned(), "20240229".to_owned()),
            ("loss".to_owned(), "[[sum.terms]]\nweight = 1.0\nloss.dice = {}".to_owned()),
        ],
        provenance: Provenance {
            version: "sconce 0.1.0".to_owned(),
            command: "sconce report --config run.toml".to_owned(),
            ..Provenance::default()
        },
    }
}
