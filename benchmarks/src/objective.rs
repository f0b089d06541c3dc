use candle::{DType, Device, Tensor};
use sconce::losses::{Loss, LossConfig, Target};
use sconce::nn::{Leaf, softmax_along};
use serde::Deserialize;

use crate::pattern;

/// A loss with logits and a target, ready to be timed.
#[derive(Debug)]
pub struct Objective {
    loss: LossConfig,
    logits: Leaf,
    /// What the leaf is a copy of: were it dropped, its memory would be used again, and not be counted.
    _held: Tensor,
    target: Target,
}

/// Which loss, of what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LossRequest {
    /// As a run file has it.
    pub loss: LossConfig,
    /// `(N, C, *S)`.
    pub shape: Vec<usize>,
    /// Whether the target is soft.
    #[serde(default)]
    pub soft: bool,
}

impl Objective {
    /// The loss that `request` names.
    ///
    /// # Errors
    ///
    /// Where it cannot be computed.
    pub fn new(request: &LossRequest) -> anyhow::Result<Self> {
        let device = &Device::Cpu;
        let logits = pattern(&request.shape, device)?;
        let target = if request.soft {
            // Of the other sign, so that logits are wrong.
            let shares = softmax_along(&logits.neg()?, 1)?;
            Target::soft(shares)
        } else {
            let space = [&request.shape[..1], &request.shape[2..]].concat();
            let classes = request.shape[1];
            #[expect(clippy::cast_possible_truncation, reason = "classes are few")]
            let labels: Vec<u32> =
                (0..space.iter().product()).map(|at: usize| (at / 97 % classes) as u32).collect();
            Target::hard(Tensor::from_vec(labels, space, device)?)
        };
        let leaf = Leaf::new(&logits)?;
        Ok(Self { loss: request.loss.clone(), logits: leaf, _held: logits, target })
    }

    /// The value of the loss, after its gradient has been computed.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn run(&self) -> anyhow::Result<f64> {
        let value = self.loss.forward(self.logits.values(), &self.target)?;
        let gradient = self.logits.take_gradient(&value.backward()?)?;
        anyhow::ensure!(gradient.is_some(), "no gradient");
        Ok(value.to_dtype(DType::F64)?.to_scalar()?)
    }
}
