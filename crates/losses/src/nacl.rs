//! Neighbor-aware calibration.

use candle::Tensor;
use nn::PoolConfig;
use serde::{Deserialize, Serialize};

use crate::math::{magnitude, quotient};
use crate::target::widen;
use crate::{Activation, CrossEntropy, Error, Loss, Needs, NonNegative, Result, Target};

/// Neighbor-aware calibration (NACL): cross entropy, and logits that stay near the shares of classes
/// around a voxel.
///
/// With `z` the logits and `τ` the share of each class among the labels of a voxel and its neighbors,
///
/// ```text
/// L = cross entropy + λ · mean over voxels and classes of |z − τ|
/// ```
///
/// Cross entropy drives logits apart without end; the penalty holds them near 0 and 1, and in between
/// where the labels around disagree, so that a network is certain only in the middle of what it sees.
///
/// | | |
/// |---|---|
/// | range | 0 and above, without bound |
/// | soft targets | refused: the penalty moves the minimum away from them |
/// | ignored voxels | are no neighbors; every voxel ignored costs 0 |
///
/// # Source
///
/// Murugesan, Vasudeva, Liu, Lombaert, Ben Ayed, Dolz: *Trust your neighbours: Penalty-based constraints
/// for model calibration*, MICCAI 2023, [arXiv:2303.06268](https://arxiv.org/abs/2303.06268).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nacl {
    /// The first term.
    pub cross_entropy: CrossEntropy,
    /// The weight λ of the penalty.
    pub weight: NonNegative,
    /// Extent of the neighborhood along each axis, voxels, an odd number.
    pub kernel: usize,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Nacl {
    fn default() -> Self {
        Self {
            cross_entropy: CrossEntropy::default(),
            weight: NonNegative::literal(0.1),
            kernel: 3,
            allow_soft: false,
        }
    }
}

impl Nacl {
    /// The shares of classes around each voxel, `(N, C, *S)`; of voxels that count alone.
    fn shares(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let labels = target.probabilities(logits)?.detach();
        let mut ones = labels.dims().to_vec();
        ones[1] = 1;
        let counts = match target.weight_like(logits)? {
            Some(weight) => weight.gt(0f64)?.to_dtype(labels.dtype())?,
            None => Tensor::ones(ones, labels.dtype(), labels.device())?,
        };
        let around = |x: &Tensor| -> Result<Tensor> {
            let kernel = vec![self.kernel; x.rank() - 2];
            let (stride, padding) = (vec![1; kernel.len()], vec![self.kernel / 2; kernel.len()]);
            let config = PoolConfig { stride, padding, ..PoolConfig::new(&kernel) };
            let x = nn::avg_pool(&nn::to_channels_last(x)?, &config)?;
            Ok(nn::to_channels_first(&x)?)
        };
        let sum = around(&labels.broadcast_mul(&counts)?)?;
        let count = around(&counts)?.broadcast_as(sum.shape())?;
        quotient(&sum, &count)
    }
}

impl Loss for Nacl {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "nacl", "cross_entropy")?;
        if self.kernel.is_multiple_of(2) {
            return Err(Error::Settings(format!(
                "nacl.kernel is {}; an odd number is needed",
                self.kernel
            )));
        }
        let logits = &widen(logits)?;
        let penalty = magnitude(&(logits - self.shares(logits, target)?)?)?;
        let penalty = target.mean(&penalty)?.mean_all()?;
        let cost = self.cross_entropy.forward(logits, target)?;
        Ok((cost + (penalty * self.weight.get())?)?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        self.cross_entropy.suits(activation).map_err(|error| error.within("nacl"))
    }

    fn needs(&self) -> Needs {
        Needs { neighbors: true, ..Needs::default() }
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn logits_at_the_shares_around_them_cost_their_cross_entropy() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let target = Target::hard(Tensor::new(&[[0u32, 0, 1, 1]], cpu)?);
        let shares = [[1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0], [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]];
        let logits = Tensor::new(&[shares], cpu)?;
        let of = |logits: &Tensor| -> anyhow::Result<[f64; 2]> {
            let cost = CrossEntropy::default().forward(logits, &target)?.to_scalar()?;
            Ok([Nacl::default().forward(logits, &target)?.to_scalar()?, cost])
        };

        let [loss, cost] = of(&logits)?;
        approx::assert_abs_diff_eq!(loss, cost, epsilon = 1e-12);
        let [loss, cost] = of(&(logits + 2.0)?)?;
        approx::assert_abs_diff_eq!(loss, cost + 0.1 * 2.0, epsilon = 1e-12);
        Ok(())
    }
}
