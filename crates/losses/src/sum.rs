//! A weighted sum of losses.

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Activation, CrossEntropy, Dice, Error, Loss, LossConfig, NonNegative, Result, Target};

/// A weighted sum of losses, such as nnU-Net's cross entropy and Dice, which is the default.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let loss: sconce_losses::LossConfig = toml::from_str(
///     "[[sum.terms]]
///      weight = 0.25
///      loss.cross_entropy = {}
///      [[sum.terms]]
///      weight = 0.75
///      loss.dice_semimetric = { smooth = 1.0 }",
/// )?;
/// assert_eq!(loss.name(), "sum");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// The summands, at least one.
    pub terms: Vec<Term>,
}

/// One summand of a [`Sum`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Its weight. A loss of weight 0 is not computed.
    pub weight: NonNegative,
    /// The loss that it weights.
    pub loss: LossConfig,
}

impl Default for Sum {
    fn default() -> Self {
        let one = NonNegative::literal(1.0);
        let dice = Dice { include_background: false, ..Dice::default() };
        Self {
            terms: vec![
                Term { weight: one, loss: CrossEntropy::default().into() },
                Term { weight: one, loss: dice.into() },
            ],
        }
    }
}

impl Loss for Sum {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        let counted = self.terms.iter().filter(|term| term.weight.get() > 0.0);
        let costs = counted.map(|term| -> Result<Tensor> {
            Ok((term.loss.forward(logits, target)? * term.weight.get())?)
        });
        let costs: Vec<Tensor> = costs.collect::<Result<_>>()?;
        if costs.is_empty() {
            return Err(Error::Settings("sum needs a term of a weight above 0".into()));
        }
        Ok(Tensor::stack(&costs, 0)?.sum_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        let mut counted = self.terms.iter().filter(|term| term.weight.get() > 0.0);
        counted.all(|term| term.loss.soft_label_ready())
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        let mut counted = self.terms.iter().enumerate().filter(|(_, term)| term.weight.get() > 0.0);
        counted.try_for_each(|(at, term)| {
            term.loss
                .suits(activation)
                .map_err(|error| error.within(&format!("sum.terms[{at}].loss")))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    #[test]
    fn each_term_counts_by_its_weight() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 1, 0, 0]], &Device::Cpu)?);
        let term =
            |weight: f64, loss: LossConfig| Term { weight: NonNegative::literal(weight), loss };
        let sum = Sum {
            terms: vec![
                term(2.0, CrossEntropy::default().into()),
                term(4.0, Dice::default().into()),
                term(0.0, crate::Focal::default().into()),
            ],
        };

        let loss = sum.forward(&logits, &target)?.to_scalar::<f64>()?;

        // Dice of either class: 1 − 2 · 1 / (2 + 2).
        approx::assert_abs_diff_eq!(loss, 2.0 * 2f64.ln() + 4.0 * 0.5, epsilon = 1e-5);
        Ok(())
    }

    #[test]
    fn nothing_to_sum_is_refused() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::zeros((1, 4), DType::U32, &Device::Cpu)?);

        let error = Sum { terms: Vec::new() }.forward(&logits, &target).unwrap_err();

        assert_eq!(error.to_string(), "sum needs a term of a weight above 0");
        Ok(())
    }
}
