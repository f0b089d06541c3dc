//! The centerline Dice loss.

use candle::Tensor;
use nn::PoolConfig;
use serde::{Deserialize, Serialize};

use crate::cost::{counted, mean_cost};
use crate::math::quotient;
use crate::target::widen;
use crate::{Activation, Loss, Needs, Positive, Result, Target};

/// The centerline Dice loss (clDice): whether what is thin and long stays connected.
///
/// With `p` the probabilities, `t` the target and `S` a soft skeleton, for each sample and class,
///
/// ```text
/// precision   = (Σ S(p) t + smooth) / (Σ S(p) + smooth)
/// sensitivity = (Σ S(t) p + smooth) / (Σ S(t) + smooth)
/// ```
///
/// and the loss is 1 less the mean of their harmonic means. `S` is what erosions and openings, made of
/// pooling, leave step by step: `iterations` is to be as large as the radius of the thickest vessel, in
/// voxels. For vessels, airways and nerves, together with [`Dice`](crate::Dice) in a [`Sum`](crate::Sum).
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | class absent from the target | costs close to 0 where its probability is 0 |
/// | soft targets | refused: their skeleton is none |
/// | ignored voxels | count as background of every class, so that no skeleton reaches into them |
///
/// # Source
///
/// Shit, Paetzold, Sekuboyina, Ezhov, Unger, Zhylka, Pluim, Bauer, Menze: *clDice — a Novel
/// Topology-Preserving Loss Function for Tubular Structure Segmentation*, CVPR 2021,
/// [arXiv:2003.07311](https://arxiv.org/abs/2003.07311).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClDice {
    /// How logits become probabilities.
    pub activation: Activation,
    /// How often the skeleton erodes what is left.
    pub iterations: usize,
    /// Added to both sides of the quotients, in voxels.
    pub smooth: Positive,
    /// Whether class 0 counts towards the mean.
    pub include_background: bool,
    /// Whether to sum over the batch before dividing, as if it were one large sample.
    pub pool_batch: bool,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for ClDice {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            iterations: 3,
            smooth: Positive::literal(1.0),
            include_background: false,
            pool_batch: false,
            allow_soft: false,
        }
    }
}

/// Pooling of the largest value within `kernel`, at stride 1.
fn largest(x: &Tensor, kernel: &[usize]) -> Result<Tensor> {
    let stride = vec![1; kernel.len()];
    let padding = kernel.iter().map(|extent| extent / 2).collect();
    Ok(nn::max_pool(x, &PoolConfig { stride, padding, ..PoolConfig::new(kernel) })?)
}

/// The smallest value of each voxel and its neighbors along each axis, of `(N, *S, C)`.
fn erode(x: &Tensor) -> Result<Tensor> {
    let rank = x.rank() - 2;
    let negative = x.neg()?;
    let mut eroded: Option<Tensor> = None;
    for axis in 0..rank {
        let mut kernel = vec![1; rank];
        kernel[axis] = 3;
        let along = largest(&negative, &kernel)?;
        eroded = Some(match eroded {
            Some(eroded) => eroded.maximum(&along)?,
            None => along,
        });
    }
    Ok(eroded.unwrap_or(negative).neg()?)
}

/// What an opening takes away.
fn thin(x: &Tensor) -> Result<Tensor> {
    let opened = largest(&erode(x)?, &vec![3; x.rank() - 2])?;
    Ok((x - opened)?.relu()?)
}

/// The soft skeleton of `x`, `(N, C, *S)`.
fn skeleton(x: &Tensor, iterations: usize) -> Result<Tensor> {
    let mut x = nn::to_channels_last(x)?;
    let mut skeleton = thin(&x)?;
    for _ in 0..iterations {
        x = erode(&x)?;
        let thin = thin(&x)?;
        let more = (&thin - (&skeleton * &thin)?)?.relu()?;
        skeleton = (skeleton + more)?;
    }
    Ok(nn::to_channels_first(&skeleton)?)
}

impl Loss for ClDice {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "cl_dice", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let include = self.include_background;
        let mut probs = counted(&self.activation.probabilities(logits)?, include)?;
        let mut labels = counted(&target.probabilities(logits)?, include)?;
        if let Some(weight) = target.weight_like(logits)? {
            let counts = weight.gt(0f64)?.to_dtype(logits.dtype())?;
            (probs, labels) = (probs.broadcast_mul(&counts)?, labels.broadcast_mul(&counts)?);
        }
        let smooth = self.smooth.get();
        let share = |skeleton: &Tensor, other: &Tensor| -> Result<Tensor> {
            let inside = target.sum(&(skeleton * other)?, self.pool_batch)?;
            let all = target.sum(skeleton, self.pool_batch)?;
            Ok(((inside + smooth)? / (all + smooth)?)?)
        };
        let precision = share(&skeleton(&probs, self.iterations)?, &labels)?;
        let sensitivity = share(&skeleton(&labels, self.iterations)?.detach(), &probs)?;
        let both = (&precision * &sensitivity)?;
        let mean = quotient(&(both * 2.0)?, &(precision + sensitivity)?)?;
        mean_cost(&(1.0 - mean)?, None)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("cl_dice", self.activation)?;
        activation.expect_all("cl_dice", self.include_background)
    }

    fn needs(&self) -> Needs {
        Needs { neighbors: true, ..Needs::default() }
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn the_skeleton_of_a_bar_is_its_middle_line() -> anyhow::Result<()> {
        // Three voxels thick, nine long.
        let mut bar = vec![0f64; 5 * 11];
        for y in 1..4 {
            bar[y * 11 + 1..y * 11 + 10].fill(1.0);
        }
        let bar = Tensor::from_vec(bar, (1, 1, 5, 11), &Device::Cpu)?;

        let skeleton = skeleton(&bar, 3)?.squeeze(0)?.squeeze(0)?.to_vec2::<f64>()?;

        assert_eq!(skeleton[2][2..9], [1.0; 7]);
        let off: f64 = [0, 4].map(|row| skeleton[row].iter().sum::<f64>()).into_iter().sum();
        approx::assert_abs_diff_eq!(off, 0.0, epsilon = 0.0);
        Ok(())
    }

    #[test]
    fn a_gap_costs_more_than_the_same_number_of_voxels_at_the_side() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let mut labels = vec![0u32; 7 * 15];
        for y in 2..5 {
            labels[y * 15 + 1..y * 15 + 14].fill(1);
        }
        let cost = |wrong: &[(usize, usize)]| -> anyhow::Result<f64> {
            let mut logits = [vec![10f64; 7 * 15], vec![-10f64; 7 * 15]];
            for (at, &label) in labels.iter().enumerate() {
                if label == 1 && !wrong.contains(&(at / 15, at % 15)) {
                    (logits[0][at], logits[1][at]) = (-10.0, 10.0);
                }
            }
            let logits = Tensor::from_vec(logits.concat(), (1, 2, 7, 15), cpu)?;
            let target = Target::hard(Tensor::from_vec(labels.clone(), (1, 7, 15), cpu)?);
            Ok(ClDice::default().forward(&logits, &target)?.to_scalar()?)
        };

        let (none, gap) = (cost(&[])?, cost(&[(2, 7), (3, 7), (4, 7)])?);
        let side = cost(&[(2, 6), (2, 7), (2, 8)])?;

        assert!(none < 1e-3, "{none}");
        assert!(gap > side + 0.02 && side >= none, "{gap} {side}");
        Ok(())
    }

    #[test]
    fn it_is_monais() -> anyhow::Result<()> {
        // SoftclDiceLoss(iter_=3, smooth=1e-15) of MONAI 1.6.1, of one sample with one foreground class.
        let cpu = &Device::Cpu;
        let wave: Vec<f64> =
            (0..2 * 8 * 9).map(|i| 2.0 * f64::from(i * i % 37 + i).sin()).collect();
        let logits = Tensor::from_vec(wave, (1, 2, 8, 9), cpu)?;
        let label = |i: u32| u32::from(((i / 9) / 2).is_multiple_of(2) || i % 9 == 4);
        let labels = Tensor::from_vec((0..72).map(label).collect::<Vec<_>>(), (1, 8, 9), cpu)?;

        let loss = ClDice::default().forward(&logits, &Target::hard(labels))?;

        assert_eq!(loss.dtype(), DType::F64);
        approx::assert_abs_diff_eq!(loss.to_scalar::<f64>()?, MONAI, epsilon = 1e-6);
        Ok(())
    }

    const MONAI: f64 = 0.410_193_753_674_793_6;
}
