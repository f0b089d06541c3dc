//! Matthews' correlation coefficient as a loss.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::cost::pooled;
use crate::target::widen;
use crate::{Activation, Loss, Positive, Result, Target};

/// One minus Matthews' correlation of prediction and target.
///
/// With the true and false positives and negatives of a class over the whole batch, each plus
/// `smooth`,
///
/// ```text
/// L = 1 − (TP · TN − FP · FN) / √((TP + FP) (TP + FN) (TN + FP) (TN + FN))
/// ```
///
/// meaned over classes. Unlike Dice it counts true negatives, and so cannot be bought by
/// predicting everything; unlike accuracy it is not bought by predicting nothing.
///
/// | | |
/// |---|---|
/// | range | `[0, 2]`; 1 for a prediction that says nothing of the target |
/// | class absent from the target, or filling it | close to 1, with little gradient |
/// | soft targets | refused: the minimum is elsewhere |
///
/// # Source
///
/// Abhishek, Hamarneh: *Matthews Correlation Coefficient Loss for Deep Convolutional Networks:
/// Application to Skin Lesion Segmentation*, ISBI 2021,
/// [arXiv:2010.13454](https://arxiv.org/abs/2010.13454).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcc {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Added to each of the four counts, in voxels.
    pub smooth: Positive,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Mcc {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            smooth: Positive::literal(1e-5),
            include_background: true,
            allow_soft: false,
        }
    }
}

impl Loss for Mcc {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "mcc", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let of = Summand::Errors { exponent: 1.0 };
        let sums: [Tensor; 4] = target.class_sums(logits, self.activation, 0.0, of)?;
        let smoothed = |sums: &Tensor| -> Result<Tensor> {
            Ok((pooled(sums, self.include_background, true)? + self.smooth.get())?)
        };
        let [tp, fp, fn_, tn] = sums.each_ref().map(smoothed);
        let (tp, fp, fn_, tn) = (tp?, fp?, fn_?, tn?);
        // Roots before products: the product of four counts would leave the range of f32.
        let scale = |a: &Tensor, b: &Tensor| (a + b)?.sqrt();
        let predicted = (scale(&tp, &fp)? * scale(&tn, &fn_)?)?;
        let actual = (scale(&tp, &fn_)? * scale(&tn, &fp)?)?;
        let covariance = ((tp * tn)? - (fp * fn_)?)?;
        let correlation = ((covariance / predicted)? / actual)?;

        Ok((1.0 - correlation)?.mean_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("mcc", self.activation)?;
        activation.expect_all("mcc", self.include_background)
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn a_prediction_that_says_nothing_costs_one_and_the_opposite_two() -> anyhow::Result<()> {
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
        let of = |logits: &Tensor| -> anyhow::Result<f64> {
            Ok(Mcc::default().forward(logits, &target)?.to_scalar()?)
        };
        let undecided = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let right = ((target.probabilities(&undecided)? - 0.5)? * 100.0)?;

        approx::assert_abs_diff_eq!(of(&undecided)?, 1.0, epsilon = 1e-5);
        approx::assert_abs_diff_eq!(of(&right)?, 0.0, epsilon = 1e-4);
        approx::assert_abs_diff_eq!(of(&right.neg()?)?, 2.0, epsilon = 1e-4);
        Ok(())
    }
}
