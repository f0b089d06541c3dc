//! Voxels that a calibration is fitted to.

use losses::Activation;

use super::LogitScaling;

/// Logits of some voxels, and what they should have been.
///
/// Both are a value for each of `C` channels, voxel after voxel: logits, and probabilities. Those of
/// classes sum to 1 (one-hot where the label is hard); those of regions that may overlap are a choice
/// of their own each, or NaN where nobody chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    channels: usize,
    activation: Activation,
    logits: Vec<f32>,
    targets: Vec<f32>,
}

impl Sample {
    /// Of no voxels, for so many channels.
    pub fn new(channels: usize, activation: Activation) -> Self {
        Self { channels, activation, logits: Vec::new(), targets: Vec::new() }
    }

    /// Adds a voxel; both slices have one value for each channel.
    pub fn push(&mut self, logits: &[f32], targets: &[f32]) {
        debug_assert!(logits.len() == self.channels && targets.len() == self.channels);
        self.logits.extend_from_slice(logits);
        self.targets.extend_from_slice(targets);
    }

    /// The number of voxels.
    pub fn len(&self) -> usize {
        self.logits.len() / self.channels.max(1)
    }

    /// Whether there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How often something was chosen: once for each voxel; where regions may overlap, once for each
    /// region of it.
    pub fn choices(&self) -> usize {
        match self.activation {
            Activation::Softmax => self.len(),
            Activation::Sigmoid => self.targets.iter().filter(|target| !target.is_nan()).count(),
        }
    }

    /// Logits and targets of each voxel.
    pub(super) fn voxels(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        let channels = self.channels.max(1);
        self.logits.chunks_exact(channels).zip(self.targets.chunks_exact(channels))
    }

    pub(super) fn activation(&self) -> Activation {
        self.activation
    }
}

/// The mean negative log likelihood of all choices after a scaling, nats; 0 without voxels.
///
/// For soft targets it is the cross entropy to them.
pub fn nll(samples: &[&Sample], scaling: &LogitScaling) -> f64 {
    let (mut total, mut count) = (0.0, 0);
    for sample in samples {
        let map: Vec<(f64, f64)> = (0..sample.channels).map(|it| scaling.of_channel(it)).collect();
        let (mut scaled, mut probabilities) = (vec![0.0; map.len()], vec![0.0; map.len()]);
        for (logits, targets) in sample.voxels() {
            for ((scaled, (weight, bias)), &logit) in scaled.iter_mut().zip(&map).zip(logits) {
                *scaled = weight * f64::from(logit) + bias;
            }
            total += voxel_nll(sample.activation, &scaled, targets, &mut probabilities);
        }
        count += sample.choices();
    }
    total / count.max(1) as f64
}

/// The summed negative log likelihood of the choices of a voxel, and the probability of each channel.
pub(super) fn voxel_nll(
    activation: Activation,
    logits: &[f64],
    targets: &[f32],
    probabilities: &mut [f64],
) -> f64 {
    let pairs = logits.iter().zip(targets);
    match activation {
        Activation::Softmax => {
            let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut sum = 0.0;
            for (probability, logit) in probabilities.iter_mut().zip(logits) {
                *probability = (logit - greatest).exp();
                sum += *probability;
            }
            for probability in probabilities {
                *probability /= sum;
            }
            let log_sum = sum.ln() + greatest;
            pairs.map(|(logit, &target)| f64::from(target) * (log_sum - logit)).sum()
        }
        Activation::Sigmoid => {
            for (probability, logit) in probabilities.iter_mut().zip(logits) {
                *probability = 1.0 / (1.0 + (-logit).exp());
            }
            // ln(1 + exp z) - t z, without overflow.
            pairs
                .filter(|(_, target)| !target.is_nan())
                .map(|(&z, &target)| z.max(0.0) + (-z.abs()).exp().ln_1p() - f64::from(target) * z)
                .sum()
        }
    }
}
