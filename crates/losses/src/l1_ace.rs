//! Average calibration error as a loss.

use candle::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::cost::counted;
use crate::math::{magnitude, quotient};
use crate::target::widen;
use crate::{Activation, Error, Loss, Result, Target};

/// Average calibration error (L1-ACE): how far probabilities are from how often they are right.
///
/// For each sample and class, voxels are sorted into `bins` by their probability `p`; with `t` the target,
///
/// ```text
/// ACE = mean over bins that are not empty of | mean of p − mean of t |
/// ```
///
/// and the loss is the mean over samples and classes. Which bin a voxel is in has no gradient. The loss
/// says nothing about *where* a class is: add it, in a [`Sum`](crate::Sum), to one that does.
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | class absent from `p` and `t` | costs close to 0 |
/// | soft targets | taken: 0 where the prediction equals them, and elsewhere too |
/// | every voxel ignored | 0 |
///
/// # Source
///
/// Barfoot, Garcia Peraza Herrera, Glocker, Vercauteren: *Average Calibration Error: A Differentiable
/// Loss for Improved Reliability in Image Segmentation*, MICCAI 2024,
/// [arXiv:2403.06759](https://arxiv.org/abs/2403.06759).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct L1Ace {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Bins of equal width between 0 and 1, from 1 to 1000.
    pub bins: usize,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
}

impl Default for L1Ace {
    fn default() -> Self {
        Self { activation: Activation::Softmax, bins: 20, include_background: true }
    }
}

/// Finer bins than this hold next to nothing.
const MOST_BINS: usize = 1000;

impl Loss for L1Ace {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let bins = self.bins;
        if !(1..=MOST_BINS).contains(&bins) {
            return Err(Error::Settings(format!(
                "l1_ace.bins is {bins}; from 1 to {MOST_BINS} are possible"
            )));
        }
        let logits = &widen(logits)?;
        let include = self.include_background;
        let probs = counted(&self.activation.probabilities(logits)?, include)?.contiguous()?;
        let labels = counted(&target.probabilities(logits)?, include)?;
        let weight = match target.weight_like(logits)? {
            Some(weight) => weight.broadcast_as(probs.shape())?.contiguous()?,
            None => probs.ones_like()?,
        };

        // The bins of each sample and class one after the other.
        let groups = probs.dim(0)? * probs.dim(1)?;
        let bin = (probs.detach() * bins as f64)?.floor()?.clamp(0.0, (bins - 1) as f64)?;
        let (groups_u32, bins_u32) = (narrow(groups * bins)? / narrow(bins)?, narrow(bins)?);
        let first =
            Tensor::arange(0, groups_u32, logits.device())?.affine(f64::from(bins_u32), 0.0)?;
        let bin = bin.to_dtype(DType::U32)?.reshape((groups, ()))?;
        let bin = bin.broadcast_add(&first.unsqueeze(1)?)?.flatten_all()?;
        let total = |values: &Tensor| -> Result<Tensor> {
            let sums = Tensor::zeros(groups * bins, logits.dtype(), logits.device())?;
            Ok(sums.index_add(&bin, &values.flatten_all()?, 0)?.reshape((groups, bins))?)
        };
        let apart = total(&((probs - labels)? * &weight)?)?;
        let count = total(&weight)?;
        let errors = magnitude(&quotient(&apart, &count)?)?;
        let filled = count.gt(0f64)?.to_dtype(count.dtype())?;
        let mean = quotient(&(errors * &filled)?.sum(1)?, &filled.sum(1)?)?;
        Ok(mean.mean_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        true
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("l1_ace", self.activation)?;
        activation.expect_all("l1_ace", self.include_background)
    }
}

fn narrow(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::Settings(format!("{count} are too many bins")))
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn it_is_the_mean_over_bins_of_how_far_frequency_and_probability_are_apart()
    -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let p = [0.1f64, 0.3, 0.7, 0.8];
        let other = p.map(|p| 1.0 - p);
        let logits = Tensor::new(&[[other, p]], cpu)?.log()?;
        let target = Target::hard(Tensor::new(&[[0u32, 1, 1, 1]], cpu)?);
        let loss = L1Ace { bins: 2, include_background: false, ..L1Ace::default() };

        let value = loss.forward(&logits, &target)?.to_scalar::<f64>()?;

        // Below a half: p is 0.2 on average, t 0.5; above: 0.75 and 1.
        approx::assert_abs_diff_eq!(value, f64::midpoint(0.3, 0.25), epsilon = 1e-12);
        Ok(())
    }
}
