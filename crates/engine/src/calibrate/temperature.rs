//! Temperature scaling: one number for all logits.

use losses::Activation;

use super::Sample;

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

/// The derivative of the summed likelihood in the inverse temperature.
fn slope(samples: &[&Sample], inverse: f64) -> f64 {
    let mut total = 0.0;
    for sample in samples {
        for (logits, targets) in sample.voxels() {
            let pairs = logits.iter().zip(targets).map(|(&z, &t)| (f64::from(z), f64::from(t)));
            total += match sample.activation() {
                Activation::Softmax => {
                    mean_logit(logits, inverse) - pairs.map(|(z, t)| z * t).sum::<f64>()
                }
                Activation::Sigmoid => {
                    let known = pairs.filter(|(_, t)| !t.is_nan());
                    known.map(|(z, t)| z * (1.0 / (1.0 + (-inverse * z).exp()) - t)).sum()
                }
            };
        }
    }
    total
}

/// The mean of `z` under the softmax of `s z`.
fn mean_logit(logits: &[f32], inverse: f64) -> f64 {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for &logit in logits {
        let weight = (inverse * f64::from(logit - greatest)).exp();
        sum += weight;
        weighted += weight * f64::from(logit);
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxels whose logit is `logit`, of which a share is foreground.
    fn voxels(activation: Activation, logit: f32, share: f32) -> Sample {
        let mut sample = Sample::new(2, activation);
        for _ in 0..10 {
            match activation {
                Activation::Softmax => sample.push(&[0.0, logit], &[1.0 - share, share]),
                Activation::Sigmoid => sample.push(&[logit, -logit], &[share, 1.0 - share]),
            }
        }
        sample
    }

    #[test]
    fn an_overconfident_network_is_cooled_to_the_truth() {
        // It says 1/(1+e^-4) = 98 %, and is right in 1/(1+e^-2) = 88 %: T = 2.
        let share = 1.0 / (1.0 + (-2f32).exp());
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            let sample = voxels(activation, 4.0, share);

            approx::assert_relative_eq!(temperature(&[&sample]), 2.0, max_relative = 1e-5);
        }
    }
}
