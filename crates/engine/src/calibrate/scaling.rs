//! What is done to logits before they become probabilities.

use std::str::FromStr;

use ndarray::{Array4, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the scalings that were fitted to a network's held-out cases is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// None: probabilities are as the network says them.
    None,
    /// One number that all logits are divided by: labels stay as they are.
    #[default]
    Temperature,
    /// A weight and a bias for each class: labels may change as well.
    Vector,
}

impl FromStr for Calibration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "temperature" => Ok(Self::Temperature),
            "vector" => Ok(Self::Vector),
            _ => Err(format!("{text:?} is no calibration; use none, temperature or vector")),
        }
    }
}

/// A weight and a bias for each channel: `z → w z + b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorScaling {
    /// What the logits of each channel are multiplied by.
    pub weights: Vec<f64>,
    /// What is added to them.
    pub biases: Vec<f64>,
}

/// What is done to the logits of a network before they become probabilities.
#[derive(Clone, Debug, PartialEq)]
pub enum LogitScaling {
    /// They are divided by it.
    Temperature(f64),
    /// Each channel has its own weight and bias.
    Vector(VectorScaling),
}

impl Default for LogitScaling {
    fn default() -> Self {
        Self::Temperature(1.0)
    }
}

impl VectorScaling {
    /// The same for all of so many channels.
    pub fn uniform(channels: usize, temperature: f64) -> Self {
        Self { weights: vec![temperature.recip(); channels], biases: vec![0.0; channels] }
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.weights.len()
    }

    /// Whether it has a finite weight and bias for each of so many channels.
    pub fn fits(&self, channels: usize) -> bool {
        let fits = |values: &[f64]| {
            values.len() == channels && values.iter().all(|value| value.is_finite())
        };
        fits(&self.weights) && fits(&self.biases)
    }
}

impl LogitScaling {
    /// Whether it leaves logits as they are.
    pub fn is_identity(&self) -> bool {
        match self {
            Self::Temperature(temperature) => temperature.to_bits() == 1f64.to_bits(),
            Self::Vector(VectorScaling { weights, biases }) => {
                weights.iter().all(|weight| weight.to_bits() == 1f64.to_bits())
                    && biases.iter().all(|&bias| bias == 0.0)
            }
        }
    }

    /// The temperature, where it is one.
    pub fn temperature(&self) -> Option<f64> {
        match self {
            Self::Temperature(temperature) => Some(*temperature),
            Self::Vector(_) => None,
        }
    }

    /// The weights and biases, where each channel has its own.
    pub fn vector(&self) -> Option<&VectorScaling> {
        match self {
            Self::Temperature(_) => None,
            Self::Vector(scaling) => Some(scaling),
        }
    }

    /// This one, and then another, for so many channels.
    #[must_use]
    pub fn then(&self, next: &Self, channels: usize) -> Self {
        if let (Self::Temperature(one), Self::Temperature(other)) = (self, next) {
            return Self::Temperature(one * other);
        }
        let together = |channel| {
            let ((weight, bias), (by, more)) = (self.of_channel(channel), next.of_channel(channel));
            (weight * by, bias * by + more)
        };
        let (weights, biases) = (0..channels).map(together).unzip();
        Self::Vector(VectorScaling { weights, biases })
    }

    /// The weight and the bias of a channel.
    pub fn of_channel(&self, channel: usize) -> (f64, f64) {
        match self {
            Self::Temperature(temperature) => (temperature.recip(), 0.0),
            Self::Vector(VectorScaling { weights, biases }) => (weights[channel], biases[channel]),
        }
    }

    /// Scales logits `(C, D, H, W)` where they are.
    #[expect(clippy::cast_possible_truncation, reason = "weights near 1")]
    pub fn apply(&self, logits: &mut Array4<f32>) {
        if self.is_identity() {
            return;
        }
        for (channel, mut logits) in logits.axis_iter_mut(Axis(0)).enumerate() {
            let (weight, bias) = self.of_channel(channel);
            let (weight, bias) = (weight as f32, bias as f32);
            logits.mapv_inplace(|logit| logit * weight + bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn each_channel_has_its_weight_and_bias() {
        let logits = array![[[[1.0f32, 2.0]]], [[[3.0, 4.0]]]];
        let scaled = |scaling: &LogitScaling| {
            let mut logits = logits.clone();
            scaling.apply(&mut logits);
            logits
        };

        let vector = VectorScaling { weights: vec![2.0, -1.0], biases: vec![0.5, 1.0] };
        assert_eq!(
            scaled(&LogitScaling::Vector(vector.clone())),
            array![[[[2.5, 4.5]]], [[[-2.0, -3.0]]]]
        );
        assert_eq!(scaled(&LogitScaling::Temperature(2.0)), &logits * 0.5);
        assert_eq!(
            scaled(&LogitScaling::Vector(VectorScaling::uniform(2, 2.0))),
            scaled(&LogitScaling::Temperature(2.0))
        );
        let (one, other) = (LogitScaling::Vector(vector.clone()), LogitScaling::Temperature(0.5));
        for (one, other) in [(&one, &other), (&other, &one), (&other, &other)] {
            let mut twice = scaled(one);
            other.apply(&mut twice);
            assert_eq!(twice, scaled(&one.then(other, 2)));
        }
        assert!(LogitScaling::default().is_identity());
        assert!(LogitScaling::Vector(VectorScaling::uniform(3, 1.0)).is_identity());
        assert!(vector.fits(2) && !vector.fits(3));
    }
}
