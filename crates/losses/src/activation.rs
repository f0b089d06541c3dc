use candle::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// One class for each voxel: probabilities sum to 1 over the classes.
    #[default]
    Softmax,
    /// Each class by itself: regions that may overlap, or a single channel.
    Sigmoid,
}

impl Activation {
    /// Log-probabilities of logits `(N, C, *S)`: finite wherever the logits are.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] for softmax over a single class, which is 1 whatever the logits are; or
    /// where a tensor operation fails.
    pub fn log_probabilities(self, logits: &Tensor) -> Result<Tensor> {
        match self {
            Self::Softmax => {
                expect_classes(logits)?;
                Ok(nn::log_softmax_along(logits, 1)?)
            }
            Self::Sigmoid => log_sigmoid(logits),
        }
    }

    /// That a loss of the kind `name` is set to this activation.
    pub(crate) fn expect(self, name: &str, set: Self) -> Result<()> {
        match self {
            _ if self == set => Ok(()),
            Self::Sigmoid => Err(Error::Settings(format!(
                "{name}.activation is \"softmax\", but regions may overlap; set it to \"sigmoid\""
            ))),
            Self::Softmax => Err(Error::Settings(format!(
                "{name}.activation is \"sigmoid\", but classes exclude each other; set it to \
                 \"softmax\""
            ))),
        }
    }

    /// That a loss of the kind `name`, which knows no other activation than softmax, may be used.
    pub(crate) fn expect_softmax(self, name: &str) -> Result<()> {
        match self {
            Self::Softmax => Ok(()),
            Self::Sigmoid => Err(Error::Settings(format!(
                "{name} is of classes that exclude each other, but regions may overlap; choose \
                 cross_entropy, dice or another loss with a setting activation = \"sigmoid\""
            ))),
        }
    }

    /// That a loss of the kind `name` counts channel 0 where that is no background.
    pub(crate) fn expect_all(self, name: &str, include_background: bool) -> Result<()> {
        if self == Self::Softmax || include_background {
            return Ok(());
        }
        Err(Error::Settings(format!(
            "{name}.include_background is false, but the first region is no background; set it to \
             true"
        )))
    }

    /// The same choice, for sums over the voxels of `logits`.
    pub(crate) fn of_logits(self, logits: &Tensor) -> Result<nn::ClassActivation> {
        match self {
            Self::Softmax => {
                expect_classes(logits)?;
                Ok(nn::ClassActivation::Softmax)
            }
            Self::Sigmoid => Ok(nn::ClassActivation::Sigmoid),
        }
    }

    /// Probabilities of logits `(N, C, *S)`.
    ///
    /// # Errors
    ///
    /// As [`Activation::log_probabilities`].
    pub fn probabilities(self, logits: &Tensor) -> Result<Tensor> {
        match self {
            Self::Softmax => {
                expect_classes(logits)?;
                Ok(nn::softmax_along(logits, 1)?)
            }
            Self::Sigmoid => Ok(log_sigmoid(logits)?.exp()?),
        }
    }
}

fn expect_classes(logits: &Tensor) -> Result<()> {
    if logits.dim(1)? < 2 {
        return Err(Error::Settings(
            "softmax over one class is always 1; set activation = \"sigmoid\"".into(),
        ));
    }
    Ok(())
}

/// `log(1 / (1 + exp(−x)))` as `min(x, 0) − log(1 + exp(−|x|))`, which never overflows.
pub(crate) fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok(nn::Act::LogSigmoid.forward(x)?)
}

#[cfg(test)]
mod tests {
    use candle::{Device, Var};

    use super::*;

    #[test]
    fn log_sigmoid_and_its_slope_are_right_at_zero_and_far_out() -> anyhow::Result<()> {
        let x = Var::new(&[-800f64, -1., 0., 1., 800.], &Device::Cpu)?;

        let y = log_sigmoid(&x)?;
        let slope = y.sum_all()?.backward()?;
        let slope = slope.get(&x).unwrap().to_vec1::<f64>()?;

        let at_one = -(1f64 + (-1f64).exp()).ln();
        for (actual, expected) in
            y.to_vec1::<f64>()?.into_iter().zip([-800., at_one - 1., -(2f64.ln()), at_one, 0.])
        {
            approx::assert_abs_diff_eq!(actual, expected, epsilon = 1e-15);
        }
        let rise = 1.0 / (1.0 + 1f64.exp());
        for (actual, expected) in slope.into_iter().zip([1., 1. - rise, 0.5, rise, 0.]) {
            approx::assert_abs_diff_eq!(actual, expected, epsilon = 1e-15);
        }
        Ok(())
    }

    #[test]
    fn softmax_over_one_class_is_refused() -> anyhow::Result<()> {
        let logits = Tensor::zeros((1, 1, 4), candle::DType::F32, &Device::Cpu)?;

        let error = Activation::Softmax.probabilities(&logits).unwrap_err();

        assert!(error.to_string().contains("activation = \"sigmoid\""), "{error}");
        Ok(())
    }
}
