//! The soft Dice loss.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::cost::{class_weights, mean_cost, pooled};
use crate::math::quotient;
use crate::target::widen;
use crate::{Activation, Cost, Loss, NonNegative, Positive, Result, Target};

/// The soft Dice loss: one minus the overlap of prediction and target, class by class.
///
/// With `p` the probabilities and `t` the target, the score of a class is
///
/// ```text
/// D = (2 Σ p t + smooth) / (Σ p + Σ t + smooth)
/// ```
///
/// over the voxels of each sample, or of the batch with `pool_batch`; the loss is the mean of
/// `1 − D` over samples and classes. This is nnU-Net's form (which leaves out the background, and
/// minimises `−D`) and MONAI's.
///
/// Not for soft labels: its minimum lies at 0 or 1, whatever `t`. Use
/// [`DiceSemimetric`](crate::DiceSemimetric), which is the same on hard labels.
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | class absent from `p` and `t` | costs 0; without `smooth`, costs 1 |
/// | class absent from `t` only | costs close to 1, once `Σ p` is well above `smooth` |
/// | sample with every voxel ignored | as a class absent from both |
///
/// # Source
///
/// Milletari, Navab, Ahmadi: *V-Net*, 3DV 2016, [arXiv:1606.04797](https://arxiv.org/abs/1606.04797)
/// (with `squared`); Drozdzal et al., DLMIA 2016,
/// [arXiv:1608.04117](https://arxiv.org/abs/1608.04117) (without).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "settings that do not depend on each other")]
pub struct Dice {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Keeps the quotient finite where a class is absent from both, in voxels. Large values
    /// reward empty predictions of small structures.
    pub smooth: NonNegative,
    /// The `smooth` of the denominator, where it is to be another than the numerator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth_denominator: Option<NonNegative>,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether to sum over the batch before dividing, as if it were one large sample: nnU-Net's
    /// `batch_dice`.
    pub pool_batch: bool,
    /// Whether the denominator is `Σ p² + Σ t²`.
    pub squared: bool,
    /// How the score becomes a cost.
    pub cost: Cost,
    /// The least score below the logarithm of `cost = "log"`, where it is to be another than 1e-7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_floor: Option<Positive>,
    /// A factor for each class, background first; empty for 1 everywhere.
    pub class_weights: Vec<NonNegative>,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Dice {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            smooth: NonNegative::literal(1e-5),
            smooth_denominator: None,
            include_background: true,
            pool_batch: false,
            squared: false,
            cost: Cost::Complement,
            log_floor: None,
            class_weights: Vec::new(),
            allow_soft: false,
        }
    }
}

impl Loss for Dice {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "dice", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let weights = class_weights(&self.class_weights, self.include_background, logits)?;
        let of = Summand::Overlap { squared: self.squared };
        let [shared, predicted, actual] = target.class_sums(logits, self.activation, 0.0, of)?;
        let pooled = |sums: &Tensor| pooled(sums, self.include_background, self.pool_batch);
        let shared = pooled(&shared)?;
        let total = pooled(&(predicted + actual)?)?;
        let smooth = self.smooth.get();
        let below = self.smooth_denominator.unwrap_or(self.smooth).get();
        let score = quotient(&shared.affine(2.0, smooth)?, &(total + below)?)?;

        let costs = match self.log_floor {
            Some(floor) => self.cost.with_floor(&score, floor.get())?,
            None => self.cost.of(&score)?,
        };
        mean_cost(&costs, weights.as_ref())
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("dice", self.activation)?;
        activation.expect_all("dice", self.include_background)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    /// Two classes, four voxels; `p` of class 1 is 0.5 everywhere.
    fn undecided() -> candle::Result<Tensor> {
        Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)
    }

    #[test]
    fn half_probability_against_one_of_four_voxels() -> anyhow::Result<()> {
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
        let of = |loss: &Dice| -> anyhow::Result<f64> {
            Ok(loss.forward(&undecided()?, &target)?.to_scalar()?)
        };
        let exact = Dice { smooth: NonNegative::literal(0.0), ..Dice::default() };

        // Background: 1 − 2 · 1.5 / (2 + 3) = 2/5; foreground: 1 − 2 · 0.5 / (2 + 1) = 2/3.
        approx::assert_abs_diff_eq!(of(&exact)?, f64::midpoint(2. / 5., 2. / 3.), epsilon = 1e-12);
        let foreground = Dice { include_background: false, ..exact.clone() };
        approx::assert_abs_diff_eq!(of(&foreground)?, 2. / 3., epsilon = 1e-12);
        // Foreground: 1 − 2 · 0.5 / (4 · 0.25 + 1) = 1/2.
        let squared = Dice { squared: true, ..foreground };
        approx::assert_abs_diff_eq!(of(&squared)?, 0.5, epsilon = 1e-12);
        let log = Dice { cost: Cost::Log, ..squared };
        approx::assert_abs_diff_eq!(of(&log)?, 2f64.ln(), epsilon = 1e-12);
        let floored = Dice { log_floor: Some(Positive::literal(0.75)), ..log };
        approx::assert_abs_diff_eq!(of(&floored)?, (4f64 / 3.0).ln(), epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn soft_targets_are_refused() -> anyhow::Result<()> {
        let target = Target::soft((undecided()? + 0.5)?);

        let error = Dice::default().forward(&undecided()?, &target).unwrap_err();

        assert!(error.to_string().contains("use dice_semimetric"), "{error}");
        Ok(())
    }
}
