use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel, flat};
use crate::number::Interval;
use crate::real::single;
use crate::rng::{happens, within};
use crate::{Fraction, Patch};

/// Adds Gaussian noise, of one strength to all channels.
///
/// # Source
///
/// `GaussianNoiseTransform` of batchgeneratorsv2, which calls the standard deviation a variance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// What the standard deviation is drawn from, in units of the normalised intensities.
    pub sigma: Interval,
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: Fraction::literal(0.1), sigma: Interval::literal(0.0, 0.1) }
    }
}

impl Transform for Noise {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            let sigma = within(self.sigma, rng);
            each_channel(&mut patch, 1.0, rng, |mut channel, rng| {
                noise(flat(&mut channel), sigma, rng);
            });
        }
        patch
    }
}

/// Adds independent Gaussian noise of standard deviation `sigma`. Draws one seed; the noise does
/// not depend on the number of threads.
pub fn noise(channel: &mut [f32], sigma: f64, rng: &mut ChaCha8Rng) {
    /// Values that share a stream.
    const CHUNK: usize = 1 << 14;
    let source = ChaCha8Rng::from_rng(rng);
    let sigma = single(sigma);
    channel.par_chunks_mut(CHUNK).enumerate().for_each(|(stream, chunk)| {
        let mut rng = source.clone();
        rng.set_stream(stream as u64);
        for value in chunk {
            let normal: f32 = StandardNormal.sample(&mut rng);
            *value += sigma * normal;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::mean_and_deviation;
    use crate::rng::rng;

    #[test]
    fn noise_has_the_asked_strength_and_no_bias() {
        let mut values = vec![1.0; 100_000];

        noise(&mut values, 0.5, &mut rng(1, 0, "noise"));

        let (mean, std) = mean_and_deviation(values.iter().copied());
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((std - 0.5).abs() < 0.01, "{std}");
    }
}
