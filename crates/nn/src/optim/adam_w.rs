use serde::{Deserialize, Serialize};

use super::{Adam, AdamConfig};
use crate::range;

/// The settings of [`Adam`] with decoupled weight decay; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// How much of the running means of gradients and of their squares is kept at each step, from 0
    /// to below 1.
    #[serde(deserialize_with = "range::both_kept")]
    pub betas: [f64; 2],
    /// Keeps the quotient finite where a gradient is 0; positive.
    #[serde(deserialize_with = "range::positive")]
    pub eps: f64,
    /// By how much a parameter shrinks at each step, as a part of the learning rate; 0 or more.
    #[serde(deserialize_with = "range::decay")]
    pub weight_decay: f64,
    /// Whether to divide by the largest mean square so far rather than by the present one.
    pub amsgrad: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 1e-2, amsgrad: false }
    }
}

impl AdamWConfig {
    /// An optimizer with these settings, before its first step.
    pub fn build(&self) -> Adam {
        let Self { betas, eps, weight_decay, amsgrad } = *self;
        Adam::decoupled(AdamConfig { betas, eps, weight_decay, amsgrad })
    }
}
