use std::str::FromStr;

use candle::DType;
use nn::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How exactly a network is computed.
///
/// Parameters are of single precision whatever it is, and so are the sums within layers, losses and what an optimizer
/// remembers: bf16 and f16 are how images, and what layers make of them, are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// In single precision, with the rounding errors of a plain convolution.
    #[default]
    Exact,
    /// With fewer multiplications, and about twice those errors: [`Method::Fast`]. Layers without such a
    /// way, other devices and half precision compute as ever.
    Fast,
    /// With activations of 16 bits, 8 of them of the exponent: the range of single precision, three digits.
    Bf16,
    /// With activations of 16 bits, 5 of them of the exponent, where a device has no bf16: the loss is scaled so that
    /// gradients do not vanish, and steps whose gradients overflow are left out.
    F16,
}

impl Precision {
    /// What activations are stored as.
    pub fn dtype(self) -> DType {
        match self {
            Self::Exact | Self::Fast => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// What `run` returns, with convolutions of this precision on this thread.
    pub fn run<T>(self, run: impl FnOnce() -> T) -> T {
        match self {
            // Whatever method the process is set to.
            Self::Exact | Self::Bf16 | Self::F16 => run(),
            Self::Fast => nn::with_method(Method::Fast, run),
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self::Exact),
            "fast" => Ok(Self::Fast),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(format!("{text:?} is no precision; use exact, fast, bf16 or f16")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_holds_while_it_runs() {
        let outer = nn::method();

        assert_eq!(Precision::Fast.run(nn::method), Method::Fast);
        assert_eq!(Precision::Exact.run(nn::method), outer);
        assert_eq!("fast".parse(), Ok(Precision::Fast));
        assert!("half".parse::<Precision>().is_err());
    }
}
