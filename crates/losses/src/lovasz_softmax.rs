//! The Lovász extension of the Jaccard loss.

use candle::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::cost::counted;
use crate::math::{magnitude, quotient};
use crate::target::widen;
use crate::{Activation, Loss, Result, Target};

/// The Lovász-softmax loss: the convex extension of `1 − Jaccard index` from masks to probabilities.
///
/// With `m` the errors `|t − p|` of a class, from the largest to the smallest, and `J(k)` the Jaccard loss
/// of a mask that is wrong at the first `k` of them,
///
/// ```text
/// L = Σ_k m_k (J(k) − J(k − 1))
/// ```
///
/// averaged over classes that the target has. Where every error is 0 or 1 it *is* the Jaccard loss.
///
/// The order of errors is found on the CPU: on a GPU each step waits for it.
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` |
/// | class absent from the target | takes no part, with `only_present`; else its largest error |
/// | no class at all, or every voxel ignored | 0 |
/// | soft targets | refused: the extension is of masks |
/// | weights of voxels | 0 leaves a voxel out; others count as 1 |
///
/// # Source
///
/// Berman, Rannen Triki, Blaschko: *The Lovász-Softmax loss: A tractable surrogate for the optimization of
/// the intersection-over-union measure in neural networks*, CVPR 2018,
/// [arXiv:1705.08790](https://arxiv.org/abs/1705.08790).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "settings that do not depend on each other")]
pub struct LovaszSoftmax {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Whether classes that the target lacks take no part.
    pub only_present: bool,
    /// Whether each sample is sorted by itself, not the batch as one.
    pub per_image: bool,
    /// Whether class 0 takes part.
    pub include_background: bool,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for LovaszSoftmax {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            only_present: true,
            per_image: false,
            include_background: true,
            allow_soft: false,
        }
    }
}

/// The factors of `errors` of one class, given its labels, each in the order of voxels.
fn factors(errors: &[f64], labels: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..errors.len()).collect();
    order.sort_by(|&a, &b| errors[b].total_cmp(&errors[a]));
    let all: f64 = labels.iter().sum();
    let (mut intersection, mut union, mut before) = (all, all, 0.0);
    let mut factors = vec![0.0; errors.len()];
    for at in order {
        intersection -= labels[at];
        union += 1.0 - labels[at];
        let loss = 1.0 - intersection / union;
        factors[at] = loss - before;
        before = loss;
    }
    factors
}

/// The values of `x` by row, `(rows, V)`.
fn rows(x: &Tensor, rows: usize) -> Result<Vec<Vec<f64>>> {
    let x = x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok(x.reshape((rows, ()))?.to_vec2()?)
}

impl Loss for LovaszSoftmax {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "lovasz_softmax", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let include = self.include_background;
        let probs = counted(&self.activation.probabilities(logits)?, include)?;
        let labels = counted(&target.probabilities(logits)?, include)?;
        let classes = probs.dim(1)?;
        // Each class a row, of one sample or of all.
        let by_class = |x: &Tensor| -> Result<Tensor> {
            let x = x.flatten_from(2)?;
            let x = if self.per_image { x } else { x.transpose(0, 1)?.contiguous()? };
            Ok(x.reshape((if self.per_image { x.dim(0)? * x.dim(1)? } else { classes }, ()))?)
        };
        let errors = by_class(&magnitude(&(&labels - probs)?)?)?;
        let count = errors.dim(0)?;
        let counts = match target.weight_like(logits)? {
            Some(weight) => {
                let counts = weight.gt(0f64)?.to_dtype(labels.dtype())?;
                Some(rows(&by_class(&counts.broadcast_as(labels.shape())?.contiguous()?)?, count)?)
            }
            None => None,
        };

        let (of_errors, of_labels) = (rows(&errors, count)?, rows(&by_class(&labels)?, count)?);
        let (mut all, mut present) = (Vec::new(), Vec::new());
        for (row, (errors, labels)) in of_errors.iter().zip(&of_labels).enumerate() {
            let kept = |at: &usize| counts.as_ref().is_none_or(|counts| counts[row][*at] > 0.0);
            let kept: Vec<usize> = (0..errors.len()).filter(kept).collect();
            let take = |values: &[f64]| -> Vec<f64> { kept.iter().map(|&at| values[at]).collect() };
            let labels = take(labels);
            let takes_part =
                !kept.is_empty() && (!self.only_present || labels.iter().any(|&t| t > 0.0));
            present.push(f64::from(takes_part));
            let mut spread = vec![0.0; errors.len()];
            if takes_part {
                for (&at, factor) in kept.iter().zip(factors(&take(errors), &labels)) {
                    spread[at] = factor;
                }
            }
            all.extend(spread);
        }
        let like = |values: Vec<f64>, shape: &[usize]| -> Result<Tensor> {
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            Ok(tensor.to_dtype(logits.dtype())?.to_device(logits.device())?)
        };
        let costs = (&errors * like(all, errors.dims())?)?.sum(1)?;
        let (samples, groups) =
            if self.per_image { (count / classes, classes) } else { (1, classes) };
        let costs = costs.reshape((samples, groups))?.sum(1)?;
        let present = like(present, &[samples, groups])?.sum(1)?;
        // Of samples that have a class at all.
        let filled = present.gt(0f64)?.to_dtype(present.dtype())?.sum(0)?;
        quotient(&quotient(&costs, &present)?.sum(0)?, &filled)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("lovasz_softmax", self.activation)?;
        activation.expect_all("lovasz_softmax", self.include_background)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(loss: &LovaszSoftmax, p: &[[f64; 4]], labels: &[[u32; 4]]) -> anyhow::Result<f64> {
        let cpu = &Device::Cpu;
        let both: Vec<f64> = p.iter().flat_map(|p| [p.map(|p| 1.0 - p), *p].concat()).collect();
        let logits = Tensor::from_vec(both, (p.len(), 2, 4), cpu)?.clamp(1e-300, 1.0)?.log()?;
        let target = Target::hard(Tensor::from_vec(labels.concat(), (labels.len(), 4), cpu)?);
        Ok(loss.forward(&logits, &target)?.to_scalar()?)
    }

    #[test]
    fn of_masks_it_is_the_jaccard_loss() -> anyhow::Result<()> {
        let foreground = LovaszSoftmax { include_background: false, ..LovaszSoftmax::default() };

        // One of three voxels in the union is shared.
        let loss = of(&foreground, &[[1., 1., 0., 0.]], &[[1, 0, 1, 0]])?;

        approx::assert_abs_diff_eq!(loss, 2.0 / 3.0, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn errors_count_by_what_they_add_to_the_jaccard_loss() -> anyhow::Result<()> {
        let foreground = LovaszSoftmax { include_background: false, ..LovaszSoftmax::default() };

        // Errors, sorted: 0.6 (background), 0.5 and 0.2 (foreground), 0.1: J is 1/3, 2/3, 1, 1.
        let loss = of(&foreground, &[[0.8, 0.5, 0.6, 0.1]], &[[1, 1, 0, 0]])?;

        approx::assert_abs_diff_eq!(loss, (0.6 + 0.5 + 0.2) / 3.0, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn samples_and_classes_without_anything_take_no_part() -> anyhow::Result<()> {
        let foreground = LovaszSoftmax { include_background: false, ..LovaszSoftmax::default() };
        let apart = LovaszSoftmax { per_image: true, ..foreground.clone() };
        let first = ([0.8, 0.5, 0.6, 0.1], [1, 1, 0, 0]);
        let empty = ([0.9, 0.1, 0.2, 0.3], [0; 4]);

        let nothing = of(&foreground, &[empty.0], &[empty.1])?;
        approx::assert_abs_diff_eq!(nothing, 0.0, epsilon = 0.0);
        let alone = of(&foreground, &[first.0], &[first.1])?;
        let with_empty = of(&apart, &[first.0, empty.0], &[first.1, empty.1])?;
        approx::assert_abs_diff_eq!(with_empty, alone, epsilon = 1e-12);
        Ok(())
    }
}
