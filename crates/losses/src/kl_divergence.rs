//! The Kullback-Leibler divergence from the target to the prediction.

use candle::Tensor;
use nn::{ClassSums, Summand};
use serde::{Deserialize, Serialize};

use crate::target::widen;
use crate::{Activation, Loss, Positive, Result, Target};

/// The Kullback-Leibler divergence, for soft labels and distillation.
///
/// With `t` the target and `p` the softmax of the logits over temperature `T`,
///
/// ```text
/// L = T² · mean over voxels of Σ_c t_c (ln t_c − ln p_c),    0 ln 0 = 0
/// ```
///
/// It is 0 exactly where `p = t`, and has the gradients of cross entropy. `T²` keeps them of one
/// size whatever the temperature. The target is not softened here: with `T` other than 1 it is
/// the teacher's softmax at that temperature.
///
/// | | |
/// |---|---|
/// | range | 0 and above, without bound |
/// | every voxel ignored | 0 |
///
/// # Source
///
/// Hinton, Vinyals, Dean: *Distilling the Knowledge in a Neural Network*, 2015,
/// [arXiv:1503.02531](https://arxiv.org/abs/1503.02531).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KlDivergence {
    /// The temperature `T` that the logits are divided by.
    pub temperature: Positive,
}

impl Default for KlDivergence {
    fn default() -> Self {
        Self { temperature: Positive::literal(1.0) }
    }
}

impl Loss for KlDivergence {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let temperature = self.temperature.get();
        let logits = &widen(logits)?;
        let activation = Activation::Softmax.of_logits(logits)?;
        let squared = temperature * temperature;
        let foreseen = target.share_of_a_voxel(logits).map(|share| squared * share);
        let sums =
            ClassSums { temperature, foreseen, ..ClassSums::new(activation, Summand::Divergence) };
        let [costs] = target.sums(logits, &sums)?;
        let mean = target.mean_of(&costs, logits)?.sum_all()?;
        Ok((mean * squared)?)
    }

    fn soft_label_ready(&self) -> bool {
        true
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect_softmax("kl_divergence")
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn predicting_the_target_costs_nothing() -> anyhow::Result<()> {
        let target = Tensor::new(&[[[0.1f64, 0.5], [0.9, 0.5]]], &Device::Cpu)?;
        let logits = (target.log()? * 2.0)?;
        let loss = KlDivergence { temperature: Positive::literal(2.0) };

        let loss = loss.forward(&logits, &Target::soft(target))?.to_scalar::<f64>()?;

        approx::assert_abs_diff_eq!(loss, 0.0, epsilon = 1e-15);
        Ok(())
    }
}
