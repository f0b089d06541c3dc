use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel, flat};
use crate::number::Factors;
use crate::real::Real;
use crate::rng::{factor, happens};
use crate::{Fraction, Patch};

/// Multiplies the intensities of each channel by a factor of its own.
///
/// # Source
///
/// `MultiplicativeBrightnessTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brightness {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// What the factor is drawn from, below 1 as often as above.
    pub factor: Factors,
}

impl Default for Brightness {
    fn default() -> Self {
        Self { probability: Fraction::literal(0.15), factor: Factors::literal(0.75, 1.25) }
    }
}

impl Transform for Brightness {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            each_channel(&mut patch, 1.0, rng, |mut channel, rng| {
                brightness(flat(&mut channel), factor(self.factor, rng));
            });
        }
        patch
    }
}

/// Multiplies intensities by a factor.
pub fn brightness<T: Real>(channel: &mut [T], factor: f64) {
    let factor = T::of(factor);
    for value in channel.iter_mut() {
        *value *= factor;
    }
}
