//! Cross entropy over the hardest voxels.

use candle::{DType, Tensor, WithDType};
use serde::{Deserialize, Serialize};

use crate::math::quotient;
use crate::target::widen;
use crate::{Activation, CrossEntropy, Loss, Percent, Result, Target};

/// The mean cross entropy of the voxels that cost most: `percent` of those in the batch.
///
/// `⌊n · percent / 100⌋` of the `n` voxels that are not ignored are kept, and at least one; under
/// sigmoid, of the `n · C` costs of voxels and classes. Costs that tie at the threshold share
/// what is left of that number, so that no choice among them is made. Voxels are ranked by cost
/// alone; in the mean they count by their weight.
///
/// The class weights of the inner loss scale the costs, and make no mean as they do there.
///
/// The threshold is found by selection on the CPU, and elsewhere by bisection on the device, from which no
/// value is read back.
///
/// | | |
/// |---|---|
/// | range | 0 and above, without bound |
/// | soft targets | refused: where the kept voxels change, the minimum is elsewhere |
/// | every voxel ignored | 0 |
///
/// # Source
///
/// Wu, Shen, van den Hengel: *Bridging Category-level and Instance-level Semantic Image
/// Segmentation*, 2016, [arXiv:1605.06885](https://arxiv.org/abs/1605.06885); as in nnU-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopK {
    /// How many of the voxels are kept, in percent.
    pub percent: Percent,
    /// The cost of a voxel.
    pub cross_entropy: CrossEntropy,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            percent: Percent::literal(10.0),
            cross_entropy: CrossEntropy::default(),
            allow_soft: false,
        }
    }
}

/// How much of each cost, `(V)`, is kept, 0 to 1: all of the `percent` largest among those whose
/// `counts` is 1, a part of those that tie. The shares sum to the number that is kept.
fn shares(costs: &Tensor, counts: &Tensor, percent: f64) -> Result<Tensor> {
    // A little more, because products such as 100 · 0.29 may fall short of a whole number.
    let available = counts.sum_keepdim(0)?;
    let kept = available.affine(percent / 100.0, 1e-4)?.floor()?.maximum(1f64)?;
    let kept = kept.minimum(&available)?;

    if costs.device().is_cpu() {
        let least = least_kept(costs, counts, &kept)?;
        let masks = [costs.broadcast_gt(&least)?, costs.broadcast_ge(&least)?];
        shared(masks, costs, counts, &kept)
    } else {
        let [low, high] = bracket(costs, counts, &kept)?;
        shared([costs.broadcast_gt(&high)?, costs.broadcast_gt(&low)?], costs, counts, &kept)
    }
}

/// The shares, where some costs are `surely` kept, and those that are `reached` beyond them tie.
fn shared(
    [surely, reached]: [Tensor; 2],
    costs: &Tensor,
    counts: &Tensor,
    kept: &Tensor,
) -> Result<Tensor> {
    let surely = (surely.to_dtype(costs.dtype())? * counts)?;
    let tied = ((reached.to_dtype(costs.dtype())? * counts)? - &surely)?;
    let left = (kept - surely.sum_keepdim(0)?)?;
    let share = quotient(&left, &tied.sum_keepdim(0)?)?;
    Ok((surely + tied.broadcast_mul(&share)?)?)
}

/// The smallest of the `kept` largest costs, `(1)`, by selection; above all where none is kept.
fn least_kept(costs: &Tensor, counts: &Tensor, kept: &Tensor) -> Result<Tensor> {
    fn select<T: WithDType + PartialOrd>(
        costs: &Tensor,
        counts: &Tensor,
        kept: usize,
    ) -> Result<T> {
        let (costs, counts) = (costs.to_vec1::<T>()?, counts.to_vec1::<T>()?);
        let counted = costs.into_iter().zip(counts).filter(|(_, count)| count.to_f64() > 0.0);
        let mut counted: Vec<T> = counted.map(|(cost, _)| cost).collect();
        if kept == 0 || counted.is_empty() {
            return Ok(T::from_f64(f64::INFINITY));
        }
        let last = counted.len() - kept.min(counted.len());
        // What is no number costs most.
        let order = |a: &T, b: &T| a.to_f64().total_cmp(&b.to_f64());
        Ok(*counted.select_nth_unstable_by(last, order).1)
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
    let kept = kept.to_dtype(DType::F64)?.to_vec1::<f64>()?[0] as usize;
    Ok(if costs.dtype() == DType::F64 {
        Tensor::new(&[select::<f64>(costs, counts, kept)?], costs.device())?
    } else {
        Tensor::new(&[select::<f32>(costs, counts, kept)?], costs.device())?
    })
}

/// What the smallest of the `kept` largest costs lies between, above the first and at most the second, `(1)`
/// each: by bisection, for which no value has to be read back from a device.
fn bracket(costs: &Tensor, counts: &Tensor, kept: &Tensor) -> Result<[Tensor; 2]> {
    let number = |bound: &Tensor| -> candle::Result<Tensor> {
        let above = costs.broadcast_gt(bound)?.to_dtype(costs.dtype())?;
        (above * counts)?.sum_keepdim(0)
    };
    // No cost is negative: `low` is below all. From then on, more than `kept` costs lie above
    // `low`, or it is still below all, and at most `kept` above `high`.
    let mut high = (costs * counts)?.max_keepdim(0)?;
    let mut low = high.affine(0.0, -1.0)?;
    let bits = if costs.dtype() == DType::F64 { 64 } else { 32 };
    for _ in 0..bits {
        let middle = ((&low + &high)? * 0.5)?;
        let few = number(&middle)?.le(kept)?;
        high = few.where_cond(&middle, &high)?;
        low = few.where_cond(&low, &middle)?;
    }
    Ok([low, high])
}

impl Loss for TopK {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "top_k", "cross_entropy")?;
        let logits = &widen(logits)?;
        // What is kept has no gradient; under softmax, what costs has none before it is summed.
        let fused = self.cross_entropy.activation == Activation::Softmax;
        let of = if fused { &logits.detach() } else { logits };
        let costs = self.cross_entropy.voxels(of, target)?;
        let weight = match target.weight_like(&costs)? {
            Some(weight) => weight.broadcast_as(costs.shape())?.flatten_all()?,
            None => costs.ones_like()?.flatten_all()?,
        };
        let flat = costs.flatten_all()?;

        let counts = weight.gt(0f64)?.to_dtype(weight.dtype())?;
        let shares = (shares(&flat.detach(), &counts, self.percent.get())? * weight)?;
        let total = if fused {
            let kept = shares.reshape(costs.dims())?.squeeze(1)?;
            self.cross_entropy.total(logits, &target.clone().with_weight(kept))?
        } else {
            (flat * &shares)?.sum_all()?
        };
        quotient(&total, &shares.sum_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        self.cross_entropy.suits(activation).map_err(|error| error.within("top_k"))
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;
    use crate::{Fraction, NonNegative};

    fn kept(costs: &[f64], counts: &[f64], percent: f64) -> anyhow::Result<Vec<f64>> {
        let costs = Tensor::new(costs, &Device::Cpu)?;
        let counts = Tensor::new(counts, &Device::Cpu)?;
        Ok(shares(&costs, &counts, percent)?.to_vec1()?)
    }

    /// What is summed in one pass is what voxels cost one by one.
    #[test]
    fn weights_and_smoothing_count_as_in_the_costs_of_voxels() -> anyhow::Result<()> {
        let values: Vec<f64> = (0..24).map(|at| f64::from(at * 29 % 23) / 5.0 - 2.0).collect();
        let logits = Tensor::from_vec(values, (1, 3, 8), &Device::Cpu)?;
        let labels = Tensor::new(&[[0u32, 1, 2, 2, 1, 0, 3, 1]], &Device::Cpu)?;
        let weight = Tensor::new(&[[1f64, 0.5, 1., 2., 1., 1., 0., 1.]], &Device::Cpu)?;
        let target = Target::hard(labels).with_weight(weight.clone());
        for smoothing in [0.0, 0.2] {
            let cross_entropy = CrossEntropy {
                label_smoothing: Fraction::literal(smoothing),
                class_weights: [1.0, 2.5, 0.5].map(NonNegative::literal).to_vec(),
                ..CrossEntropy::default()
            };
            let loss = TopK {
                percent: Percent::literal(45.0),
                cross_entropy: cross_entropy.clone(),
                allow_soft: false,
            };

            // Without indices there is no picking of logarithms: the other way to the costs.
            let hot = target.probabilities(&logits)?;
            let hot = hot.affine(1.0 - smoothing, smoothing / 3.0)?;
            let class_weights = Tensor::new(&[[[1f64], [2.5], [0.5]]], &Device::Cpu)?;
            let log_p = nn::log_softmax_along(&logits, 1)?;
            let costs = (hot * log_p)?.neg()?.broadcast_mul(&class_weights)?.sum_keepdim(1)?;
            let costs = costs.flatten_all()?;
            let weight = weight.flatten_all()?;
            let counts = weight.gt(0f64)?.to_dtype(DType::F64)?;
            let shares = (shares(&costs, &counts, 45.0)? * weight)?;
            let expected = ((costs * &shares)?.sum_all()? / shares.sum_all()?)?;

            let found = loss.forward(&logits, &target)?.to_scalar::<f64>()?;
            approx::assert_abs_diff_eq!(found, expected.to_scalar::<f64>()?, epsilon = 1e-12);
        }
        Ok(())
    }

    #[test]
    fn bisection_finds_what_selection_finds() -> anyhow::Result<()> {
        let values: Vec<f64> = (0..97).map(|at| f64::from(at * 37 % 50) / 3.0).collect();
        let costs = Tensor::new(values.as_slice(), &Device::Cpu)?;
        let counts: Vec<f64> = (0..97).map(|at| f64::from(u8::from(at % 5 != 0))).collect();
        let counts = Tensor::new(counts, &Device::Cpu)?;
        for kept in [1.0, 2.0, 7.0, 30.0, 77.0] {
            let kept = Tensor::new(&[kept], &Device::Cpu)?;

            let least = least_kept(&costs, &counts, &kept)?;
            let [low, high] = bracket(&costs, &counts, &kept)?;

            let masks = [costs.broadcast_gt(&least)?, costs.broadcast_ge(&least)?];
            let selected = shared(masks, &costs, &counts, &kept)?.to_vec1::<f64>()?;
            let masks = [costs.broadcast_gt(&high)?, costs.broadcast_gt(&low)?];
            let bisected = shared(masks, &costs, &counts, &kept)?.to_vec1::<f64>()?;
            assert_eq!(selected, bisected, "{kept}");
            assert!((selected.iter().sum::<f64>() - kept.to_vec1::<f64>()?[0]).abs() < 1e-9);
        }
        Ok(())
    }

    #[test]
    fn the_largest_are_kept_ties_share_and_ignored_ones_take_no_part() -> anyhow::Result<()> {
        let all = [1.0; 5];

        assert_eq!(kept(&[3., 1., 5., 2., 4.], &all, 40.0)?, [0., 0., 1., 0., 1.]);
        assert_eq!(kept(&[3., 3., 5., 2., 3.], &all, 60.0)?[2..4], [1., 0.]);
        let ties = kept(&[3., 3., 5., 2., 3.], &all, 60.0)?;
        approx::assert_abs_diff_eq!(ties[0], 2.0 / 3.0, epsilon = 1e-12);
        assert_eq!(kept(&[3., 1., 9., 2., 4.], &[1., 1., 0., 1., 1.], 50.0)?, [1., 0., 0., 0., 1.]);
        assert_eq!(kept(&[7.; 5], &all, 100.0)?, all);
        assert_eq!(kept(&[3., 1., 5., 2., 4.], &all, 1.0)?, [0., 0., 1., 0., 0.]);
        assert_eq!(kept(&[3., 1., 5., 2., 4.], &[0.; 5], 50.0)?, [0.; 5]);
        Ok(())
    }
}
