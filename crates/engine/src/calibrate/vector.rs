//! Vector scaling: a weight and a bias for each class.

use losses::Activation;

use super::sample::voxel_nll;
use super::{LogitScaling, Sample, VectorScaling};

/// How strongly weights are held to the inverse temperature, and biases to 0: for what voxels do not
/// tell, such as a bias that all classes have in common, or the logit of a class that none of them is.
const RIDGE: f64 = 1e-4;

/// Newton's method has converged here long before.
const STEPS: usize = 50;

/// Products that the second derivatives of one step may take: those of many classes are estimated from
/// fewer voxels, which changes how fast the minimum is found and not where it is.
const PRODUCTS: usize = 400_000_000;

/// The weight and bias of each channel that minimise the mean negative log likelihood of all samples
/// together, with a small pull to the temperature that fits them best; the temperature for all
/// channels where there are no voxels.
///
/// The likelihood is convex in weights and biases; Newton's method with a line search finds its
/// minimum.
///
/// # Source
///
/// Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017,
/// [arXiv:1706.04599](https://arxiv.org/abs/1706.04599), section 4.2. Of regions that may overlap each has
/// a sigmoid of its own, so that it is Platt's scaling of each.
pub fn vector(samples: &[&Sample], temperature: f64) -> VectorScaling {
    let channels = samples.first().map_or(0, |sample| sample.channels());
    let start = VectorScaling::uniform(channels, temperature);
    if samples.iter().all(|sample| sample.is_empty()) {
        return start;
    }
    let problem = Problem { samples, channels, temperature };
    let mut at: Vec<f64> = start.weights.iter().chain(&start.biases).copied().collect();
    for _ in 0..STEPS {
        let (value, slope) = problem.value_and_slope(&at);
        let Some(step) = solve(problem.curvature(&at), &slope) else { break };
        let decrease: f64 = step.iter().zip(&slope).map(|(step, slope)| step * slope).sum();
        if decrease <= 1e-12 {
            break;
        }
        let mut share = 1.0;
        let next = loop {
            let next: Vec<f64> = at.iter().zip(&step).map(|(at, step)| at - share * step).collect();
            if problem.value(&next) <= value - 1e-4 * share * decrease {
                break Some(next);
            }
            share *= 0.5;
            if share < 1e-6 {
                break None;
            }
        };
        let Some(next) = next else { break };
        at = next;
    }
    let biases = at.split_off(channels);
    VectorScaling { weights: at, biases }
}

/// What is minimised: over the weights of all channels, and then their biases.
struct Problem<'a> {
    samples: &'a [&'a Sample],
    channels: usize,
    temperature: f64,
}

impl Problem<'_> {
    fn choices(&self) -> f64 {
        self.samples.iter().map(|sample| sample.choices()).sum::<usize>() as f64
    }

    /// How far weights and biases are from what they are held to.
    fn distances(&self, at: &[f64]) -> Vec<f64> {
        let center = |index| if index < self.channels { self.temperature.recip() } else { 0.0 };
        at.iter().enumerate().map(|(index, value)| value - center(index)).collect()
    }

    fn value(&self, at: &[f64]) -> f64 {
        let (weights, biases) = at.split_at(self.channels);
        let scaling = VectorScaling { weights: weights.to_vec(), biases: biases.to_vec() };
        let pull: f64 = self.distances(at).iter().map(|distance| distance * distance).sum();
        super::nll(self.samples, &LogitScaling::Vector(scaling)) + 0.5 * RIDGE * pull
    }

    /// Visits voxels: their activation, their logits before scaling, the targets, and the
    /// probabilities after scaling. Every one where `stride` is 1. The summed likelihood of those visited.
    fn visit(
        &self,
        at: &[f64],
        stride: usize,
        mut visit: impl FnMut(Activation, &[f32], &[f32], &[f64]),
    ) -> f64 {
        let (weights, biases) = at.split_at(self.channels);
        let (mut scaled, mut probabilities) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        let mut total = 0.0;
        for sample in self.samples {
            for (logits, targets) in sample.voxels().step_by(stride) {
                for (channel, scaled) in scaled.iter_mut().enumerate() {
                    *scaled = weights[channel] * f64::from(logits[channel]) + biases[channel];
                }
                let activation = sample.activation();
                total += voxel_nll(activation, &scaled, targets, &mut probabilities);
                visit(activation, logits, targets, &probabilities);
            }
        }
        total
    }

    fn value_and_slope(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let channels = self.channels;
        let mut slope = vec![0.0; 2 * channels];
        let total = self.visit(at, 1, |_, logits, targets, probabilities| {
            // Soft targets that do not quite sum to 1 count as they are.
            for channel in (0..channels).filter(|&channel| !targets[channel].is_nan()) {
                let apart = probabilities[channel] - f64::from(targets[channel]);
                slope[channel] += apart * f64::from(logits[channel]);
                slope[channels + channel] += apart;
            }
        });
        let (choices, distances) = (self.choices(), self.distances(at));
        for (slope, distance) in slope.iter_mut().zip(&distances) {
            *slope = *slope / choices + RIDGE * distance;
        }
        let pull: f64 = distances.iter().map(|distance| distance * distance).sum();
        (total / choices + 0.5 * RIDGE * pull, slope)
    }

    /// The second derivatives, row after row.
    fn curvature(&self, at: &[f64]) -> Vec<Vec<f64>> {
        let channels = self.channels;
        let size = 2 * channels;
        let voxels: usize = self.samples.iter().map(|sample| sample.len()).sum();
        let stride = (voxels * channels * channels / PRODUCTS).max(1);
        let mut rows = vec![vec![0.0; size]; size];
        let mut choices = 0.0;
        self.visit(at, stride, |activation, logits, targets, probabilities| {
            let known = |channel: &usize| !targets[*channel].is_nan();
            let count = (0..channels).filter(known).count();
            choices += if activation == Activation::Softmax { 1.0 } else { count as f64 };
            for one in (0..channels).filter(known) {
                let p = probabilities[one];
                let others = match activation {
                    Activation::Softmax => 0..channels,
                    Activation::Sigmoid => one..one + 1,
                };
                for other in others {
                    let q = probabilities[other];
                    let together = if one == other { p * (1.0 - p) } else { -p * q };
                    let (z, y) = (f64::from(logits[one]), f64::from(logits[other]));
                    rows[one][other] += together * z * y;
                    rows[one][channels + other] += together * z;
                    rows[channels + one][channels + other] += together;
                }
            }
        });
        let (weights, biases) = rows.split_at_mut(channels);
        for (one, row) in weights.iter().enumerate() {
            for (bias, value) in biases.iter_mut().zip(&row[channels..]) {
                bias[one] = *value;
            }
        }
        for (index, row) in rows.iter_mut().enumerate() {
            for value in row.iter_mut() {
                *value /= choices.max(1.0);
            }
            row[index] += RIDGE;
        }
        rows
    }
}

/// Solves for a symmetric positive definite matrix by Cholesky's decomposition; `None` where it is none.
fn solve(mut rows: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    for column in 0..size {
        for row in column..size {
            let known: f64 = (0..column).map(|at| rows[row][at] * rows[column][at]).sum();
            let rest = rows[row][column] - known;
            if row == column {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                rows[row][column] = rest.sqrt();
            } else {
                rows[row][column] = rest / rows[column][column];
            }
        }
    }
    let mut solution = right.to_vec();
    for row in 0..size {
        let known: f64 = (0..row).map(|at| rows[row][at] * solution[at]).sum();
        solution[row] = (solution[row] - known) / rows[row][row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|at| rows[at][row] * solution[at]).sum();
        solution[row] = (solution[row] - known) / rows[row][row];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::calibrate::{nll, temperature};

    /// Voxels whose targets are exactly what the logits say after a scaling.
    fn voxels(activation: Activation, truth: &VectorScaling, count: usize) -> Sample {
        let channels = truth.channels();
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let mut sample = Sample::new(channels, activation);
        let mut probabilities = vec![0.0; channels];
        for _ in 0..count {
            let logits: Vec<f32> = (0..channels).map(|_| rng.random_range(-4.0..4.0)).collect();
            let scaled: Vec<f64> = (0..channels)
                .map(|it| truth.weights[it] * f64::from(logits[it]) + truth.biases[it])
                .collect();
            voxel_nll(activation, &scaled, &vec![0.0; channels], &mut probabilities);
            #[expect(clippy::cast_possible_truncation, reason = "probabilities")]
            let targets: Vec<f32> = probabilities.iter().map(|&it| it as f32).collect();
            sample.push(&logits, &targets);
        }
        sample
    }

    #[test]
    fn what_was_done_to_the_logits_is_found_again() {
        let truth = VectorScaling { weights: vec![0.5, 1.5, 0.8], biases: vec![0.4, -0.6, 0.2] };
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            let sample = voxels(activation, &truth, 2000);
            let cooled = temperature(&[&sample]);

            let found = vector(&[&sample], cooled);

            for channel in 0..3 {
                // The pull takes a little.
                approx::assert_abs_diff_eq!(
                    found.weights[channel],
                    truth.weights[channel],
                    epsilon = 5e-3
                );
                approx::assert_abs_diff_eq!(
                    found.biases[channel],
                    truth.biases[channel],
                    epsilon = 5e-3
                );
            }
            let nll = |scaling: LogitScaling| nll(&[&sample], &scaling);
            let best = nll(LogitScaling::Vector(truth.clone()));
            assert!(nll(LogitScaling::Vector(found)) < best + 1e-5);
            assert!(nll(LogitScaling::Temperature(cooled)) > best + 0.01);
        }
    }

    #[test]
    fn derivatives_are_those_of_the_value() {
        let truth = VectorScaling { weights: vec![0.5, 1.5], biases: vec![0.4, -0.6] };
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            let sample = voxels(activation, &truth, 50);
            let problem = Problem { samples: &[&sample], channels: 2, temperature: 1.3 };
            let at = vec![0.9, 1.1, 0.1, -0.3];
            let moved = |index: usize, by: f64| {
                let mut at = at.clone();
                at[index] += by;
                at
            };
            let (value, slope) = problem.value_and_slope(&at);
            let curvature = problem.curvature(&at);

            approx::assert_relative_eq!(value, problem.value(&at), max_relative = 1e-12);
            for index in 0..4 {
                let [up, down] = [1e-5, -1e-5].map(|by| moved(index, by));
                let found = (problem.value(&up) - problem.value(&down)) / 2e-5;
                approx::assert_relative_eq!(slope[index], found, epsilon = 1e-7);
                let [up, down] = [up, down].map(|at| problem.value_and_slope(&at).1);
                for other in 0..4 {
                    let found = (up[other] - down[other]) / 2e-5;
                    approx::assert_relative_eq!(curvature[index][other], found, epsilon = 1e-7);
                }
            }
        }
    }

    #[test]
    fn a_class_that_no_voxel_is_keeps_finite_numbers() {
        let mut sample = Sample::new(3, Activation::Softmax);
        for at in 0..50u8 {
            let logit = f32::from(at) * 0.1;
            sample.push(&[0.0, logit, -logit], &[0.3, 0.7, 0.0]);
        }

        let found = vector(&[&sample], 1.0);

        assert!(found.fits(3), "{found:?}");
        assert!(
            nll(&[&sample], &LogitScaling::Vector(found))
                < nll(&[&sample], &LogitScaling::default())
        );
        assert_eq!(
            vector(&[&Sample::new(2, Activation::Softmax)], 2.0),
            VectorScaling::uniform(2, 2.0)
        );
    }
}
