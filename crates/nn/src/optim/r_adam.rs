use std::collections::BTreeMap;

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::slots::{Slots, pairs, running_mean, with_decay};
use super::{Optimizer, Rates};
use crate::{Gradients, Parameters, range};

/// The settings of [`RAdam`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RAdamConfig {
    /// How much of the running means of gradients and of their squares is kept at each step, from 0
    /// to below 1.
    #[serde(deserialize_with = "range::both_kept")]
    pub betas: [f64; 2],
    /// Keeps the quotient finite where a gradient is 0; positive.
    #[serde(deserialize_with = "range::positive")]
    pub eps: f64,
    /// The weight of the L2 penalty, 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub weight_decay: f64,
}

impl Default for RAdamConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Rectified Adam: plain momentum until the mean square is known well enough to divide by.
///
/// # Source
///
/// Liu et al.: *On the Variance of the Adaptive Learning Rate and Beyond*, ICLR 2020,
/// [arXiv:1908.03265](https://arxiv.org/abs/1908.03265).
#[derive(Clone, Debug)]
pub struct RAdam {
    config: RAdamConfig,
    slots: Slots,
}

const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";

impl RAdam {
    /// Before its first step.
    pub fn new(config: RAdamConfig) -> Self {
        Self { config, slots: Slots::default() }
    }
}

impl Optimizer for RAdam {
    fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        rates: &Rates,
    ) -> Result<()> {
        let RAdamConfig { betas: [keep, keep_square], eps, .. } = self.config;
        for (name, var, gradient) in pairs(parameters, gradients)? {
            let (learning_rate, weight_decay) = rates.of(&name, self.config.weight_decay);
            let gradient = with_decay(gradient, &var, weight_decay)?;
            let step = self.slots.count(&name)?;
            let mean = self.slots.or_zeros(MEAN, &name, &gradient)?;
            let mean = running_mean(&mean, &gradient, keep)?;
            let square = self.slots.or_zeros(SQUARE, &name, &gradient)?;
            let square = running_mean(&square, &gradient.sqr()?, keep_square)?;
            self.slots.set(MEAN, &name, &mean);
            self.slots.set(SQUARE, &name, &square);

            let rate = learning_rate / (1.0 - keep.powf(step));
            let direction = match rectification(keep_square, step) {
                Some(factor) => {
                    let scale = factor * (1.0 - keep_square.powf(step)).sqrt();
                    ((mean / (square.sqrt()? + eps)?)? * scale)?
                }
                None => mean,
            };
            var.set(&(var.as_detached_tensor() - (direction * rate)?)?)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.slots.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots = Slots::from_state(state, &[MEAN, SQUARE])?;
        Ok(())
    }
}

/// The factor by which the variance of the adaptive rate is made up for; `None` while it is
/// unbounded.
fn rectification(keep_square: f64, step: f64) -> Option<f64> {
    let power = keep_square.powf(step);
    let limit = 2.0 / (1.0 - keep_square) - 1.0;
    let length = limit - 2.0 * step * power / (1.0 - power);
    (length > 5.0).then(|| {
        let numerator = (length - 4.0) * (length - 2.0) * limit;
        (numerator / ((limit - 4.0) * (limit - 2.0) * length)).sqrt()
    })
}
