use std::collections::BTreeMap;

use candle::{DType, Device, Result, Tensor, Var};

use crate::{Gradients, Parameters};

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
        let before = self.get("step", name).map_or(Ok(0.0), |step| step.to_scalar::<f64>())?;
        self.set("step", name, &Tensor::new(before + 1.0, &Device::Cpu)?);
        Ok(before + 1.0)
    }

    /// All tensors, as `slot/parameter`.
    pub(super) fn state(&self) -> BTreeMap<String, Tensor> {
        let slots = self.tensors.iter();
        let named = slots.flat_map(|(slot, tensors)| {
            tensors.iter().map(move |(name, tensor)| (format!("{slot}/{name}"), tensor.clone()))
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
            let is_count = tensor.rank() == 0 && tensor.dtype() == DType::F64;
            if slot == "step" && !is_count {
                candle::bail!("optimizer state {entry} is no f64 scalar");
            }
            slots.set(slot, name, tensor);
        }
        Ok(slots)
    }
}

/// The parameters that have a gradient, each with it, in the parameter's type.
pub(super) fn pairs(
    parameters: &Parameters,
    gradients: &Gradients,
) -> Result<Vec<(String, Var, Tensor)>> {
    let mut pairs = Vec::new();
    for (name, var) in parameters.vars() {
        let Some(gradient) = gradients.get(&name) else { continue };
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
