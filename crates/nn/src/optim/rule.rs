//! What one step does to one parameter, in numbers: what native kernels are told.

use candle::{Tensor, Var};

/// A step of gradient descent with momentum: see [`Sgd`](super::Sgd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Descent {
    /// The weight of the L2 penalty.
    pub(crate) decay: f64,
    /// How much of the buffer is kept; without momentum there is none.
    pub(crate) momentum: f64,
    /// How much of the gradient goes into the buffer.
    pub(crate) fresh: f64,
    pub(crate) nesterov: bool,
    /// Whether the buffer is to begin as the gradient.
    pub(crate) first: bool,
    pub(crate) rate: f64,
}

/// A step by running moments: see [`Adam`](super::Adam).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adaption {
    /// The weight of the L2 penalty.
    pub(crate) decay: f64,
    /// What the parameter is multiplied by first, where weight decay shrinks it.
    pub(crate) shrink: Option<f64>,
    /// How much is kept of the mean, and of the mean square.
    pub(crate) keep: [f64; 2],
    /// What the root of the mean square is divided by: its expectation, had the mean been 1 throughout.
    pub(crate) scale: f64,
    pub(crate) eps: f64,
    /// Whether the largest mean square so far is kept, and taken.
    pub(crate) amsgrad: bool,
    pub(crate) rate: f64,
}

/// A step of either kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// With the buffer as memory, where there is momentum.
    Descent(Descent),
    /// With mean, mean square and, for `amsgrad`, largest mean square as memory.
    Adaption(Adaption),
}

/// A parameter, and what it is changed by.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) rule: Rule,
    pub(crate) value: Var,
    /// Of the shape and type of the parameter.
    pub(crate) gradient: Tensor,
    /// What is remembered from the last step; zeros before the first.
    pub(crate) memory: Vec<Tensor>,
}

impl Rule {
    /// How many tensors a parameter's memory has.
    pub(crate) fn memories(&self) -> usize {
        match self {
            Self::Descent(descent) => usize::from(descent.momentum != 0.0),
            Self::Adaption(adaption) => 2 + usize::from(adaption.amsgrad),
        }
    }
}
