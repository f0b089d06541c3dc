use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::Result;

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// One class for each voxel: probabilities sum to 1 over the classes.
    #[default]
    Softmax,
    /// Each class by itself: regions that may overlap.
    Sigmoid,
}

impl Activation {
    /// Log-probabilities of logits `(N, C, *S)`: finite wherever the logits are.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn log_probabilities(self, logits: &Tensor) -> Result<Tensor> {
        match self {
            // Not candle's `log_softmax`: its maximum takes part in the graph.
            Self::Softmax => {
                let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
                let log_sum = shifted.exp()?.sum_keepdim(1)?.log()?;
                Ok(shifted.broadcast_sub(&log_sum)?)
            }
            Self::Sigmoid => log_sigmoid(logits),
        }
    }

    /// Probabilities of logits `(N, C, *S)`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn probabilities(self, logits: &Tensor) -> Result<Tensor> {
        Ok(self.log_probabilities(logits)?.exp()?)
    }
}

/// `log(1 / (1 + exp(−x)))` as `min(x, 0) − log(1 + exp(−|x|))`, which never overflows.
pub(crate) fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    let negative = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    // (x − |x|) / 2 rather than `minimum`: its gradient at 0 is one half, as it should be.
    let below = ((x - x.abs()?)? * 0.5)?;
    Ok((below - negative)?)
}
