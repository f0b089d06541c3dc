//! The Tversky loss, and with it the Jaccard, focal Tversky and "++" losses.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::cost::{class_weights, mean_cost, pooled};
use crate::math::{power, quotient};
use crate::target::widen;
use crate::{Activation, AtLeastOne, Cost, Loss, Margin, NonNegative, Positive, Result, Target};

/// The Tversky loss: Dice in which false positives and false negatives count differently.
///
/// With `p` the probabilities and `t` the target, for each sample and class,
///
/// ```text
/// T = (Σ p t + smooth) / (Σ p t + α Σ ((1 − t) p)^e + β Σ (t (1 − p))^e + smooth)
/// ```
///
/// and the loss is the mean of `(1 − T)^γ`. **α weights false positives, β false negatives**: a
/// paper's single δ for false negatives is `α = 1 − δ, β = δ`.
///
/// | settings | loss |
/// |---|---|
/// | α = β = 0.5 | [`Dice`](crate::Dice), with half its `smooth` |
/// | α = β = 1 | Jaccard (intersection over union) |
/// | γ = 0.75 | focal Tversky, in the form of Yeung et al. |
/// | α = β = 0.5, `error_exponent` = 2 | DSC++; with γ = 1 and other α, β Tversky++ |
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | class absent from `p` and `t` | costs 0; without `smooth`, costs 1 |
/// | class absent from `t` only | costs close to 1 |
/// | soft targets | refused: the minimum is elsewhere; see [`DiceSemimetric`](crate::DiceSemimetric) |
///
/// # Source
///
/// Salehi, Erdogmus, Gholipour, MLMI 2017, [arXiv:1706.05721](https://arxiv.org/abs/1706.05721);
/// Abraham, Khan, ISBI 2019, [arXiv:1810.07842](https://arxiv.org/abs/1810.07842) (focal);
/// Yeung, Rundo, Nan, Sala, Schönlieb, Yang: *Calibrating the Dice loss to handle neural network
/// overconfidence for biomedical image segmentation*, J. Digital Imaging 2023,
/// [arXiv:2111.00528](https://arxiv.org/abs/2111.00528) (`error_exponent`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tversky {
    /// How logits become probabilities.
    pub activation: Activation,
    /// How much false positives count, α.
    pub alpha: NonNegative,
    /// How much false negatives count, β.
    pub beta: NonNegative,
    /// The exponent γ of `1 − T`. Below 1, classes that are nearly right count more.
    pub gamma: Positive,
    /// The exponent `e` of each voxel's error: above 1, errors of little confidence count less.
    pub error_exponent: AtLeastOne,
    /// Keeps the quotient finite where a class is absent from both, in voxels.
    pub smooth: NonNegative,
    /// The `smooth` of the denominator, where it is to be another than the numerator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth_denominator: Option<NonNegative>,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether to sum over the batch before dividing, as if it were one large sample.
    pub pool_batch: bool,
    /// How far probabilities are kept from 0 and 1; 0 for not at all. Keras has 1e-7.
    pub clip: Margin,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
    /// A factor for each class, background first; empty for 1 everywhere.
    pub class_weights: Vec<NonNegative>,
}

impl Default for Tversky {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            alpha: NonNegative::literal(0.3),
            beta: NonNegative::literal(0.7),
            gamma: Positive::literal(1.0),
            error_exponent: AtLeastOne::literal(1.0),
            smooth: NonNegative::literal(1e-5),
            smooth_denominator: None,
            include_background: true,
            pool_batch: false,
            clip: Margin::literal(0.0),
            allow_soft: false,
            class_weights: Vec::new(),
        }
    }
}

impl Loss for Tversky {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "tversky", "dice_semimetric with alpha and beta")?;
        let logits = &widen(logits)?;
        let weights = class_weights(&self.class_weights, self.include_background, logits)?;
        let of = Summand::Errors { exponent: self.error_exponent.get() };
        let [shared, false_positive, false_negative, _] =
            target.class_sums(logits, self.activation, self.clip.get(), of)?;
        let errors = ((false_positive * self.alpha.get())? + (false_negative * self.beta.get())?)?;
        let pooled = |sums: &Tensor| pooled(sums, self.include_background, self.pool_batch);
        let (shared, errors) = (pooled(&shared)?, pooled(&errors)?);
        let below = self.smooth_denominator.unwrap_or(self.smooth).get();
        let total = ((&shared + errors)? + below)?;
        let score = quotient(&(shared + self.smooth.get())?, &total)?;

        let costs = power(&Cost::Complement.of(&score)?, self.gamma.get())?;
        mean_cost(&costs, weights.as_ref())
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("tversky", self.activation)?;
        activation.expect_all("tversky", self.include_background)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn alpha_weights_false_positives_and_beta_false_negatives() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
        let loss = Tversky {
            alpha: NonNegative::literal(0.2),
            beta: NonNegative::literal(0.6),
            smooth: NonNegative::literal(0.0),
            include_background: false,
            ..Tversky::default()
        };

        let cost = loss.forward(&logits, &target)?.to_scalar::<f64>()?;

        // Foreground: Σpt = 0.5, false positives 1.5, false negatives 0.5.
        let score = 0.5 / (0.5 + 0.2 * 1.5 + 0.6 * 0.5);
        approx::assert_abs_diff_eq!(cost, 1.0 - score, epsilon = 1e-12);
        let focal = Tversky { gamma: Positive::literal(0.75), ..loss };
        let cost = focal.forward(&logits, &target)?.to_scalar::<f64>()?;
        approx::assert_abs_diff_eq!(cost, (1.0 - score).powf(0.75), epsilon = 1e-12);
        Ok(())
    }
}
