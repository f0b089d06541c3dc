use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel, flat};
use crate::number::Factors;
use crate::real::{Real, mean_and_deviation};
use crate::resize::range;
use crate::rng::{factor, happens};
use crate::{Fraction, Patch};

/// Raises the intensities of each channel, as a share of their range, to a power.
///
/// # Source
///
/// `GammaTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gamma {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// What the exponent is drawn from, below 1 as often as above.
    pub gamma: Factors,
    /// Whether it is the inverse image that is changed.
    pub invert: bool,
    /// Whether mean and standard deviation are brought back to what they were.
    pub retain_stats: bool,
}

impl Default for Gamma {
    fn default() -> Self {
        Self {
            probability: Fraction::literal(0.3),
            gamma: Factors::literal(0.7, 1.5),
            invert: false,
            retain_stats: true,
        }
    }
}

impl Gamma {
    /// On the inverse image, one patch in ten.
    pub fn inverted() -> Self {
        Self { probability: Fraction::literal(0.1), invert: true, ..Self::default() }
    }
}

impl Transform for Gamma {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            each_channel(&mut patch, 1.0, rng, |mut channel, rng| {
                let exponent = factor(self.gamma, rng);
                gamma(flat(&mut channel), exponent, self.invert, self.retain_stats);
            });
        }
        patch
    }
}

/// Raises intensities, as a share of their range, to the power `exponent`; with `invert`, of the
/// negative image, which is turned back afterwards. With `retain_stats`, mean and (sample) standard
/// deviation stay.
pub fn gamma<T: Real>(channel: &mut [T], exponent: f64, invert: bool, retain_stats: bool) {
    const FLOOR: f64 = 1e-7;
    if invert {
        for value in channel.iter_mut() {
            *value = -*value;
        }
    }
    let statistics = |channel: &[T]| {
        let (mean, std) = mean_and_deviation(channel.iter().copied());
        let count = channel.len() as f64;
        (mean, std * (count / (count - 1.0).max(1.0)).sqrt())
    };
    let before = retain_stats.then(|| statistics(channel));
    let (low, high) = range(channel.iter());
    let (span, exponent) = (high - low, T::of(exponent));
    let divisor = span.max(T::of(FLOOR));
    for value in channel.iter_mut() {
        *value = ((*value - low) / divisor).powf(exponent) * span + low;
    }
    if let Some((mean, std)) = before {
        let (mean_now, std_now) = statistics(channel);
        let (mean, mean_now) = (T::of(mean), T::of(mean_now));
        let scale = T::of(std / std_now.max(FLOOR));
        for value in channel.iter_mut() {
            *value = (*value - mean_now) * scale + mean;
        }
    }
    if invert {
        for value in channel.iter_mut() {
            *value = -*value;
        }
    }
}
