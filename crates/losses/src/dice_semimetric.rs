//! The Dice semimetric loss, and with it the Jaccard metric loss and compatible Tversky losses.

mod reduce;

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::batch_sums::of_whole_batch;
use crate::cost::class_weights;
use crate::math::{floor, power, quotient};
use crate::target::widen;
use crate::{Activation, AtLeastOne, Cost, Loss, NonNegative, Result, Target};

/// Dice, Jaccard and Tversky losses that stay correct for soft labels.
///
/// With `p` the probabilities, `t` the target and `q` the norm, for each class and over the voxels
/// of a sample or of the batch,
///
/// ```text
/// tp = (Σ p^q + Σ t^q − Σ |p − t|^q) / 2,   fp = Σ p^q − tp,   fn = Σ t^q − tp
/// T  = (tp + smooth) / (tp + α fp + β fn + smooth)
/// ```
///
/// and the cost is `(1 − T)^γ`. It is 0 exactly where `p = t`, which a soft Dice loss is not; on
/// hard labels the two are equal. `α = β = 0.5` (the default) is the Dice semimetric loss,
/// `α = β = 1` the Jaccard metric loss. **α weights false positives, β false negatives.**
///
/// Three means over classes and samples can be mixed, each with a weight:
///
/// | | |
/// |---|---|
/// | `batch` | one `T` for each class over the whole batch; mean over active classes |
/// | `image` | one `T` for each sample and class; mean over a sample's active classes, then samples |
/// | `class` | the same `T`; mean over the samples where a class is active, then classes |
///
/// | | |
/// |---|---|
/// | range | `[0, 1]` for weights that sum to 1 |
/// | class absent from the target | not active with `present`: costs nothing, whatever `p` is |
/// | no active class at all | 0, with a gradient of 0 |
/// | every voxel ignored | 0 |
///
/// # Source
///
/// Wang, Popordanoska, Bertels, Lemmens, Blaschko: *Dice Semimetric Losses: Optimizing the Dice
/// Score with Soft Labels*, MICCAI 2023, [arXiv:2303.16296](https://arxiv.org/abs/2303.16296);
/// Wang, Ning, Blaschko: *Jaccard Metric Losses: Optimizing the Jaccard Index with Soft Labels*, 2023,
/// [arXiv:2302.05666](https://arxiv.org/abs/2302.05666); Wang, Berman, Rannen-Triki, Torr, Tuia,
/// Tuytelaars, Van Gool, Yu, Blaschko: *Revisiting Evaluation Metrics for Semantic Segmentation:
/// Optimization and Evaluation of Fine-grained Intersection over Union*, 2023,
/// [arXiv:2310.19252](https://arxiv.org/abs/2310.19252) (the means).
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
/// use sconce_losses::{DiceSemimetric, Loss, Target};
///
/// // One sample, two classes, three voxels; the raters disagree on the last one.
/// let target = Tensor::new(&[[[0.9f64, 0.1, 0.5], [0.1, 0.9, 0.5]]], &Device::Cpu)?;
/// let logits = target.log()?;
///
/// let loss = DiceSemimetric::default().forward(&logits, &Target::soft(target))?;
/// assert!(loss.to_scalar::<f64>()? < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiceSemimetric {
    /// How logits become probabilities.
    pub activation: Activation,
    /// How much false positives count, α.
    pub alpha: NonNegative,
    /// How much false negatives count, β.
    pub beta: NonNegative,
    /// The exponent γ of `1 − T`.
    pub gamma: AtLeastOne,
    /// Added to both sides of the quotient, in voxels: half of what the same word means for
    /// [`Dice`](crate::Dice). The papers' experiments have 1, their code's default is 0.001.
    pub smooth: NonNegative,
    /// The norm `q`: 1, or 2 for squares.
    pub norm: AtLeastOne,
    /// How `T` becomes a cost: with `log`, `−ln T`.
    pub cost: Cost,
    /// The weight of the mean over the batch.
    pub batch: NonNegative,
    /// The weight of the mean over samples.
    pub image: NonNegative,
    /// The weight of the mean over classes.
    pub class: NonNegative,
    /// Which classes are active where labels are hard.
    pub active_hard: ActiveClasses,
    /// Which classes are active where labels are soft.
    pub active_soft: ActiveClasses,
    /// A class is present where some voxel's target is above this.
    pub threshold: NonNegative,
    /// A factor for each class, background first; empty for 1 everywhere.
    pub class_weights: Vec<NonNegative>,
    /// Whether to take soft targets where `norm` above 1 and unequal `alpha` and `beta` move the
    /// minimum away from them.
    pub allow_soft: bool,
}

/// Which classes take part in a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveClasses {
    /// All of them.
    All,
    /// Those that the target has: of the sample, or of the batch.
    Present,
}

impl Default for DiceSemimetric {
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            alpha: NonNegative::literal(0.5),
            beta: NonNegative::literal(0.5),
            gamma: AtLeastOne::literal(1.0),
            smooth: NonNegative::literal(1e-3),
            norm: AtLeastOne::literal(1.0),
            cost: Cost::Complement,
            batch: NonNegative::literal(1.0),
            image: NonNegative::literal(0.0),
            class: NonNegative::literal(0.0),
            active_hard: ActiveClasses::Present,
            active_soft: ActiveClasses::All,
            threshold: NonNegative::literal(0.01),
            class_weights: Vec::new(),
            allow_soft: false,
        }
    }
}

/// The sums that all means start from, each `(N, C)`.
struct Sums {
    predicted: Tensor,
    actual: Tensor,
    difference: Tensor,
}

impl Sums {
    fn over_batch(&self) -> Result<Self> {
        let pool = |sums: &Tensor| of_whole_batch(&sums.sum_keepdim(0)?);
        Ok(Self {
            predicted: pool(&self.predicted)?,
            actual: pool(&self.actual)?,
            difference: pool(&self.difference)?,
        })
    }
}

impl DiceSemimetric {
    fn costs(&self, sums: &Sums, weights: Option<&Tensor>) -> Result<Tensor> {
        let true_positive = (((&sums.predicted + &sums.actual)? - &sums.difference)? * 0.5)?;
        let false_positive = ((&sums.predicted - &true_positive)? * self.alpha.get())?;
        let false_negative = ((&sums.actual - &true_positive)? * self.beta.get())?;
        let above = (true_positive + self.smooth.get())?;
        let below = ((&above + false_positive)? + false_negative)?;
        let score = quotient(&above, &below)?;
        let cost = self.cost.with_floor(&score, floor(score.dtype()))?;
        let cost = power(&cost, self.gamma.get())?;
        match weights {
            Some(weights) => Ok(cost.broadcast_mul(weights)?),
            None => Ok(cost),
        }
    }

    /// 1 where a class is active in a sample, else 0: `(N, C)`, like the sums of labels, `actual`.
    fn active(&self, actual: &Tensor, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let (mode, threshold) = (target.is_soft(), self.threshold.get());
        let mode = if mode { self.active_soft } else { self.active_hard };
        if mode == ActiveClasses::All {
            return Ok(actual.ones_like()?);
        }
        let dtype = actual.dtype();
        if !target.is_soft() && threshold < 1.0 {
            // Where labels are 0 or 1, one of them is above the threshold if there is any.
            return Ok(actual.gt(0f64)?.to_dtype(dtype)?);
        }
        let labels = target.probabilities(logits)?;
        let flat = match target.weight_like(&labels)? {
            Some(weight) => {
                let counts = weight.gt(0f64)?.to_dtype(labels.dtype())?;
                labels.broadcast_mul(&counts)?.flatten_from(2)?
            }
            None => labels.flatten_from(2)?,
        };
        Ok(flat.max(2)?.gt(threshold)?.to_dtype(dtype)?)
    }
}

impl Loss for DiceSemimetric {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(
            self.soft_label_ready() || self.allow_soft,
            "dice_semimetric with a norm above 1 and unequal alpha and beta",
            "norm = 1",
        )?;
        let logits = &widen(logits)?;
        let weights = class_weights(&self.class_weights, true, logits)?;
        let of = Summand::Difference { exponent: self.norm.get() };
        let [predicted, actual, difference] =
            target.class_sums(logits, self.activation, 0.0, of)?;
        let active = self.active(&actual, logits, target)?;
        let sums = Sums { predicted, actual, difference };

        let mut total = Tensor::zeros((), logits.dtype(), logits.device())?;
        if self.batch.get() > 0.0 {
            let costs = self.costs(&sums.over_batch()?, weights.as_ref())?;
            let mean = reduce::mean(&costs, &active.max_keepdim(0)?)?;
            total = (total + (mean * self.batch.get())?)?;
        }
        if self.image.get() > 0.0 || self.class.get() > 0.0 {
            let costs = self.costs(&sums, weights.as_ref())?;
            let image = reduce::mean_of_means(&costs, &active, 1)?;
            let class = reduce::mean_of_means(&costs, &active, 0)?;
            total = (total + (image * self.image.get())?)?;
            total = (total + (class * self.class.get())?)?;
        }
        Ok(total)
    }

    fn soft_label_ready(&self) -> bool {
        #[expect(clippy::float_cmp, reason = "settings are exact")]
        let even = self.alpha.get() == self.beta.get();
        self.norm.get() <= 1.0 || even
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("dice_semimetric", self.activation)
    }
}

#[cfg(test)]
mod tests;
