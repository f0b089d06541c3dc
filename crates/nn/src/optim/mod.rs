//! Optimizers.
//!
//! All of them leave a parameter without gradient as it is, weight decay included, and count steps
//! for each parameter by itself, as PyTorch does. [`Rates`] say how fast each one learns.
//!
//! Steps of SGD and Adam on parameters in f32 are one pass over memory on the CPU, with the bits of the
//! same steps out of candle operations, and one launch for all parameters on CUDA devices. The others,
//! and those on other devices, are candle operations.

mod adam;
mod adam_w;
mod groups;
mod n_adam;
mod r_adam;
mod rates;
mod rms_prop;
mod rule;
mod sgd;
mod slots;

use std::collections::BTreeMap;
use std::fmt;

use candle::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

pub use self::adam::{Adam, AdamConfig};
pub use self::adam_w::AdamWConfig;
pub use self::groups::{GroupConfig, GroupsConfig};
pub use self::n_adam::{NAdam, NAdamConfig};
pub use self::r_adam::{RAdam, RAdamConfig};
pub use self::rates::{RateFactors, Rates};
pub use self::rms_prop::{RmsProp, RmsPropConfig};
pub(crate) use self::rule::{Adaption, Change, Descent, Rule};
pub use self::sgd::{Sgd, SgdConfig};
use crate::backend::backend;
use crate::{Backend, Gradients, Parameters, native};

/// Changes parameters by their gradients.
pub trait Optimizer: fmt::Debug + Send {
    /// Makes one step, each parameter by its own learning rate and weight decay.
    ///
    /// Where they are the same for all, `&learning_rate.into()` will do.
    ///
    /// # Errors
    ///
    /// Where a gradient does not have the shape of its parameter.
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, rates: &Rates)
    -> Result<()>;

    /// What it remembers between steps, as `slot/parameter`; enough to go on as if it had never
    /// stopped.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Goes on from what [`Self::state`] returned.
    ///
    /// # Errors
    ///
    /// Where an entry is not one of this optimizer's.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// Whether a step on `parameter` is one pass over it: else it is made of candle operations.
fn is_one_pass(parameter: &Var) -> bool {
    backend() != Backend::Reference && native::changes(parameter.dtype(), parameter.device())
}

/// The settings of an optimizer, as a config file names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// `[optimizer.sgd]`: [`Sgd`].
    Sgd(SgdConfig),
    /// `[optimizer.adam]`: [`Adam`], with weight decay as part of the gradient.
    Adam(AdamConfig),
    /// `[optimizer.adam_w]`: [`Adam`], with decoupled weight decay.
    AdamW(AdamWConfig),
    /// `[optimizer.n_adam]`: [`NAdam`].
    NAdam(NAdamConfig),
    /// `[optimizer.rms_prop]`: [`RmsProp`].
    RmsProp(RmsPropConfig),
    /// `[optimizer.r_adam]`: [`RAdam`].
    RAdam(RAdamConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

impl OptimizerConfig {
    /// An optimizer with these settings, before its first step.
    pub fn build(&self) -> Box<dyn Optimizer> {
        match self {
            Self::Sgd(config) => Box::new(Sgd::new(config.clone())),
            Self::Adam(config) => Box::new(Adam::new(config.clone())),
            Self::AdamW(config) => Box::new(config.build()),
            Self::NAdam(config) => Box::new(NAdam::new(config.clone())),
            Self::RmsProp(config) => Box::new(RmsProp::new(config.clone())),
            Self::RAdam(config) => Box::new(RAdam::new(config.clone())),
        }
    }
}
