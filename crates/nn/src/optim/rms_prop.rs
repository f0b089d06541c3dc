use std::collections::BTreeMap;

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::slots::{Slots, pairs, running_mean, with_decay};
use super::{Optimizer, Rates};
use crate::{Gradients, Parameters, range};

/// The settings of [`RmsProp`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropConfig {
    /// How much of the running mean of squares is kept at each step, from 0 to below 1.
    #[serde(deserialize_with = "range::kept")]
    pub alpha: f64,
    /// Keeps the quotient finite where a gradient is 0; positive.
    #[serde(deserialize_with = "range::positive")]
    pub eps: f64,
    /// The weight of the L2 penalty, 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub weight_decay: f64,
    /// How much of the last step is kept, from 0 to below 1.
    #[serde(deserialize_with = "range::kept")]
    pub momentum: f64,
    /// Whether to divide by the deviation from the mean gradient rather than from 0.
    pub centered: bool,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }
}

/// Gradient descent, divided by a running root mean square of the gradients.
///
/// # Source
///
/// Tieleman, Hinton: *Lecture 6.5*, Coursera 2012, in PyTorch's form; Graves: *Generating Sequences
/// With Recurrent Neural Networks*, [arXiv:1308.0850](https://arxiv.org/abs/1308.0850), for
/// `centered`.
#[derive(Clone, Debug)]
pub struct RmsProp {
    config: RmsPropConfig,
    slots: Slots,
}

const SQUARE: &str = "square_avg";
const MEAN: &str = "grad_avg";
const BUFFER: &str = "momentum_buffer";

impl RmsProp {
    /// Before its first step.
    pub fn new(config: RmsPropConfig) -> Self {
        Self { config, slots: Slots::default() }
    }
}

impl Optimizer for RmsProp {
    fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        rates: &Rates,
    ) -> Result<()> {
        let RmsPropConfig { alpha, eps, momentum, centered, .. } = self.config;
        for (name, var, gradient) in pairs(parameters, gradients)? {
            let (learning_rate, weight_decay) = rates.of(&name, self.config.weight_decay);
            let gradient = with_decay(gradient, &var, weight_decay)?;
            let square = self.slots.or_zeros(SQUARE, &name, &gradient)?;
            let mut square = running_mean(&square, &gradient.sqr()?, alpha)?;
            self.slots.set(SQUARE, &name, &square);
            if centered {
                let mean = self.slots.or_zeros(MEAN, &name, &gradient)?;
                let mean = running_mean(&mean, &gradient, alpha)?;
                self.slots.set(MEAN, &name, &mean);
                square = (square - mean.sqr()?)?;
            }
            let mut direction = (gradient / (square.sqrt()? + eps)?)?;
            if momentum > 0.0 {
                let buffer = self.slots.or_zeros(BUFFER, &name, &direction)?;
                direction = ((buffer * momentum)? + direction)?;
                self.slots.set(BUFFER, &name, &direction);
            }
            var.set(&(var.as_detached_tensor() - (direction * learning_rate)?)?)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.slots.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots = Slots::from_state(state, &[SQUARE, MEAN, BUFFER])?;
        Ok(())
    }
}
