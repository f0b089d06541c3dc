use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Gradients, range};

/// The settings of a [`LossScale`]; the defaults are those of `torch.amp.GradScaler`.
///
/// Where `growth` and `backoff` are powers of 2, scaling loses no bit of a gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossScaleConfig {
    /// The scale to begin with, positive.
    #[serde(deserialize_with = "range::positive")]
    pub initial: f64,
    /// What it is multiplied by after `growth_interval` finite steps in a row, 1 or more.
    #[serde(deserialize_with = "range::growth")]
    pub growth: f64,
    /// What it is multiplied by where a step is not finite, from 0 to 1.
    #[serde(deserialize_with = "range::part")]
    pub backoff: f64,
    /// Finite steps in a row that it grows after; it never does where this is 0.
    pub growth_interval: u32,
    /// It falls no further than this, positive.
    #[serde(deserialize_with = "range::positive")]
    pub smallest: f64,
}

impl Default for LossScaleConfig {
    fn default() -> Self {
        let (growth, backoff, growth_interval) = (2.0, 0.5, 2000);
        Self { initial: 65_536.0, growth, backoff, growth_interval, smallest: 1.0 }
    }
}

/// What a loss is multiplied by before its backward pass, so that f16 does not round gradients to 0.
///
/// A step goes so: the backward pass of [`Self::scaled`], [`Self::unscale`] of its gradients, then
/// [`Self::update`] with whether all are finite; where they are not, the optimizer does not step. The
/// scale grows until gradients overflow, and falls where they do: it stays near the largest that works.
///
/// # Source
///
/// Micikevicius et al.: *Mixed Precision Training*, ICLR 2018,
/// [arXiv:1710.03740](https://arxiv.org/abs/1710.03740), in the form of `torch.amp.GradScaler`, which has
/// no smallest scale.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device};
/// use sconce_nn::{LossScale, LossScaleConfig, Parameters};
///
/// let parameters = Parameters::new(7, &Device::Cpu);
/// let w = parameters.builder().get(3, "w")?;
/// let mut scale = LossScale::new(LossScaleConfig::default());
///
/// let mut gradients = parameters.gradients(&scale.scaled(&w.sum_all()?)?)?;
/// scale.unscale(&mut gradients)?;
/// assert_eq!(gradients.get("w").expect("w was used").to_vec1::<f32>()?, [1.0; 3]);
/// if scale.update(gradients.all_finite()?) {
///     // The optimizer steps.
/// }
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    config: LossScaleConfig,
    #[serde(deserialize_with = "range::positive")]
    scale: f64,
    /// Finite steps since it last changed.
    finite: u32,
}

impl LossScale {
    /// Before the first step.
    pub fn new(config: LossScaleConfig) -> Self {
        Self { scale: config.initial, finite: 0, config }
    }

    /// The scale of the next step.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Whether it cannot fall any further: where a step is not finite then, f16 is not to blame.
    pub fn is_smallest(&self) -> bool {
        self.scale <= self.config.smallest
    }

    /// The loss to take the gradients of, in its type, best f32: scaled, it may be beyond f16.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn scaled(&self, loss: &Tensor) -> Result<Tensor> {
        loss * self.scale
    }

    /// Divides gradients of a scaled loss by the scale: those of the loss itself.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn unscale(&self, gradients: &mut Gradients) -> Result<()> {
        gradients.scale(1.0 / self.scale)
    }

    /// Learns whether all gradients of a step were finite, and returns it: whether to make the step.
    pub fn update(&mut self, finite: bool) -> bool {
        let LossScaleConfig { growth, backoff, growth_interval, smallest, .. } = self.config;
        if !finite {
            // Never up, where it was below from the beginning.
            self.scale = f64::max(self.scale * backoff, smallest.min(self.scale));
            self.finite = 0;
            return false;
        }
        self.finite = self.finite.saturating_add(1);
        if self.finite == growth_interval {
            // Beyond single precision a loss would be infinite.
            if self.scale * growth <= f64::from(f32::MAX) {
                self.scale *= growth;
            }
            self.finite = 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle::Device;

    use super::*;

    /// The scale after each of the steps.
    fn scales(config: LossScaleConfig, steps: &[bool]) -> Vec<f64> {
        let mut scale = LossScale::new(config);
        let after = |finite: &bool| {
            assert_eq!(scale.update(*finite), *finite);
            scale.scale()
        };
        steps.iter().map(after).collect()
    }

    #[test]
    fn it_grows_after_finite_steps_and_falls_after_others() {
        let config =
            LossScaleConfig { initial: 8.0, growth_interval: 3, ..LossScaleConfig::default() };

        // Three in a row, then two, which begin anew after one that is not finite.
        let steps = [true, true, true, true, true, false, true, true, true, false, false];

        let expected = [8.0, 8.0, 16.0, 16.0, 16.0, 8.0, 8.0, 8.0, 16.0, 8.0, 4.0];
        assert_eq!(scales(config, &steps), expected);
    }

    #[test]
    fn it_stays_between_its_ends() {
        let small = LossScaleConfig { initial: 8.0, smallest: 3.0, ..LossScaleConfig::default() };
        let mut scale = LossScale::new(small.clone());
        assert!(!scale.is_smallest());
        assert_eq!(scales(small, &[false, false, false]), [4.0, 3.0, 3.0]);
        scale.update(false);
        scale.update(false);
        assert!(scale.is_smallest());

        let initial = 2f64.powi(126);
        let large = LossScaleConfig { initial, growth_interval: 1, ..LossScaleConfig::default() };
        assert_eq!(scales(large, &[true, true, true]), [2.0 * initial; 3]);

        let below = LossScaleConfig { initial: 0.5, ..LossScaleConfig::default() };
        assert_eq!(scales(below, &[false]), [0.5]);

        let still = LossScaleConfig { growth_interval: 0, ..LossScaleConfig::default() };
        assert_eq!(scales(still, &[true; 4]), [65_536.0; 4]);
    }

    #[test]
    fn gradients_of_a_scaled_loss_are_those_of_the_loss() -> anyhow::Result<()> {
        let scale = LossScale::new(LossScaleConfig::default());
        let scaled = Tensor::new(&[65_536f32, -1.0, f32::INFINITY], &Device::Cpu)?;
        let mut gradients = Gradients::new(BTreeMap::from([("w".to_owned(), Some(scaled))]));

        scale.unscale(&mut gradients)?;

        let gradient = gradients.get("w").unwrap().to_vec1::<f32>()?;
        assert_eq!(gradient, [1.0, -1.0 / 65_536.0, f32::INFINITY]);
        assert!(!gradients.all_finite()?);
        let loss = scale.scaled(&Tensor::new(0.25f32, &Device::Cpu)?)?;
        approx::assert_relative_eq!(loss.to_scalar::<f32>()?, 16_384.0);
        Ok(())
    }

    #[test]
    fn it_goes_on_from_what_was_written() -> anyhow::Result<()> {
        let config = LossScaleConfig { growth_interval: 2, ..LossScaleConfig::default() };
        let mut scale = LossScale::new(config);
        scale.update(false);
        scale.update(true);

        let mut read: LossScale = serde_json::from_str(&serde_json::to_string(&scale)?)?;
        assert_eq!(read, scale);
        read.update(true);
        approx::assert_relative_eq!(read.scale(), 65_536.0);
        Ok(())
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        for text in [
            r#"{"initial": 0.0}"#,
            r#"{"growth": 0.5}"#,
            r#"{"backoff": 1.5}"#,
            r#"{"smallest": -1.0}"#,
            r#"{"scale": 1.0}"#,
        ] {
            assert!(serde_json::from_str::<LossScaleConfig>(text).is_err(), "{text}");
        }
    }
}
