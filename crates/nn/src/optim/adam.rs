use std::collections::BTreeMap;

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::slots::{Slots, pairs, running_mean, with_decay};
use super::{Adaption, Optimizer, Rates, Rule, is_one_pass};
use crate::{Gradients, Parameters, native, range};

/// The settings of [`Adam`] with weight decay as part of the gradient; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
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
    /// Whether to divide by the largest mean square so far rather than by the present one.
    pub amsgrad: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, amsgrad: false }
    }
}

/// Adaptive moment estimation; with decoupled weight decay, AdamW.
///
/// # Source
///
/// Kingma, Ba: *Adam*, ICLR 2015, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980); Loshchilov,
/// Hutter: *Decoupled Weight Decay Regularization*, ICLR 2019,
/// [arXiv:1711.05101](https://arxiv.org/abs/1711.05101); Reddi, Kale, Kumar: *On the Convergence of
/// Adam and Beyond*, ICLR 2018, for `amsgrad`.
#[derive(Clone, Debug)]
pub struct Adam {
    config: AdamConfig,
    /// Whether weight decay shrinks the parameter rather than joining its gradient.
    decoupled: bool,
    slots: Slots,
}

const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";
const LARGEST: &str = "max_exp_avg_sq";
const SLOTS: [&str; 3] = [MEAN, SQUARE, LARGEST];

impl Adam {
    /// Before its first step, with weight decay as part of the gradient.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, decoupled: false, slots: Slots::default() }
    }

    /// Before its first step, with weight decay that shrinks the parameters directly: AdamW.
    pub fn decoupled(config: AdamConfig) -> Self {
        Self { decoupled: true, ..Self::new(config) }
    }
}

impl Optimizer for Adam {
    fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        rates: &Rates,
    ) -> Result<()> {
        let AdamConfig { betas: [keep, keep_square], eps, amsgrad, .. } = self.config;
        let mut changes = Vec::new();
        for (name, var, mut gradient) in pairs(parameters, gradients)? {
            let (learning_rate, weight_decay) = rates.of(&name, self.config.weight_decay);
            let step = self.slots.count(&name)?;
            let scale = (1.0 - keep_square.powf(step)).sqrt();
            let rate = learning_rate / (1.0 - keep.powf(step));
            if is_one_pass(&var) {
                let shrink = self.decoupled.then_some(1.0 - learning_rate * weight_decay);
                let rule = Rule::Adaption(Adaption {
                    decay: if self.decoupled { 0.0 } else { weight_decay },
                    shrink,
                    keep: self.config.betas,
                    scale,
                    eps,
                    amsgrad,
                    rate,
                });
                changes.push(self.slots.change(name, rule, &SLOTS, var, &gradient)?);
                continue;
            }
            let mut value = var.as_detached_tensor();
            if self.decoupled {
                value = (value * (1.0 - learning_rate * weight_decay))?;
            } else {
                gradient = with_decay(gradient, &var, weight_decay)?;
            }
            let mean = self.slots.or_zeros(MEAN, &name, &gradient)?;
            let mean = running_mean(&mean, &gradient, keep)?;
            let square = self.slots.or_zeros(SQUARE, &name, &gradient)?;
            let mut square = running_mean(&square, &gradient.sqr()?, keep_square)?;
            self.slots.set(MEAN, &name, &mean);
            self.slots.set(SQUARE, &name, &square);
            if amsgrad {
                let largest = self.slots.or_zeros(LARGEST, &name, &gradient)?;
                square = largest.maximum(&square)?;
                self.slots.set(LARGEST, &name, &square);
            }
            let deviation = ((square.sqrt()? / scale)? + eps)?;
            var.set(&(value - ((mean / deviation)? * rate)?)?)?;
        }
        native::change(changes, |name, memory| self.slots.set_all(&SLOTS, name, &memory))
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.slots.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots = Slots::from_state(state, &SLOTS)?;
        Ok(())
    }
}
