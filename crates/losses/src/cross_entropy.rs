//! Cross entropy.

use candle::Tensor;
use nn::{ClassSums, Summand};
use serde::{Deserialize, Serialize};

use crate::cost::class_weights;
use crate::math::{clip_log, quotient};
use crate::target::widen;
use crate::{Activation, Error, Fraction, Loss, Margin, NonNegative, Positive, Result, Target};

/// Cross entropy: what the labels would cost to encode by the predicted probabilities, in nats.
///
/// With `t` the target, `p` the probabilities and `w` the weight of voxel `v`,
///
/// ```text
/// softmax   L = Σ_v w Σ_c −t_c ln p_c / Σ_v w Σ_c t_c
/// sigmoid   L = mean over c of Σ_v w (−t_c ln p_c − (1 − t_c) ln(1 − p_c)) / Σ_v w
/// ```
///
/// Under sigmoid this is the binary cross entropy. Soft labels are taken as they are: the loss is
/// smallest at `p = t`, where it equals the entropy of `t`. See [`KlDivergence`](crate::KlDivergence)
/// for the same gradients with 0 as the smallest value.
///
/// | | |
/// |---|---|
/// | range | 0 and above, without bound |
/// | class absent from the target | costs what probability it is given, as any other |
/// | every voxel ignored | 0 |
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
/// use sconce_losses::{CrossEntropy, Loss, Target};
///
/// // One sample, two classes, three voxels.
/// let logits = Tensor::new(&[[[9f32, -9., 9.], [-9., 9., -9.]]], &Device::Cpu)?;
/// let target = Target::hard(Tensor::new(&[[0u32, 1, 0]], &Device::Cpu)?);
///
/// let loss = CrossEntropy::default().forward(&logits, &target)?;
/// assert!(loss.to_scalar::<f32>()? < 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// How logits become probabilities.
    pub activation: Activation,
    /// How much of the target is spread over the classes evenly: `t ← (1 − ε) t + ε / C`, or
    /// `+ ε / 2` under sigmoid. Everywhere alike: not the smoothing of boundaries, which is made
    /// with the labels.
    pub label_smoothing: Fraction,
    /// A weight for each class, background first; empty for all alike. The mean is over weights,
    /// as in PyTorch, so that their scale does not matter.
    pub class_weights: Vec<NonNegative>,
    /// Under sigmoid: how many times a missed voxel costs what a wrong one does.
    pub positive_weight: Positive,
    /// How far probabilities are kept from 0 and 1. 0, the default, is best: beyond the margin
    /// there is no gradient. Keras has 1e-7.
    pub clip: Margin,
    /// Whether to take soft targets although label smoothing or weights move the minimum.
    pub allow_soft: bool,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            label_smoothing: Fraction::literal(0.0),
            class_weights: Vec::new(),
            positive_weight: Positive::literal(1.0),
            clip: Margin::literal(0.0),
            allow_soft: false,
        }
    }
}

impl CrossEntropy {
    fn unweighted(&self) -> bool {
        (self.positive_weight.get() - 1.0).abs() < f64::EPSILON
    }

    /// That the settings fit each other and `target`.
    fn check(&self, target: &Target) -> Result<()> {
        if self.activation == Activation::Softmax && !self.unweighted() {
            return Err(Error::Settings("positive_weight needs activation = \"sigmoid\"".into()));
        }
        target.refuse_soft(
            self.soft_label_ready() || self.allow_soft,
            "cross_entropy with label smoothing or weights",
            "cross_entropy without them",
        )
    }

    /// Between how many classes a voxel is to choose.
    fn choices(&self, logits: &Tensor) -> Result<usize> {
        Ok(match self.activation {
            Activation::Softmax => logits.dim(1)?,
            Activation::Sigmoid => 2,
        })
    }

    /// The cost of each voxel: `(N, 1, *S)` under softmax, `(N, C, *S)` under sigmoid. Neither
    /// voxel weights nor the class weights' mean are in it yet.
    pub(crate) fn voxels(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        self.check(target)?;
        let margin = self.clip.get();
        let smoothing = self.label_smoothing.get();
        let log_p = clip_log(self.activation.log_probabilities(logits)?, margin)?;
        let weights = class_weights(&self.class_weights, true, logits)?;
        if self.activation == Activation::Softmax
            && smoothing == 0.0
            && let Some(costs) = target.of_labelled(&log_p, weights.as_ref())?
        {
            return Ok(costs.neg()?);
        }
        let labels = target.probabilities(logits)?;
        let labels = labels.affine(1.0 - smoothing, smoothing / self.choices(logits)? as f64)?;
        let mut costs = (&labels * log_p)?.neg()?;
        if self.activation == Activation::Sigmoid {
            let log_not = clip_log(self.activation.log_probabilities(&logits.neg()?)?, margin)?;
            let absent = ((1.0 - labels)? * log_not)?;
            costs = ((costs * self.positive_weight.get())? - absent)?;
        }
        if let Some(weights) = weights {
            let mut shape = vec![1; logits.rank()];
            shape[1] = weights.elem_count();
            costs = costs.broadcast_mul(&weights.reshape(shape)?)?;
        }
        match self.activation {
            Activation::Softmax => Ok(costs.sum_keepdim(1)?),
            Activation::Sigmoid => Ok(costs),
        }
    }

    /// The costs of all voxels of each class, each times its weight, added up: `(N, C)`.
    fn sums(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let clip = self.clip.get();
        let activation = self.activation.of_logits(logits)?;
        let is_mean = self.activation == Activation::Softmax && self.class_weights.is_empty();
        let foreseen = if is_mean && self.label_smoothing.get() == 0.0 {
            target.share_of_a_voxel(logits)
        } else {
            None
        };
        let sums =
            ClassSums { clip, foreseen, ..ClassSums::new(activation, Summand::CrossEntropy) };
        let [yes, always, no, never] = target.sums(logits, &sums)?;
        let smoothing = self.label_smoothing.get();
        let smooth = |cost: Tensor, even: Tensor| -> Result<Tensor> {
            if smoothing == 0.0 {
                return Ok(cost);
            }
            let share = smoothing / self.choices(logits)? as f64;
            Ok(((cost * (1.0 - smoothing))? + (even * share)?)?)
        };
        let costs = smooth(yes, always)?;
        match self.activation {
            Activation::Softmax => Ok(costs),
            Activation::Sigmoid => {
                Ok(((costs * self.positive_weight.get())? + smooth(no, never)?)?)
            }
        }
    }

    /// What all voxels cost together, each times its weight, under softmax.
    pub(crate) fn total(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let costs = self.sums(logits, target)?.sum(0)?;
        match class_weights(&self.class_weights, true, logits)? {
            Some(weights) => Ok((costs * weights)?.sum_all()?),
            None => Ok(costs.sum_all()?),
        }
    }
}

impl Loss for CrossEntropy {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        self.check(target)?;
        let logits = &widen(logits)?;
        let costs = target.mean_of(&self.sums(logits, target)?, logits)?;

        let weights = class_weights(&self.class_weights, true, logits)?;
        match (self.activation, weights) {
            (Activation::Softmax, None) => Ok(costs.sum_all()?),
            (Activation::Sigmoid, None) => Ok(costs.mean_all()?),
            // A mean over weights, not over voxels.
            (Activation::Softmax, Some(weights)) => {
                let of = Summand::Overlap { squared: false };
                let [_, _, shares] = target.class_sums(logits, self.activation, 0.0, of)?;
                let shares = (target.mean_of(&shares, logits)? * &weights)?;
                quotient(&(costs * weights)?.sum_all()?, &shares.sum_all()?)
            }
            (Activation::Sigmoid, Some(weights)) => {
                quotient(&(costs * &weights)?.mean_all()?, &weights.mean_all()?)
            }
        }
    }

    fn soft_label_ready(&self) -> bool {
        self.label_smoothing.get() == 0.0 && self.class_weights.is_empty() && self.unweighted()
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("cross_entropy", self.activation)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn an_undecided_network_costs_the_logarithm_of_two() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 1, 0, 0]], &Device::Cpu)?);

        let loss = CrossEntropy::default().forward(&logits, &target)?.to_scalar::<f64>()?;

        approx::assert_abs_diff_eq!(loss, 2f64.ln(), epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn class_weights_make_a_mean_over_weights() -> anyhow::Result<()> {
        // p of class 0 is 1/2 and 1/5; the labels are 0 and 1.
        let logits = Tensor::new(&[[[0f64, 0.], [0., 4f64.ln()]]], &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[0u32, 1]], &Device::Cpu)?);
        let weights = [1.0, 3.0].map(NonNegative::literal).to_vec();

        let loss = CrossEntropy { class_weights: weights, ..CrossEntropy::default() };
        let loss = loss.forward(&logits, &target)?.to_scalar::<f64>()?;

        // (1 · ln 2 + 3 · ln (5/4)) / (1 + 3)
        let expected = (2f64.ln() + 3.0 * 1.25f64.ln()) / 4.0;
        approx::assert_abs_diff_eq!(loss, expected, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn weights_for_another_number_of_classes_are_refused() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::zeros((1, 4), DType::U32, &Device::Cpu)?);
        let loss = CrossEntropy {
            class_weights: vec![NonNegative::literal(1.0); 3],
            ..CrossEntropy::default()
        };

        let error = loss.forward(&logits, &target).unwrap_err();

        assert_eq!(error.to_string(), "class_weights has 3 entries, but the logits have 2 classes",);
        Ok(())
    }
}
