//! Calibration: scalings of logits that make confidence believable.

mod sample;
mod scaling;
mod temperature;
mod vector;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::sample::{Sample, nll};
pub use self::scaling::{Calibration, LogitScaling, VectorScaling};
pub use self::temperature::temperature;
pub use self::vector::vector;
use crate::file::Versioned;

/// `calibration.json`: how logits are to be scaled, how that was found, and what it changed.
///
/// Figures after a scaling are cross-fitted: each half of the cases is scored with what was fitted to the
/// *other* half, so that no voxel helped to choose what it is scored with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationFit {
    /// The version of this format: 1.
    pub schema: u32,
    /// What logits are divided by.
    pub temperature: f64,
    /// The weight and bias of each class instead; older files have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorScaling>,
    /// Mean negative log likelihood of the voxels at temperature 1, nats.
    pub nll_before: f64,
    /// The same at the temperature of the other half of the cases.
    pub nll_after: f64,
    /// The same with the weights and biases of the other half of the cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll_vector: Option<f64>,
    /// Voxels that were looked at; where regions may overlap, once for each region.
    pub voxels: usize,
    /// Cases that they are from.
    pub cases: usize,
    /// The halves of the cases, each with what was chosen without it; one, where all
    /// cases are of one group, so that there is nothing to choose from: its temperature is 1.
    #[serde(default)]
    pub halves: Vec<Half>,
    /// The SHA-256 hash of the `model.safetensors` that it was fitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

/// Cases that are scored with one scaling, which was fitted to all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Half {
    /// What their logits are divided by.
    pub temperature: f64,
    /// The weight and bias of each class instead; older files have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorScaling>,
    /// Which they are.
    pub cases: Vec<String>,
}

impl Versioned for CalibrationFit {
    const SCHEMA: u32 = 1;
}

impl CalibrationFit {
    /// What was chosen of this kind without a case's half of the cases; `None` where the case is
    /// none of them, or where nothing of this kind was fitted.
    pub fn of_held_out(&self, id: &str, kind: Calibration) -> Option<LogitScaling> {
        let of_case = |half: &&Half| half.cases.iter().any(|case| case == id);
        self.halves.iter().find(of_case)?.scaling(kind)
    }
}

impl Half {
    /// What its cases are scored with.
    pub(crate) fn scaling(&self, kind: Calibration) -> Option<LogitScaling> {
        match kind {
            Calibration::None => Some(LogitScaling::default()),
            Calibration::Temperature => Some(LogitScaling::Temperature(self.temperature)),
            Calibration::Vector => self.vector.clone().map(LogitScaling::Vector),
        }
    }
}

/// Fits a temperature and a vector scaling to all cases, and those of each half of them to the other.
///
/// `ids`, `groups` and `samples` have one value for each case. Groups, sorted by name, take turns:
/// cases of one group, such as the slices of a patient, are in one half, so that no case is scored
/// with what its own patient helped to choose.
pub fn fit(ids: &[String], groups: &[&str], samples: &[Sample]) -> CalibrationFit {
    debug_assert!(ids.len() == groups.len() && ids.len() == samples.len());
    let order: Vec<&str> = groups.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let half_of = |group: &str| order.binary_search(&group).unwrap_or_default() % 2;
    let all: Vec<&Sample> = samples.iter().collect();
    let channels = samples.first().map_or(0, Sample::channels);
    let both = |samples: &[&Sample]| {
        let temperature = temperature(samples);
        let found = vector(samples, temperature);
        // Without voxels there is no sample to ask.
        let found = if samples.is_empty() { VectorScaling::uniform(channels, 1.0) } else { found };
        (temperature, found)
    };
    let (mut halves, mut crossed, mut crossed_vector) = (Vec::new(), 0.0, 0.0);
    for half in 0..2 {
        let inside = || ids.iter().zip(&all).zip(groups).filter(|it| half_of(it.1) == half);
        let own: Vec<&Sample> = inside().map(|((_, sample), _)| *sample).collect();
        let cases: Vec<String> = inside().map(|((id, _), _)| id.clone()).collect();
        if cases.is_empty() {
            continue;
        }
        let others = all.iter().zip(groups).filter(|it| half_of(it.1) != half);
        let others: Vec<&Sample> = others.map(|(sample, _)| *sample).collect();
        let (temperature, vector) = both(&others);
        let choices = choices(&own) as f64;
        crossed += nll(&own, &LogitScaling::Temperature(temperature)) * choices;
        crossed_vector += nll(&own, &LogitScaling::Vector(vector.clone())) * choices;
        halves.push(Half { temperature, vector: Some(vector), cases });
    }
    let (voxels, (temperature, vector)) = (choices(&all), both(&all));
    CalibrationFit {
        schema: CalibrationFit::SCHEMA,
        temperature,
        vector: Some(vector).filter(|it| it.channels() > 0),
        nll_before: nll(&all, &LogitScaling::default()),
        nll_after: crossed / voxels.max(1) as f64,
        nll_vector: Some(crossed_vector / voxels.max(1) as f64),
        voxels,
        cases: ids.len(),
        halves,
        weights: None,
    }
}

fn choices(samples: &[&Sample]) -> usize {
    samples.iter().map(|sample| sample.choices()).sum()
}

#[cfg(test)]
mod tests {
    use losses::Activation;

    use super::*;

    /// Voxels of two classes whose logit difference is `logit`, of which a share is class 1.
    fn voxels(logit: f32, share: f32, count: usize) -> Sample {
        let mut sample = Sample::new(2, Activation::Softmax);
        for _ in 0..count {
            sample.push(&[0.0, logit], &[1.0 - share, share]);
        }
        sample
    }

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Voxels that the temperature is right for.
    fn voxels_at(temperature: f32) -> Sample {
        voxels(2.0 * temperature, 1.0 / (1.0 + (-2f32).exp()), 10)
    }

    #[test]
    fn the_fit_is_no_worse_than_none_and_counts_what_it_saw() {
        let share = 1.0 / (1.0 + (-1f32).exp());
        let samples = [voxels(3.0, share, 4), voxels(3.0, share, 6)];
        let fitted = fit(&ids(&["a", "b"]), &["a", "b"], &samples);

        approx::assert_relative_eq!(fitted.temperature, 3.0, max_relative = 1e-5);
        assert!(fitted.nll_after < fitted.nll_before);
        assert_eq!((fitted.voxels, fitted.cases), (10, 2));
    }

    #[test]
    fn nothing_to_fit_leaves_the_temperature_alone() {
        let fitted = fit(&ids(&["a"]), &["a"], &[Sample::new(3, Activation::Softmax)]);

        assert_eq!(fitted.temperature.to_bits(), 1f64.to_bits());
    }

    #[test]
    fn cases_of_one_group_are_in_one_half() {
        // Of four slices of one patient and two of another, neighbors would be in both halves.
        let names = ["p1_a", "p1_b", "p1_c", "p1_d", "p2_a", "p2_b"];
        let groups = ["p1", "p1", "p1", "p1", "p2", "p2"];
        let samples = groups.map(|group| voxels_at(if group == "p1" { 2.0 } else { 3.0 }));

        let fitted = fit(&ids(&names), &groups, &samples);

        let found: Vec<_> = fitted.halves.iter().map(|half| half.cases.len()).collect();
        assert_eq!(found, [4, 2]);
        for (name, expected) in [("p1_a", 3.0), ("p1_d", 3.0), ("p2_a", 2.0), ("p2_b", 2.0)] {
            let found = fitted.of_held_out(name, Calibration::Temperature);
            let temperature = found.and_then(|it| it.temperature()).unwrap_or_default();
            approx::assert_relative_eq!(temperature, expected, max_relative = 1e-5);
            // What the other half gives by itself.
            let others: Vec<&Sample> = samples
                .iter()
                .zip(groups)
                .filter(|it| !name.starts_with(it.1))
                .map(|it| it.0)
                .collect();
            let expected = LogitScaling::Vector(vector(&others, temperature));
            assert_eq!(fitted.of_held_out(name, Calibration::Vector), Some(expected));
        }
        assert_eq!(fitted.of_held_out("p3_a", Calibration::None), None);
    }

    #[test]
    fn where_there_is_one_group_nothing_can_be_crossed() {
        let samples = [voxels_at(2.0), voxels_at(2.0)];
        let fitted = fit(&ids(&["a", "b"]), &["p", "p"], &samples);

        let own = fitted.of_held_out("b", Calibration::Temperature);
        assert_eq!((fitted.halves.len(), own), (1, Some(LogitScaling::default())));
        assert_eq!(fitted.halves[0].vector, Some(VectorScaling::uniform(2, 1.0)));
        assert_eq!(fitted.nll_after.to_bits(), fitted.nll_before.to_bits());
        approx::assert_relative_eq!(fitted.temperature, 2.0, max_relative = 1e-5);
    }
}
