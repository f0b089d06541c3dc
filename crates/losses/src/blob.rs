//! Blob loss: each connected component counts alike.

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::math::quotient;
use crate::target::widen;
use crate::{Activation, Dice, Error, Loss, LossConfig, Needs, Result, Target};

/// The blob loss: another loss of each connected component by itself, averaged over components, so that a
/// small lesion counts as much as a large one.
///
/// For each component of each foreground class, the other components of that class are ignored, and what
/// is left is a problem of two classes: this component, and everything else. Its probability is the one
/// that the logits give its class.
///
/// The paper adds twice the loss of the whole image: a [`Sum`](crate::Sum) of that, with weight 2, and of
/// this, with weight 1.
///
/// | | |
/// |---|---|
/// | range | that of the loss within |
/// | needs | components with the target: `Target::with_components`, which training makes |
/// | no component | 0, with a gradient of 0 |
/// | soft targets | refused: components are of masks |
/// | deep heads | a component that a coarser resolution has lost takes no part there |
///
/// The loss within sees two classes under softmax, whatever the activation here. Time and
/// memory grow with the number of components: remove specks before.
///
/// # Source
///
/// Kofler, Shit, Ezhov, Fidon, Horvath, Al-Maskari, Li, Bhatia, Loehr, Piraud, Erturk, Kirschke, Peeken,
/// Vercauteren, Zimmer, Wiestler, Menze: *blob loss: instance imbalance aware loss functions for semantic
/// segmentation*, IPMI 2023, [arXiv:2205.08209](https://arxiv.org/abs/2205.08209).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blob {
    /// How logits become probabilities. Under softmax class 0 is no lesion.
    pub activation: Activation,
    /// The loss of one component, of two classes that exclude each other.
    pub loss: Box<LossConfig>,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

impl Default for Blob {
    fn default() -> Self {
        let dice = Dice { include_background: false, ..Dice::default() };
        Self { activation: Activation::Softmax, loss: Box::new(dice.into()), allow_soft: false }
    }
}

impl Blob {
    /// Everything else and class `class`, as logits of two classes, `(1, 2, *S)`.
    fn of_class(logits: &Tensor, class: usize, activation: Activation) -> Result<Tensor> {
        let own = logits.narrow(1, class, 1)?;
        if activation == Activation::Sigmoid {
            return Ok(Tensor::cat(&[own.zeros_like()?, own], 1)?);
        }
        let classes = logits.dim(1)?;
        let before = logits.narrow(1, 0, class)?;
        let after = logits.narrow(1, class + 1, classes - class - 1)?;
        let others = match (class, classes - class - 1) {
            (_, 0) => before,
            (0, _) => after,
            _ => Tensor::cat(&[before, after], 1)?,
        };
        // As one class: the logarithm of the sum of their exponentials.
        let most = others.detach().max_keepdim(1)?;
        let sum = others.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?;
        Ok(Tensor::cat(&[(sum.log()? + most)?, own], 1)?)
    }
}

impl Loss for Blob {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "blob", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let (components, counts) = target.components_like("blob", logits)?;
        self.suits(self.activation)?;
        let first = usize::from(self.activation == Activation::Softmax);
        let weight = target.weight_like(logits)?;
        let mut costs = Vec::new();
        let mut present = Vec::new();
        for (sample, counts) in counts.iter().enumerate() {
            let own = logits.narrow(0, sample, 1)?;
            for (class, &count) in counts.iter().enumerate().skip(first) {
                let seen = Self::of_class(&own, class, self.activation)?;
                let indices = components.get(sample)?.get(class)?.unsqueeze(0)?;
                for component in 1..=count {
                    let mask = indices.eq(component)?;
                    let outside = indices.eq(0u32)?;
                    let mut counted = (&mask + outside)?.to_dtype(logits.dtype())?;
                    if let Some(weight) = &weight {
                        counted = (counted * weight.narrow(0, sample, 1)?.squeeze(1)?)?;
                    }
                    let all = mask.to_dtype(logits.dtype())?.flatten_all()?.sum(0)?;
                    present.push(all.gt(0f64)?.to_dtype(logits.dtype())?);
                    let target = Target::hard(mask.to_dtype(candle::DType::U32)?);
                    costs.push(self.loss.forward(&seen, &target.with_weight(counted))?);
                }
            }
        }
        if costs.is_empty() {
            return Ok((logits.flatten_all()?.sum(0)? * 0.0)?);
        }
        let (costs, present) = (Tensor::stack(&costs, 0)?, Tensor::stack(&present, 0)?);
        quotient(&(costs * &present)?.sum(0)?, &present.sum(0)?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect("blob", self.activation)?;
        let Needs { distance, components, .. } = self.loss.needs();
        if distance || components {
            return Err(Error::Settings(format!(
                "blob.loss is {}, which needs maps of its own; choose a loss of labels alone",
                self.loss.name(),
            )));
        }
        // A component and what is around it exclude each other.
        self.loss.suits(Activation::Softmax).map_err(|error| error.within("blob.loss"))
    }

    fn needs(&self) -> Needs {
        Needs { components: true, ..self.loss.needs() }
    }
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn a_missed_lesion_counts_the_same_whatever_its_size() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let labels = Tensor::new(&[[1u32, 0, 1, 1, 1, 1, 1, 1]], cpu)?;
        let blobs = [1u32, 0, 2, 2, 2, 2, 2, 2];
        let components = Tensor::new(&[[[0u32; 8], blobs]], cpu)?;
        let target = Target::hard(labels).with_components(components, vec![vec![0, 2]])?;
        let cost = |found: u32| -> anyhow::Result<f64> {
            let p: Vec<f64> =
                blobs.iter().map(|&blob| if blob == found { 20.0 } else { -20.0 }).collect();
            let own = Tensor::from_vec(p, (1, 1, 8), cpu)?;
            let logits = Tensor::cat(&[own.neg()?, own], 1)?;
            Ok(Blob::default().forward(&logits, &target)?.to_scalar()?)
        };

        approx::assert_abs_diff_eq!(cost(1)?, 0.5, epsilon = 1e-4);
        approx::assert_abs_diff_eq!(cost(2)?, 0.5, epsilon = 1e-4);
        Ok(())
    }

    #[test]
    fn other_classes_are_as_one() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let logits = Tensor::new(&[[[1f64], [2.], [-0.5]]], cpu)?;
        let p = candle_nn::ops::softmax(&logits, 1)?;
        for class in 0..3 {
            let two = Blob::of_class(&logits, class, Activation::Softmax)?;
            let two = candle_nn::ops::softmax(&two, 1)?;
            let (own, all) = (two.get(0)?.get(1)?.get(0)?, p.get(0)?.get(class)?.get(0)?);
            approx::assert_abs_diff_eq!(
                own.to_scalar::<f64>()?,
                all.to_scalar::<f64>()?,
                epsilon = 1e-12
            );
        }
        Ok(())
    }

    #[test]
    fn without_lesions_there_is_no_cost() -> anyhow::Result<()> {
        let cpu = &Device::Cpu;
        let target = Target::hard(Tensor::zeros((1, 4), candle::DType::U32, cpu)?);
        let none = Tensor::zeros((1, 2, 4), candle::DType::U32, cpu)?;
        let target = target.with_components(none, vec![vec![0, 0]])?;
        let logits = Tensor::zeros((1, 2, 4), candle::DType::F64, cpu)?;

        let cost = Blob::default().forward(&logits, &target)?.to_scalar::<f64>()?;
        approx::assert_abs_diff_eq!(cost, 0.0, epsilon = 0.0);
        Ok(())
    }
}
