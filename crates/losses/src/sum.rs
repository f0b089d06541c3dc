//! A weighted sum of losses.

use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    Activation, CrossEntropy, Dice, Error, Loss, LossConfig, Needs, NonNegative, Result, Target,
    TermSchedule,
};

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
    /// How the weight changes over the run; absent, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<TermSchedule>,
}

impl Term {
    /// A term whose weight stays.
    pub fn new(weight: NonNegative, loss: impl Into<LossConfig>) -> Self {
        Self { weight, loss: loss.into(), schedule: None }
    }
}

impl Sum {
    /// Whether a weight changes over the run.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.terms.iter().any(|term| term.schedule.is_some() || term.loss.is_scheduled())
    }

    pub(crate) fn moments(&self) -> Vec<f64> {
        let of_term = |term: &Term| {
            let mut moments = term.loss.moments();
            moments.extend(term.schedule.into_iter().flat_map(TermSchedule::moments));
            moments
        };
        self.terms.iter().flat_map(of_term).collect()
    }

    /// The sum when a share `done` of the run is done.
    pub(crate) fn at(&self, done: f64) -> Self {
        let at = |term: &Term| {
            let factor = term.schedule.map_or(1.0, |schedule| schedule.factor(done));
            // A product of what is not negative: where it leaves the range of numbers, it was wrong before.
            let weight = NonNegative::try_from(term.weight.get() * factor).unwrap_or(term.weight);
            Term::new(weight, term.loss.at(done).into_owned())
        };
        Self { terms: self.terms.iter().map(at).collect() }
    }
}

impl Default for Sum {
    fn default() -> Self {
        let one = NonNegative::literal(1.0);
        let dice = Dice { include_background: false, ..Dice::default() };
        Self { terms: vec![Term::new(one, CrossEntropy::default()), Term::new(one, dice)] }
    }
}

impl Loss for Sum {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        if self.is_scheduled() {
            return Err(Error::Settings(
                "the weights of this sum change over the run; take the loss of one moment, LossConfig::at"
                    .into(),
            ));
        }
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

    fn needs(&self) -> Needs {
        let counted = self.terms.iter().filter(|term| term.weight.get() > 0.0);
        counted.fold(Needs::default(), |needs, term| needs | term.loss.needs())
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
        let term = |weight: f64, loss: LossConfig| Term::new(NonNegative::literal(weight), loss);
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
    fn scheduled_weights_are_those_of_one_moment() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 1, 0, 0]], &Device::Cpu)?);
        let number = NonNegative::literal;
        let hand_over = |from: f64, to: f64, loss: LossConfig| Term {
            schedule: Some(TermSchedule::Linear { from: number(from), to: number(to) }),
            ..Term::new(number(2.0), loss)
        };
        let sum: LossConfig = Sum {
            terms: vec![
                hand_over(1.0, 0.0, CrossEntropy::default().into()),
                hand_over(0.0, 1.0, Dice::default().into()),
            ],
        }
        .into();

        let at = |done: f64| -> anyhow::Result<f64> {
            Ok(sum.at(done).forward(&logits, &target)?.to_scalar()?)
        };
        approx::assert_abs_diff_eq!(at(0.0)?, 2.0 * 2f64.ln(), epsilon = 1e-5);
        approx::assert_abs_diff_eq!(at(0.25)?, 1.5 * 2f64.ln() + 0.25, epsilon = 1e-5);
        approx::assert_abs_diff_eq!(at(1.0)?, 1.0, epsilon = 1e-5);
        let error = sum.forward(&logits, &target).unwrap_err().to_string();
        assert!(error.contains("change over the run"), "{error}");
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
