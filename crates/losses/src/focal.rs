//! The focal loss.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::cost::class_weights;
use crate::math::{clip, power};
use crate::target::widen;
use crate::{Activation, Error, Fraction, Loss, Margin, NonNegative, Result, Target};

/// The focal loss: cross entropy in which voxels that are already right count less.
///
/// ```text
/// softmax   L = mean over voxels of Σ_c α_c (1 − p_c)^γ · (−t_c ln p_c)
/// sigmoid   L = mean over voxels and classes of α_t (1 − p_t)^γ · binary cross entropy,
///               p_t = p t + (1 − p)(1 − t),   α_t = α t + (1 − α)(1 − t)
/// ```
///
/// With γ = 0 it is cross entropy. Unlike there, class weights make no mean: they scale the loss.
///
/// | | |
/// |---|---|
/// | range | 0 and above, without bound |
/// | soft targets | refused: the modulation moves the minimum |
/// | every voxel ignored | 0 |
///
/// # Source
///
/// Lin, Goyal, Girshick, He, Dollár: *Focal Loss for Dense Object Detection*, ICCV 2017,
/// [arXiv:1708.02002](https://arxiv.org/abs/1708.02002).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Focal {
    /// How logits become probabilities.
    pub activation: Activation,
    /// The exponent γ. 0 is cross entropy; 2 is the paper's.
    pub gamma: NonNegative,
    /// Under sigmoid, the weight of present classes α; absent ones weigh `1 − α`. Leave it out to
    /// weigh both 1.
    pub alpha: Option<Fraction>,
    /// A factor for each class, background first; empty for 1 everywhere.
    pub class_weights: Vec<NonNegative>,
    /// How far probabilities are kept from 0 and 1; 0 for not at all. Keras has 1e-7.
    pub clip: Margin,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Focal {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            gamma: NonNegative::literal(2.0),
            alpha: None,
            class_weights: Vec::new(),
            clip: Margin::literal(0.0),
            allow_soft: false,
        }
    }
}

impl Focal {
    /// The mean of `(1 − p)^γ · (−t ln p)` for each class.
    fn one_sided(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let of = Summand::Focal { exponent: 1.0, gamma: self.gamma.get() };
        let [.., costs] = target.class_sums::<5>(logits, self.activation, self.clip.get(), of)?;
        target.mean_of(&costs, logits)
    }

    /// `(1 − p)^γ · (−t ln p)` and the same of the class's absence, voxel by voxel.
    fn two_sided(&self, labels: &Tensor, logits: &Tensor) -> Result<Tensor> {
        let margin = self.clip.get();
        let absent = (1.0 - labels)?;
        let log_p = self.activation.log_probabilities(logits)?;
        let log_q = self.activation.log_probabilities(&logits.neg()?)?;
        let (p, q) = (clip(log_p.exp()?, margin)?, clip(log_q.exp()?, margin)?);
        let (log_p, log_q) = if margin > 0.0 { (p.log()?, q.log()?) } else { (log_p, log_q) };
        let cross_entropy = ((labels * log_p)? + (&absent * log_q)?)?.neg()?;
        // 1 − p_t from p and q = 1 − p, each exact where it is small.
        let wrong = ((labels * q)? + (&absent * p)?)?;
        let costs = (power(&wrong, self.gamma.get())? * cross_entropy)?;
        match self.alpha.map(Fraction::get) {
            Some(alpha) => Ok((labels.affine(2.0 * alpha - 1.0, 1.0 - alpha)? * costs)?),
            None => Ok(costs),
        }
    }
}

impl Loss for Focal {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.soft_label_ready() || self.allow_soft, "focal", "kl_divergence")?;
        let logits = &widen(logits)?;
        let mut by_class = match self.activation {
            Activation::Softmax => {
                if self.alpha.is_some() {
                    return Err(Error::Settings(
                        "alpha needs activation = \"sigmoid\"; use class_weights".into(),
                    ));
                }
                self.one_sided(logits, target)?
            }
            Activation::Sigmoid => {
                target.mean(&self.two_sided(&target.probabilities(logits)?, logits)?)?
            }
        };
        if let Some(weights) = class_weights(&self.class_weights, true, logits)? {
            by_class = (by_class * weights)?;
        }
        match self.activation {
            Activation::Softmax => Ok(by_class.sum_all()?),
            Activation::Sigmoid => Ok(by_class.mean_all()?),
        }
    }

    fn soft_label_ready(&self) -> bool {
        self.gamma.get() == 0.0 && self.alpha.is_none() && self.class_weights.is_empty()
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("focal", self.activation)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn an_undecided_network_costs_a_quarter_of_its_cross_entropy() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 1, 0, 0]], &Device::Cpu)?);

        let loss = Focal::default().forward(&logits, &target)?.to_scalar::<f64>()?;

        // (1 − 1/2)² · ln 2
        approx::assert_abs_diff_eq!(loss, 2f64.ln() / 4.0, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn soft_targets_are_refused() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::soft((logits.ones_like()? * 0.5)?);

        let error = Focal::default().forward(&logits, &target).unwrap_err();

        assert_eq!(
            error.to_string(),
            "focal is not smallest where the prediction equals a soft target; use kl_divergence, \
             or set allow_soft = true to reproduce a paper",
        );
        Ok(())
    }
}
