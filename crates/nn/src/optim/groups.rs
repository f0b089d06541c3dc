use std::collections::BTreeSet;

use candle::Result;
use serde::{Deserialize, Serialize};

use super::{RateFactors, Rates};
use crate::{Error, NamePattern, Parameters, range};

/// How groups of parameters learn: other learning rates for some, no weight decay, or nothing at all.
///
/// Of the groups that match a parameter the **last** holds for it, as a whole: general ones come first,
/// exceptions behind them. A parameter that no group matches has the factors 1.
///
/// [`Self::freeze`] is called before a network is built, [`Self::rates`] after.
///
/// # Examples
///
/// An encoder of which nothing but the last stage learns, and a decoder that learns ten times as fast,
/// without weight decay for biases and norms:
///
/// ```
/// use candle::Device;
/// use sconce_nn::{GroupsConfig, Parameters};
///
/// let groups: GroupsConfig = serde_json::from_str(
///     r#"{"decay_vectors": false, "groups": [
///         {"parameters": "encoder", "frozen": true},
///         {"parameters": "encoder.stages.3"},
///         {"parameters": "decoder", "learning_rate": 10.0}
///     ]}"#,
/// )?;
/// let parameters = Parameters::new(7, &Device::Cpu);
/// groups.freeze(&parameters)?;
/// let vb = parameters.builder();
/// vb.get((8, 8), "encoder.stages.0.weight")?;
/// vb.get((8, 8), "encoder.stages.3.weight")?;
/// vb.get(8, "decoder.bias")?;
///
/// let rates = groups.rates(&parameters)?.at(0.01);
/// assert!(parameters.is_frozen("encoder.stages.0.weight"));
/// assert_eq!(rates.learning_rate("encoder.stages.3.weight"), 0.01);
/// assert_eq!(rates.learning_rate("decoder.bias"), 0.1);
/// assert_eq!(rates.factors("decoder.bias").weight_decay, 0.0);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// The groups, general ones first.
    pub groups: Vec<GroupConfig>,
    /// Whether weight decay is for parameters of one axis as well: biases, and what norms have. Where it
    /// is not, no group says otherwise.
    pub decay_vectors: bool,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self { groups: Vec::new(), decay_vectors: true }
    }
}

/// A group of parameters, and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Which parameters.
    pub parameters: NamePattern,
    /// What their learning rate is multiplied by, 0 or more.
    #[serde(default = "one", deserialize_with = "range::decay")]
    pub learning_rate: f64,
    /// What their weight decay is multiplied by, 0 or more.
    #[serde(default = "one", deserialize_with = "range::decay")]
    pub weight_decay: f64,
    /// Whether they learn nothing, and no gradient of theirs is computed.
    #[serde(default)]
    pub frozen: bool,
}

fn one() -> f64 {
    1.0
}

impl GroupConfig {
    /// Those that match `parameters`, which learn as all others.
    pub fn new(parameters: NamePattern) -> Self {
        Self { parameters, learning_rate: 1.0, weight_decay: 1.0, frozen: false }
    }
}

impl GroupsConfig {
    /// Where the group that holds for the parameter `name` is.
    fn at(&self, name: &str) -> Option<usize> {
        self.groups.iter().rposition(|group| group.parameters.matches(name))
    }

    fn is_frozen(&self, name: &str) -> bool {
        self.at(name).is_some_and(|at| self.groups[at].frozen)
    }

    /// Freezes the parameters that frozen groups hold for; see [`Parameters::freeze`].
    ///
    /// # Errors
    ///
    /// Where a network has one of them already.
    pub fn freeze(&self, parameters: &Parameters) -> Result<()> {
        let groups = self.clone();
        parameters.freeze(move |name| groups.is_frozen(name))
    }

    /// The factors of all parameters, of a base learning rate of 1: [`Rates::at`] gives it another.
    ///
    /// # Errors
    ///
    /// Where a group matches no parameter or holds for none, which is a slip of the pen, and where
    /// [`Self::freeze`] was not called before they were created.
    pub fn rates(&self, parameters: &Parameters) -> Result<Rates> {
        let vars = parameters.vars();
        let mut rates = Rates::uniform(1.0);
        let mut holding = BTreeSet::new();
        for (name, var) in &vars {
            if parameters.is_frozen(name) != self.is_frozen(name) {
                return Err(Error::InUse { name: name.clone() }.into());
            }
            let at = self.at(name);
            holding.extend(at);
            let mut factors = at.map_or_else(RateFactors::default, |at| RateFactors {
                learning_rate: self.groups[at].learning_rate,
                weight_decay: self.groups[at].weight_decay,
            });
            if !self.decay_vectors && var.rank() <= 1 {
                factors.weight_decay = 0.0;
            }
            if factors != RateFactors::default() {
                rates = rates.with(name, factors);
            }
        }
        let idle = (0..self.groups.len()).find(|at| !holding.contains(at));
        let Some(idle) = idle.map(|at| &self.groups[at].parameters) else { return Ok(rates) };
        let pattern = idle.to_string();
        if vars.iter().any(|(name, _)| idle.matches(name)) {
            return Err(Error::Overruled { pattern }.into());
        }
        let first = |(name, _): &(String, _)| name.split('.').next().unwrap_or(name).to_owned();
        Err(Error::Unmatched { pattern, names: vars.iter().map(first).collect() }.into())
    }
}
