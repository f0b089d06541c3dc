use std::collections::BTreeMap;

use candle::{DType, Device, Result, Tensor, Var};

use super::{Change, Rule};
use crate::{Gradients, Parameters};

/// Slots that have one number for each parameter, in f64 on the CPU.
const NUMBERS: [&str; 2] = ["step", "mu_product"];

/// What an optimizer remembers: for each of its slots, one tensor for each parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    tensors: BTreeMap<&'static str, BTreeMap<String, Tensor>>,
}

impl Slots {
    /// The tensor of `slot` for the parameter `name`, if there is one yet.
    pub(super) fn get(&self, slot: &'static str, name: &str) -> Option<Tensor> {
        self.tensors.get(slot)?.get(name).cloned()
    }

    /// The tensor of `slot` for the parameter `name`, zeros like `like` before the first step.
    pub(super) fn or_zeros(&self, slot: &'static str, name: &str, like: &Tensor) -> Result<Tensor> {
        self.get(slot, name).map_or_else(|| like.detach().zeros_like(), Ok)
    }

    pub(super) fn set(&mut self, slot: &'static str, name: &str, tensor: &Tensor) {
        self.tensors.entry(slot).or_default().insert(name.to_owned(), tensor.detach());
    }

    /// Counts one more step of the parameter `name`, and returns how many there have been.
    pub(super) fn count(&mut self, name: &str) -> Result<f64> {
        let step = self.number("step", name)?.unwrap_or(0.0) + 1.0;
        self.set_number("step", name, step)?;
        Ok(step)
    }

    /// The number of `slot` for the parameter `name`, if there is one yet; `slot` is one of [`NUMBERS`].
    pub(super) fn number(&self, slot: &'static str, name: &str) -> Result<Option<f64>> {
        self.get(slot, name).map(|number| number.to_scalar()).transpose()
    }

    pub(super) fn set_number(&mut self, slot: &'static str, name: &str, number: f64) -> Result<()> {
        self.set(slot, name, &Tensor::new(number, &Device::Cpu)?);
        Ok(())
    }

    /// What `rule` does to the parameter `name` with the memory in the first of these slots that it
    /// needs.
    pub(super) fn change(
        &self,
        name: String,
        rule: Rule,
        slots: &[&'static str],
        value: Var,
        gradient: &Tensor,
    ) -> Result<Change> {
        let slots = slots.iter().take(rule.memories());
        let memory = slots.map(|slot| self.or_zeros(slot, &name, gradient));
        let memory = memory.map(|tensor| tensor?.contiguous()).collect::<Result<_>>()?;
        let gradient = gradient.contiguous()?;
        Ok(Change { name, rule, value, gradient, memory })
    }

    /// Sets the first of these slots of the parameter `name`.
    pub(super) fn set_all(&mut self, slots: &[&'static str], name: &str, memory: &[Tensor]) {
        for (slot, tensor) in slots.iter().zip(memory) {
            self.set(slot, name, tensor);
        }
    }

    /// All tensors, as `slot/parameter`: no later step changes them.
    pub(super) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let slots = self.tensors.iter();
        let named = slots.flat_map(|(slot, tensors)| {
            tensors.iter().map(move |(name, tensor)| Ok((format!("{slot}/{name}"), own(tensor)?)))
        });
        named.collect()
    }

    /// The slots that [`Self::state`] wrote; `known` are those of this optimizer.
    pub(super) fn from_state(
        state: &BTreeMap<String, Tensor>,
        known: &[&'static str],
    ) -> Result<Self> {
        let mut slots = Self::default();
        for (entry, tensor) in state {
            let found = entry.split_once('/').and_then(|(slot, name)| {
                Some((*known.iter().chain(&["step"]).find(|known| **known == slot)?, name))
            });
            let Some((slot, name)) = found else {
                candle::bail!("optimizer state {entry} is not known; slots are {known:?}");
            };
            let is_number = tensor.rank() == 0 && tensor.dtype() == DType::F64;
            if NUMBERS.contains(&slot) && !is_number {
                candle::bail!("optimizer state {entry} is no f64 scalar");
            }
            slots.set(slot, name, &own(tensor)?);
        }
        Ok(slots)
    }
}

/// A tensor that no step changes: on a CUDA device, where steps change what they remember in place, a
/// copy; else steps make new tensors.
fn own(tensor: &Tensor) -> Result<Tensor> {
    if tensor.device().is_cuda() { tensor.copy() } else { Ok(tensor.clone()) }
}

/// The parameters that have a gradient and are not frozen, each with it, in the parameter's type.
pub(super) fn pairs(
    parameters: &Parameters,
    gradients: &Gradients,
) -> Result<Vec<(String, Var, Tensor)>> {
    let mut pairs = Vec::new();
    for (name, var) in parameters.vars() {
        let Some(gradient) = gradients.get(&name) else { continue };
        if parameters.is_frozen(&name) {
            continue;
        }
        if gradient.dims() != var.dims() {
            let (actual, expected) = (gradient.dims().to_vec(), var.dims().to_vec());
            return Err(crate::Error::Shape { name, actual, expected }.into());
        }
        let gradient = gradient.detach().to_dtype(var.dtype())?;
        pairs.push((name, var, gradient));
    }
    Ok(pairs)
}

/// The gradient with weight decay as an L2 penalty.
pub(super) fn with_decay(gradient: Tensor, var: &Var, weight_decay: f64) -> Result<Tensor> {
    if weight_decay == 0.0 {
        return Ok(gradient);
    }
    gradient + (var.as_detached_tensor() * weight_decay)?
}

/// The running mean `before + (1 − keep) · (now − before)`.
pub(super) fn running_mean(before: &Tensor, now: &Tensor, keep: f64) -> Result<Tensor> {
    (before * keep)? + (now * (1.0 - keep))?
}
