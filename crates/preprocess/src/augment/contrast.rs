use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel, flat};
use crate::number::Factors;
use crate::real::{Real, mean_and_deviation};
use crate::resize::range;
use crate::rng::{factor, happens};
use crate::{Fraction, Patch};

/// Spreads the intensities of each channel around their mean, or brings them closer to it.
///
/// # Source
///
/// `ContrastTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contrast {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// What the factor is drawn from, below 1 as often as above.
    pub factor: Factors,
    /// Whether intensities stay between the smallest and largest before.
    pub preserve_range: bool,
}

impl Default for Contrast {
    fn default() -> Self {
        Self {
            probability: Fraction::literal(0.15),
            factor: Factors::literal(0.75, 1.25),
            preserve_range: true,
        }
    }
}

impl Transform for Contrast {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            each_channel(&mut patch, 1.0, rng, |mut channel, rng| {
                contrast(flat(&mut channel), factor(self.factor, rng), self.preserve_range);
            });
        }
        patch
    }
}

/// Multiplies how far intensities are from their mean by a factor.
pub fn contrast<T: Real>(channel: &mut [T], factor: f64, preserve_range: bool) {
    let (low, high) =
        if preserve_range { range(channel.iter()) } else { (T::neg_infinity(), T::infinity()) };
    let mean = T::of(mean_and_deviation(channel.iter().copied()).0);
    let factor = T::of(factor);
    for value in channel {
        *value = ((*value - mean) * factor + mean).max(low).min(high);
    }
}
