//! The generalized Dice loss.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::cost::pooled;
use crate::math::quotient;
use crate::target::widen;
use crate::{Activation, Loss, NonNegative, Result, Target};

/// The generalized Dice loss: one quotient over all classes, rare classes weighing more.
///
/// With `p` the probabilities, `t` the target and `w_c` a weight from the volume `Σ t` of class `c`,
///
/// ```text
/// L = mean over samples of 1 − (2 Σ_c w_c Σ p t + smooth) / (Σ_c w_c (Σ p + Σ t) + smooth)
/// ```
///
/// This is not a mean of Dice losses: a class of few voxels can rule the quotient. A class that is
/// absent from the target has the largest weight among those present; where none is present, all
/// weigh 0.
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | every class absent from the target | 0 |
/// | soft targets | refused: the minimum is elsewhere |
///
/// # Source
///
/// Sudre, Li, Vercauteren, Ourselin, Cardoso, DLMIA 2017,
/// [arXiv:1707.03237](https://arxiv.org/abs/1707.03237); weights of absent classes as in MONAI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneralizedDice {
    /// How logits become probabilities.
    pub activation: Activation,
    /// How a class's weight comes from its volume.
    pub volume_weight: VolumeWeight,
    /// Keeps the quotient finite, in voxels times weight.
    pub smooth: NonNegative,
    /// Whether class 0 takes part.
    pub include_background: bool,
    /// Whether to sum over the batch before dividing, as if it were one large sample.
    pub pool_batch: bool,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

/// How the weight of a class comes from its volume `v` in voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeWeight {
    /// `1 / v²`: each class as if it had one voxel.
    #[default]
    Square,
    /// `1 / v`.
    Simple,
    /// 1.
    Uniform,
}

impl Default for GeneralizedDice {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            volume_weight: VolumeWeight::Square,
            smooth: NonNegative::literal(1e-5),
            include_background: true,
            pool_batch: false,
            allow_soft: false,
        }
    }
}

impl VolumeWeight {
    /// The weights of volumes `(N, K)`.
    fn of(self, volume: &Tensor) -> Result<Tensor> {
        let absent = volume.eq(0f64)?.to_dtype(volume.dtype())?;
        let at_least = (volume + &absent)?;
        let weight = match self {
            Self::Square => at_least.sqr()?.recip()?,
            Self::Simple => at_least.recip()?,
            Self::Uniform => return Ok(volume.ones_like()?),
        };
        let weight = (weight * (1.0 - &absent)?)?;
        let largest = weight.max_keepdim(1)?;
        Ok((weight + absent.broadcast_mul(&largest)?)?)
    }
}

impl Loss for GeneralizedDice {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "generalized_dice", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let of = Summand::Overlap { squared: false };
        let [shared, predicted, volume] = target.class_sums(logits, self.activation, 0.0, of)?;
        let pooled = |sums: &Tensor| pooled(sums, self.include_background, self.pool_batch);
        let volume = pooled(&volume)?;
        let weight = self.volume_weight.of(&volume)?;
        let shared = (pooled(&shared)? * &weight)?.sum(1)?;
        let total = ((pooled(&predicted)? + volume)? * weight)?.sum(1)?;
        let smooth = self.smooth.get();
        let score = quotient(&shared.affine(2.0, smooth)?, &(total + smooth)?)?;

        Ok((1.0 - score)?.mean_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("generalized_dice", self.activation)?;
        activation.expect_all("generalized_dice", self.include_background)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn rare_classes_weigh_more_and_absent_ones_as_much_as_the_rarest() -> anyhow::Result<()> {
        let volume = Tensor::new(&[[4f64, 2., 0.], [0., 0., 0.]], &Device::Cpu)?;

        assert_eq!(
            VolumeWeight::Square.of(&volume)?.to_vec2::<f64>()?,
            [[0.0625, 0.25, 0.25], [0., 0., 0.]],
        );
        assert_eq!(VolumeWeight::Simple.of(&volume)?.to_vec2::<f64>()?[0], [0.25, 0.5, 0.5]);
        Ok(())
    }

    #[test]
    fn half_probability_against_one_of_four_voxels() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
        let loss = GeneralizedDice { smooth: NonNegative::literal(0.0), ..Default::default() };

        let cost = loss.forward(&logits, &target)?.to_scalar::<f64>()?;

        // Weights 1/9 and 1: 1 − 2 (1.5/9 + 0.5) / (5/9 + 3)
        approx::assert_abs_diff_eq!(cost, 1.0 - 2.0 * (1.5 / 9.0 + 0.5) / (5.0 / 9.0 + 3.0));
        Ok(())
    }
}
