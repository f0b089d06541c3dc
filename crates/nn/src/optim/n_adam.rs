use std::collections::BTreeMap;

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::slots::{Slots, pairs, running_mean, with_decay};
use super::{Optimizer, Rates};
use crate::{Gradients, Parameters, range};

/// The settings of [`NAdam`]; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NAdamConfig {
    /// How much of the running means of gradients and of their squares is kept at each step, from 0
    /// to below 1.
    #[serde(deserialize_with = "range::both_kept")]
    pub betas: [f64; 2],
    /// Keeps the quotient finite where a gradient is 0; positive.
    #[serde(deserialize_with = "range::positive")]
    pub eps: f64,
    /// The weight of the L2 penalty, or where it is decoupled by how much a parameter shrinks at each
    /// step, as a part of the learning rate; 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub weight_decay: f64,
    /// How fast the momentum of a step rises from half of the first of `betas` to the whole, 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub momentum_decay: f64,
    /// Whether weight decay shrinks the parameter rather than joining its gradient.
    pub decoupled_weight_decay: bool,
}

impl Default for NAdamConfig {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            momentum_decay: 4e-3,
            decoupled_weight_decay: false,
        }
    }
}

/// Adam with Nesterov's momentum, which follows the mean as it will be after the next step.
///
/// # Source
///
/// Dozat: *Incorporating Nesterov Momentum into Adam*, ICLR 2016 workshop, with the schedule of momenta
/// of its algorithm 2, in PyTorch's form.
#[derive(Clone, Debug)]
pub struct NAdam {
    config: NAdamConfig,
    slots: Slots,
}

const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";
/// The product of the momenta of all steps, a number.
const PRODUCT: &str = "mu_product";

impl NAdam {
    /// Before its first step.
    pub fn new(config: NAdamConfig) -> Self {
        Self { config, slots: Slots::default() }
    }

    /// The momentum of that step.
    fn momentum(&self, step: f64) -> f64 {
        let NAdamConfig { betas: [keep, _], momentum_decay, .. } = self.config;
        keep * (1.0 - 0.5 * 0.96f64.powf(step * momentum_decay))
    }
}

impl Optimizer for NAdam {
    fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        rates: &Rates,
    ) -> Result<()> {
        let NAdamConfig { betas: [keep, keep_square], eps, decoupled_weight_decay, .. } =
            self.config;
        for (name, var, mut gradient) in pairs(parameters, gradients)? {
            let (rate, decay) = rates.of(&name, self.config.weight_decay);
            let step = self.slots.count(&name)?;
            let mut value = var.as_detached_tensor();
            if !decoupled_weight_decay {
                gradient = with_decay(gradient, &var, decay)?;
            } else if decay != 0.0 {
                value = (value * (1.0 - rate * decay))?;
            }
            let (momentum, next) = (self.momentum(step), self.momentum(step + 1.0));
            let product = self.slots.number(PRODUCT, &name)?.unwrap_or(1.0) * momentum;
            self.slots.set_number(PRODUCT, &name, product)?;

            let mean = self.slots.or_zeros(MEAN, &name, &gradient)?;
            let mean = running_mean(&mean, &gradient, keep)?;
            let square = self.slots.or_zeros(SQUARE, &name, &gradient)?;
            let square = running_mean(&square, &gradient.sqr()?, keep_square)?;
            self.slots.set(MEAN, &name, &mean);
            self.slots.set(SQUARE, &name, &square);

            let scale = (1.0 - keep_square.powf(step)).sqrt();
            let deviation = ((square.sqrt()? / scale)? + eps)?;
            let present = (gradient * (rate * (1.0 - momentum) / (1.0 - product)))?;
            let ahead = (mean * (rate * next / (1.0 - product * next)))?;
            var.set(&(value - ((present + ahead)? / deviation)?)?)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.slots.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots = Slots::from_state(state, &[MEAN, SQUARE, PRODUCT])?;
        Ok(())
    }
}
