//! The Hausdorff loss, by distance maps.

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::cost::counted;
use crate::math::{magnitude, power};
use crate::target::widen;
use crate::{Activation, Loss, Needs, Positive, Result, Target};

/// An estimate of the Hausdorff distance: squared errors, weighted by how far from the boundary they are.
///
/// With `p` the probabilities, `t` the target and `d` the distance to the boundary of the target,
///
/// ```text
/// L = mean over voxels and classes of (p − t)² d^α
/// ```
///
/// This is the one-sided form of the paper: distances to the boundary of the *prediction*, which would
/// have to be computed anew in each step, take no part. It goes with a loss of regions, in a
/// [`Sum`](crate::Sum).
///
/// | | |
/// |---|---|
/// | range | 0 and above, in mm to the power α |
/// | needs | distance maps with the target: `Target::with_distance`, which training makes |
/// | class absent from the target | costs nothing: its map is 0 |
/// | soft targets | taken: 0 where the prediction equals them; the boundary is where they pass 0.5 |
///
/// # Source
///
/// Karimi, Salcudean: *Reducing the Hausdorff Distance in Medical Image Segmentation with Convolutional
/// Neural Networks*, IEEE TMI 2020, [arXiv:1904.10030](https://arxiv.org/abs/1904.10030).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hausdorff {
    /// How logits become probabilities.
    pub activation: Activation,
    /// The exponent α of distances. The paper recommends 1 to 3.
    pub alpha: Positive,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
}

impl Default for Hausdorff {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            alpha: Positive::literal(2.0),
            include_background: false,
        }
    }
}

impl Loss for Hausdorff {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let logits = &widen(logits)?;
        let include = self.include_background;
        let distance = counted(&target.distance_like("hausdorff", logits)?, include)?;
        let probs = counted(&self.activation.probabilities(logits)?, include)?;
        let labels = counted(&target.probabilities(logits)?, include)?;
        let weight = power(&magnitude(&distance)?, self.alpha.get())?;
        Ok(target.mean(&((probs - labels)?.sqr()? * weight)?)?.mean_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        true
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("hausdorff", self.activation)?;
        activation.expect_all("hausdorff", self.include_background)
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
    fn errors_count_by_the_square_of_their_distance() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let distance = Tensor::new(&[[[0f64, 0., 0., 0.], [-1., 1., 2., 3.]]], cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], cpu)?).with_distance(distance);
        let logits = Tensor::zeros((1, 2, 4), candle::DType::F64, cpu)?;

        let loss = Hausdorff::default().forward(&logits, &target)?.to_scalar::<f64>()?;

        // A quarter of (1 + 1 + 4 + 9) / 4.
        approx::assert_abs_diff_eq!(loss, 15.0 / 16.0, epsilon = 1e-12);
        Ok(())
    }
}
