use std::collections::BTreeMap;

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::slots::{Slots, pairs, with_decay};
use super::{Descent, Optimizer, Rates, Rule, is_one_pass};
use crate::{Gradients, Parameters, native, range};

/// The settings of [`Sgd`]; the defaults are nnU-Net's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// How much of the last step is kept, from 0 to below 1.
    #[serde(deserialize_with = "range::kept")]
    pub momentum: f64,
    /// How much of a new gradient is left out of the momentum, from 0 to 1.
    #[serde(deserialize_with = "range::part")]
    pub dampening: f64,
    /// Whether the gradient is corrected by the momentum before it is followed.
    pub nesterov: bool,
    /// The weight of the L2 penalty, 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.99, dampening: 0.0, nesterov: true, weight_decay: 3e-5 }
    }
}

/// Stochastic gradient descent, with momentum.
///
/// # Source
///
/// Sutskever, Martens, Dahl, Hinton: *On the importance of initialization and momentum in deep
/// learning*, ICML 2013, in PyTorch's form.
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    slots: Slots,
}

const BUFFER: &str = "momentum_buffer";

impl Sgd {
    /// Before its first step.
    pub fn new(config: SgdConfig) -> Self {
        Self { config, slots: Slots::default() }
    }
}

impl Optimizer for Sgd {
    fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        rates: &Rates,
    ) -> Result<()> {
        let SgdConfig { momentum, dampening, nesterov, .. } = self.config;
        let mut changes = Vec::new();
        for (name, var, gradient) in pairs(parameters, gradients)? {
            let (learning_rate, weight_decay) = rates.of(&name, self.config.weight_decay);
            if is_one_pass(&var) {
                let rule = Rule::Descent(Descent {
                    decay: weight_decay,
                    momentum,
                    fresh: 1.0 - dampening,
                    nesterov,
                    first: self.slots.get(BUFFER, &name).is_none(),
                    rate: learning_rate,
                });
                changes.push(self.slots.change(name, rule, &[BUFFER], var, &gradient)?);
                continue;
            }
            let gradient = with_decay(gradient, &var, weight_decay)?;
            let direction = if momentum == 0.0 {
                gradient
            } else {
                let buffer = match self.slots.get(BUFFER, &name) {
                    Some(buffer) => ((buffer * momentum)? + (&gradient * (1.0 - dampening))?)?,
                    None => gradient.clone(),
                };
                self.slots.set(BUFFER, &name, &buffer);
                if nesterov { (gradient + (buffer * momentum)?)? } else { buffer }
            };
            var.set(&(var.as_detached_tensor() - (direction * learning_rate)?)?)?;
        }
        native::change(changes, |name, memory| self.slots.set_all(&[BUFFER], name, &memory))
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.slots.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots = Slots::from_state(state, &[BUFFER])?;
        Ok(())
    }
}
