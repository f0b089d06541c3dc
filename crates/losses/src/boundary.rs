//! The boundary loss.

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::cost::counted;
use crate::target::widen;
use crate::{Activation, Loss, Needs, Result, Target};

/// The boundary loss: how much probability lies far outside of a class, less what lies deep inside.
///
/// With `p` the probabilities and `φ` the signed distance to a class's boundary, negative inside,
///
/// ```text
/// L = mean over voxels and classes of p φ
/// ```
///
/// To first order this is the distance between the two boundaries, so that what is wrong counts by how
/// far away it is. By itself it says little about a class that is not found at all: it is made to go
/// with a loss of regions, in a [`Sum`](crate::Sum) whose weights a schedule changes from one to the
/// other.
///
/// | | |
/// |---|---|
/// | range | without bound, negative at best |
/// | needs | distance maps with the target: `Target::with_distance`, which training makes |
/// | class absent from the target | costs nothing: its map is 0 |
/// | soft targets | refused: the minimum is a hard label, whatever the target |
///
/// # Source
///
/// Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed: *Boundary loss for highly unbalanced
/// segmentation*, MIDL 2019, [arXiv:1812.07032](https://arxiv.org/abs/1812.07032).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boundary {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Boundary {
    fn default() -> Self {
        Self { activation: Activation::Softmax, include_background: false, allow_soft: false }
    }
}

impl Loss for Boundary {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "boundary", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let distance =
            counted(&target.distance_like("boundary", logits)?, self.include_background)?;
        let probs = counted(&self.activation.probabilities(logits)?, self.include_background)?;
        Ok(target.mean(&(probs * distance)?)?.mean_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("boundary", self.activation)?;
        activation.expect_all("boundary", self.include_background)
    }

    fn needs(&self) -> Needs {
        Needs { distance: true, ..Needs::default() }
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn what_is_far_outside_costs_more_than_what_is_near() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], cpu)?);
        let distance = Tensor::new(&[[[0f64, 0., 0., 0.], [0., 1., 2., 3.]]], cpu)?;
        let logits = Tensor::zeros((1, 2, 4), candle::DType::F64, cpu)?;

        let error = Boundary::default().forward(&logits, &target).unwrap_err().to_string();
        assert!(error.contains("boundary needs distance maps"), "{error}");
        let loss = Boundary::default().forward(&logits, &target.with_distance(distance))?;

        // Half of (0 + 1 + 2 + 3) / 4.
        approx::assert_abs_diff_eq!(loss.to_scalar::<f64>()?, 0.75, epsilon = 1e-12);
        Ok(())
    }
}
