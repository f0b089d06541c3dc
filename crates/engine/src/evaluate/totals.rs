//! What all cases come to.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use metrics::{FineGrained, Overlap, Summary, Worst};

use super::nnunet::NnUNet;
use super::scored::Scored;
use super::{
    Absent, CaseScores, ChosenThreshold, Definition, Evaluation, Evaluator, Failures,
    LesionSummary, RaterSummary, ThresholdStudy, Unmatched, calibration, definition,
};
use crate::file::Versioned as _;
use crate::{Provenance, content};

/// Where thresholds are looked at: 0.05, 0.1, … 0.95.
const TWENTIETHS: u8 = 19;

impl Evaluator {
    /// What all cases came to.
    pub fn finish(mut self) -> Evaluation {
        self.cases.sort_by(|a, b| a.id.cmp(&b.id));
        let (cases, classes) = (&self.cases, &self.classes);
        let probabilities = summed(cases.iter().map(|case| &case.probabilities));
        let definitions = self.definitions(&probabilities);
        let keys: Vec<(String, String)> =
            classes.iter().map(|class| (class.name.clone(), key(&class.values))).collect();
        let nnunet = NnUNet::of(cases, &keys, &self.files);
        let by_class = |class: &Scored| class.name.clone();
        let thresholds = classes
            .iter()
            .filter_map(|class| Some((by_class(class), self.threshold_study(class)?)));
        let lesions = classes.iter().map(|class| {
            let of_cases = cases.iter().filter_map(|case| case.lesions.get(&class.name));
            (by_class(class), LesionSummary::of(of_cases, &class.froc))
        });
        let raters = classes.iter().filter_map(|class| {
            let of_cases = cases.iter().filter_map(|case| case.raters.get(&class.name));
            let of_cases: Vec<_> = of_cases.collect();
            (!of_cases.is_empty()).then(|| (by_class(class), RaterSummary::of(&of_cases)))
        });
        let thresholds = thresholds.collect();
        let raters = raters.collect();
        let lesions = lesions.collect();
        let absent = classes.iter().filter_map(|class| absent(cases, &class.name)).collect();
        let fine_grained = if self.regions { BTreeMap::new() } else { fine_grained(&self.fine) };
        let masks = masks(cases);
        let failures = Failures::of(cases, self.config.failure.get());
        let challenge = self.challenge.as_ref().map(|challenge| challenge.finish(&probabilities));
        let [calibration, calibration_whole] = self.calibration.finish(self.regions);
        Evaluation {
            schema: Evaluation::SCHEMA,
            name: self.name,
            weights: None,
            scaling: None,
            provenance: Some(Provenance {
                scored_data: Some(content::of_all(&self.contents)),
                ..Provenance::of_command("")
            }),
            dataset: self.dataset,
            classes: self.classes.into_iter().map(|class| class.name).collect(),
            definitions,
            cases: self.cases,
            masks,
            probabilities,
            calibration,
            calibration_whole,
            thresholds,
            lesions,
            absent,
            raters,
            failures,
            fine_grained,
            challenge,
            unmatched: Unmatched::default(),
            foreground_mean: nnunet.foreground_mean,
            mean: nnunet.mean,
            metric_per_case: nnunet.metric_per_case,
        }
    }

    fn definitions(
        &self,
        probabilities: &BTreeMap<String, Summary>,
    ) -> BTreeMap<String, Definition> {
        let mut definitions = BTreeMap::new();
        for metric in &self.config.masks {
            definitions.insert(metric.as_dyn().label(), definition::of_masks(metric));
        }
        for metric in &self.config.probabilities {
            let name = definition::name(metric.as_dyn());
            if probabilities.contains_key(&name) {
                definitions.insert(name, definition::of_probabilities(metric, self.regions));
            }
        }
        if !probabilities.is_empty() {
            let pooled = calibration::definition(self.regions);
            definitions.insert(calibration::POOLED_ECE.to_owned(), pooled);
        }
        definitions.extend(self.challenge.iter().flat_map(super::challenge::Scored::definitions));
        definitions
    }

    fn threshold_study(&self, class: &Scored) -> Option<ThresholdStudy> {
        let thresholds: Vec<f64> = (1..=TWENTIETHS).map(|at| f64::from(at) / 20.0).collect();
        let points = class.table.as_ref()?.cut(&thresholds);
        let chosen = self.config.goals.iter().map(|&goal| {
            let threshold = goal.choose(&points).map(|point| point.threshold);
            ChosenThreshold { goal, threshold }
        });
        Some(ThresholdStudy { chosen: chosen.collect(), points })
    }
}

/// What nnU-Net calls a class: its label value, or several as a tuple.
fn key(values: &[u16]) -> String {
    match values {
        [one] => one.to_string(),
        all => {
            let all: Vec<String> = all.iter().map(u16::to_string).collect();
            format!("({})", all.join(", "))
        }
    }
}

/// Class → score → what it came to over cases.
fn masks(cases: &[CaseScores]) -> BTreeMap<String, BTreeMap<String, Summary>> {
    let names = cases.first().map(|case| case.masks.keys()).into_iter().flatten();
    let of_class = |class: &String| {
        let scores = summed(cases.iter().filter_map(|case| case.masks.get(class)));
        (class.clone(), scores)
    };
    names.map(of_class).collect()
}

/// Score → what it came to over cases.
fn summed<'a>(
    cases: impl Iterator<Item = &'a BTreeMap<String, Option<f64>>>,
) -> BTreeMap<String, Summary> {
    let cases: Vec<_> = cases.collect();
    let names = cases.first().map(|case| case.keys()).into_iter().flatten();
    let over_cases = |name: &String| {
        let values = cases.iter().map(|case| case.get(name).copied().flatten());
        (name.clone(), Summary::of(values))
    };
    names.map(over_cases).collect()
}

/// Cases without a class; `None` where all have it.
fn absent(cases: &[CaseScores], class: &str) -> Option<(String, Absent)> {
    let counts = cases.iter().filter_map(|case| case.voxels.get(class));
    let empty = counts.filter(|counts| counts.reference() == 0);
    let (cases, false_alarms) = empty.fold((0, 0), |(cases, alarms), counts| {
        (cases + 1, alarms + usize::from(counts.prediction() > 0))
    });
    (cases > 0).then(|| (class.to_owned(), Absent { cases, false_alarms }))
}

/// Over data (D), images (I) and classes (C), and of the worst tenth of images.
fn fine_grained(fine: &FineGrained) -> BTreeMap<String, Option<f64>> {
    const TENTH: NonZeroU8 = NonZeroU8::MIN.saturating_add(9);
    let mut scores = BTreeMap::new();
    for (name, overlap) in [("iou", Overlap::Iou), ("dice", Overlap::Dice)] {
        let mut put = |kind: &str, value| scores.insert(format!("m{name}_{kind}"), value);
        put("d", fine.over_data(overlap));
        put("i", fine.over_images(overlap, Worst::All));
        put("c", fine.over_classes(overlap, Worst::All));
        put("i_worst_10", fine.over_images(overlap, Worst::Percent(TENTH)));
        put("c_worst_10", fine.over_classes(overlap, Worst::Percent(TENTH)));
    }
    scores
}
