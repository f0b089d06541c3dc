use std::str::FromStr;

use nn::Method;
use serde::{Deserialize, Serialize};

/// How exactly convolutions on the CPU are computed in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// With the rounding errors of a plain convolution.
    #[default]
    Exact,
    /// With fewer multiplications, and about twice those errors: [`Method::Fast`]. Layers without such a
    /// way, other devices and half precision compute as ever.
    Fast,
}

impl Precision {
    /// What `run` returns, with convolutions of this precision on this thread.
    pub fn run<T>(self, run: impl FnOnce() -> T) -> T {
        match self {
            // Whatever method the process is set to.
            Self::Exact => run(),
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
            _ => Err(format!("{text:?} is no precision; use exact or fast")),
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
