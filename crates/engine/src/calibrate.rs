//! Temperature scaling: one number that makes confidence believable.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::file::Versioned;

/// Logits of some voxels, and what they should have been.
///
/// Both are `K` values for each voxel, voxel after voxel: logits, and class probabilities that sum
/// to 1 (one-hot where the label is hard). A sigmoid is a softmax of two classes, whose logits are
/// 0 and its own: each region that may overlap with others is a voxel with `K` = 2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    classes: usize,
    logits: Vec<f32>,
    targets: Vec<f32>,
}

/// `calibration.json`: how a temperature was found, and what it changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemperatureFit {
    /// The version of this format: 1.
    pub schema: u32,
    /// What logits are divided by.
    pub temperature: f64,
    /// Mean negative log likelihood of the voxels at temperature 1, nats.
    pub nll_before: f64,
    /// The same at the temperature of the *other* half of the cases: an honest figure, since no
    /// voxel helped to choose the temperature that it is scored with.
    pub nll_after: f64,
    /// Voxels that were looked at; where regions may overlap, once for each region.
    pub voxels: usize,
    /// Cases that they are from.
    pub cases: usize,
    /// The halves of the cases, each with a temperature that was chosen without it; one, where all
    /// cases are of one group, so that there is nothing to choose a temperature from: it is 1.
    #[serde(default)]
    pub halves: Vec<Half>,
    /// The SHA-256 hash of the `model.safetensors` that it was fitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

/// Cases that are scored with one temperature, which was fitted to all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Half {
    /// What their logits are divided by.
    pub temperature: f64,
    /// Which they are.
    pub cases: Vec<String>,
}

impl Versioned for TemperatureFit {
    const SCHEMA: u32 = 1;
}

impl TemperatureFit {
    /// The temperature that was chosen without a case's half of the cases; `None` where the case is
    /// none of them.
    pub fn of_held_out(&self, id: &str) -> Option<f64> {
        let of_case = |half: &&Half| half.cases.iter().any(|case| case == id);
        self.halves.iter().find(of_case).map(|half| half.temperature)
    }
}

impl Sample {
    /// Of no voxels, for `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, logits: Vec::new(), targets: Vec::new() }
    }

    /// Adds a voxel; both slices have one value for each class.
    pub fn push(&mut self, logits: &[f32], targets: &[f32]) {
        debug_assert!(logits.len() == self.classes && targets.len() == self.classes);
        self.logits.extend_from_slice(logits);
        self.targets.extend_from_slice(targets);
    }

    /// The number of voxels.
    pub fn len(&self) -> usize {
        self.logits.len() / self.classes.max(1)
    }

    /// Whether there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    fn voxels(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.logits.chunks_exact(self.classes).zip(self.targets.chunks_exact(self.classes))
    }
}

/// The temperature that minimises the negative log likelihood of all samples together, within
/// `[1/20, 20]`; 1 where there are no voxels.
///
/// In the inverse temperature the likelihood is convex, so its slope has one zero, which bisection
/// finds to ten digits.
///
/// # Source
///
/// Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017,
/// [arXiv:1706.04599](https://arxiv.org/abs/1706.04599); for soft labels the cross entropy to them
/// takes the place of the likelihood.
pub fn temperature(samples: &[&Sample]) -> f64 {
    if samples.iter().all(|sample| sample.is_empty()) {
        return 1.0;
    }
    let (mut low, mut high) = (20f64.recip().ln(), 20f64.ln());
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if slope(samples, middle.exp()) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    (-f64::midpoint(low, high)).exp()
}

/// The mean negative log likelihood of all samples at a temperature, nats; 0 without voxels.
pub fn nll(samples: &[&Sample], temperature: f64) -> f64 {
    let (mut total, mut count) = (0.0, 0usize);
    for (logits, targets) in samples.iter().flat_map(|sample| sample.voxels()) {
        let (log_sum, _) = log_sum_exp(logits, temperature.recip());
        for (&logit, &target) in logits.iter().zip(targets) {
            total += f64::from(target) * (log_sum - f64::from(logit) / temperature);
        }
        count += 1;
    }
    total / count.max(1) as f64
}

/// Fits a temperature to all cases, and one to each half of them for the other.
///
/// `ids`, `groups` and `samples` have one value for each case. Groups, sorted by name, take turns:
/// cases of one group, such as the slices of a patient, are in one half, so that no case is scored
/// with a temperature that its own patient helped to choose.
pub fn fit(ids: &[String], groups: &[&str], samples: &[Sample]) -> TemperatureFit {
    debug_assert!(ids.len() == groups.len() && ids.len() == samples.len());
    let order: Vec<&str> = groups.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let half_of = |group: &str| order.binary_search(&group).unwrap_or_default() % 2;
    let all: Vec<&Sample> = samples.iter().collect();
    let (mut halves, mut crossed) = (Vec::new(), 0.0);
    for half in 0..2 {
        let inside = || ids.iter().zip(&all).zip(groups).filter(|it| half_of(it.1) == half);
        let own: Vec<&Sample> = inside().map(|((_, sample), _)| *sample).collect();
        let others = all.iter().zip(groups).filter(|it| half_of(it.1) != half);
        let others: Vec<&Sample> = others.map(|(sample, _)| *sample).collect();
        let temperature = temperature(&others);
        crossed += nll(&own, temperature) * voxels(&own) as f64;
        let cases: Vec<String> = inside().map(|((id, _), _)| id.clone()).collect();
        if !cases.is_empty() {
            halves.push(Half { temperature, cases });
        }
    }
    let voxels = voxels(&all);
    TemperatureFit {
        schema: TemperatureFit::SCHEMA,
        temperature: temperature(&all),
        nll_before: nll(&all, 1.0),
        nll_after: crossed / voxels.max(1) as f64,
        voxels,
        cases: ids.len(),
        halves,
        weights: None,
    }
}

fn voxels(samples: &[&Sample]) -> usize {
    samples.iter().map(|sample| sample.len()).sum()
}

/// The derivative of the summed likelihood in the inverse temperature.
fn slope(samples: &[&Sample], inverse: f64) -> f64 {
    let mut total = 0.0;
    for (logits, targets) in samples.iter().flat_map(|sample| sample.voxels()) {
        let (_, expected) = log_sum_exp(logits, inverse);
        let wanted: f64 =
            logits.iter().zip(targets).map(|(&z, &t)| f64::from(z) * f64::from(t)).sum();
        total += expected - wanted;
    }
    total
}

/// `log Σ exp(s z)`, and the mean of `z` under that softmax.
fn log_sum_exp(logits: &[f32], inverse: f64) -> (f64, f64) {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for &logit in logits {
        let weight = (inverse * f64::from(logit - greatest)).exp();
        sum += weight;
        weighted += weight * f64::from(logit);
    }
    (sum.ln() + inverse * f64::from(greatest), weighted / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxels of two classes whose logit difference is `logit`, of which a share is class 1.
    fn voxels(logit: f32, share: f32, count: usize) -> Sample {
        let mut sample = Sample::new(2);
        for _ in 0..count {
            sample.push(&[0.0, logit], &[1.0 - share, share]);
        }
        sample
    }

    #[test]
    fn an_overconfident_network_is_cooled_to_the_truth() {
        // It says 1/(1+e^-4) = 98 %, and is right in 1/(1+e^-2) = 88 %: T = 2.
        let share = 1.0 / (1.0 + (-2f32).exp());
        let sample = voxels(4.0, share, 10);

        approx::assert_relative_eq!(temperature(&[&sample]), 2.0, max_relative = 1e-5);
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
        let fitted = fit(&ids(&["a"]), &["a"], &[Sample::new(3)]);

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
            let temperature = fitted.of_held_out(name).unwrap_or_default();
            approx::assert_relative_eq!(temperature, expected, max_relative = 1e-5);
        }
        assert_eq!(fitted.of_held_out("p3_a"), None);
    }

    #[test]
    fn where_there_is_one_group_nothing_can_be_crossed() {
        let samples = [voxels_at(2.0), voxels_at(2.0)];
        let fitted = fit(&ids(&["a", "b"]), &["p", "p"], &samples);

        assert_eq!((fitted.halves.len(), fitted.of_held_out("b")), (1, Some(1.0)));
        assert_eq!(fitted.nll_after.to_bits(), fitted.nll_before.to_bits());
        approx::assert_relative_eq!(fitted.temperature, 2.0, max_relative = 1e-5);
    }
}
