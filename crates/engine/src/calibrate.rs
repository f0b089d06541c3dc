//! Temperature scaling: one number that makes confidence believable.

use serde::{Deserialize, Serialize};

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

/// Fits a temperature to all cases, and says what a fit to one half does to the other.
pub fn fit(cases: &[Sample]) -> TemperatureFit {
    let all: Vec<&Sample> = cases.iter().collect();
    let half = |parity: usize| -> Vec<&Sample> {
        all.iter().copied().enumerate().filter(|(at, _)| at % 2 == parity).map(|it| it.1).collect()
    };
    let (even, odd) = (half(0), half(1));
    let voxels = |half: &[&Sample]| half.iter().map(|sample| sample.len()).sum::<usize>();
    let (here, there) = (voxels(&even), voxels(&odd));
    let crossed =
        nll(&even, temperature(&odd)) * here as f64 + nll(&odd, temperature(&even)) * there as f64;
    TemperatureFit {
        schema: 1,
        temperature: temperature(&all),
        nll_before: nll(&all, 1.0),
        nll_after: crossed / (here + there).max(1) as f64,
        voxels: here + there,
        cases: cases.len(),
    }
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

    #[test]
    fn the_fit_is_no_worse_than_none_and_counts_what_it_saw() {
        let share = 1.0 / (1.0 + (-1f32).exp());
        let fitted = fit(&[voxels(3.0, share, 4), voxels(3.0, share, 6)]);

        approx::assert_relative_eq!(fitted.temperature, 3.0, max_relative = 1e-5);
        assert!(fitted.nll_after < fitted.nll_before);
        assert_eq!((fitted.voxels, fitted.cases), (10, 2));
    }

    #[test]
    fn nothing_to_fit_leaves_the_temperature_alone() {
        assert_eq!(fit(&[Sample::new(3)]).temperature.to_bits(), 1f64.to_bits());
    }
}
