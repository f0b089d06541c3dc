use std::collections::BTreeMap;
use std::sync::Arc;

/// The learning rate of one step, with what single parameters have of it.
///
/// A parameter's learning rate is the base times its factor; its weight decay that of the optimizer's
/// settings times another. Where weight decay is decoupled, its strength follows the parameter's
/// learning rate, as in PyTorch. A parameter of which nothing is said has the factors 1.
///
/// [`GroupsConfig::rates`](crate::GroupsConfig::rates) makes the factors out of a config file.
///
/// # Examples
///
/// ```
/// use sconce_nn::{RateFactors, Rates};
///
/// let head = RateFactors { learning_rate: 10.0, weight_decay: 0.0 };
/// let rates = Rates::uniform(0.5).with("head.bias", head);
/// assert_eq!(rates.learning_rate("head.bias"), 5.0);
/// assert_eq!(rates.learning_rate("stem.bias"), 0.5);
/// assert_eq!(rates.at(0.25).learning_rate("head.bias"), 2.5);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    base: f64,
    factors: Arc<BTreeMap<String, RateFactors>>,
}

/// What a parameter's learning rate and weight decay are multiplied by; 1 by default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateFactors {
    /// Of the learning rate.
    pub learning_rate: f64,
    /// Of the weight decay.
    pub weight_decay: f64,
}

impl Default for RateFactors {
    fn default() -> Self {
        Self { learning_rate: 1.0, weight_decay: 1.0 }
    }
}

impl Rates {
    /// The same learning rate for all parameters.
    pub fn uniform(learning_rate: f64) -> Self {
        Self { base: learning_rate, factors: Arc::default() }
    }

    /// With these factors for the parameter `name`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, factors: RateFactors) -> Self {
        Arc::make_mut(&mut self.factors).insert(name.into(), factors);
        self
    }

    /// The same factors of another base learning rate, as for another step.
    #[must_use]
    pub fn at(&self, learning_rate: f64) -> Self {
        Self { base: learning_rate, factors: Arc::clone(&self.factors) }
    }

    /// The base learning rate.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The factors of the parameter `name`.
    pub fn factors(&self, name: &str) -> RateFactors {
        self.factors.get(name).copied().unwrap_or_default()
    }

    /// The learning rate of the parameter `name`.
    pub fn learning_rate(&self, name: &str) -> f64 {
        self.base * self.factors(name).learning_rate
    }

    /// The learning rate of the parameter `name`, and the weight decay that it has where others have
    /// `weight_decay`.
    pub(super) fn of(&self, name: &str, weight_decay: f64) -> (f64, f64) {
        let factors = self.factors(name);
        (self.base * factors.learning_rate, weight_decay * factors.weight_decay)
    }
}

impl From<f64> for Rates {
    fn from(learning_rate: f64) -> Self {
        Self::uniform(learning_rate)
    }
}
