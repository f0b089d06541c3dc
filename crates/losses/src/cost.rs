use candle::Tensor;
use serde::{Deserialize, Serialize};

use crate::batch_sums::of_whole_batch;
use crate::{Error, NonNegative, Result};

/// How a score `s`, 1 at best, becomes a cost to be minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// `1 − s`.
    #[default]
    Complement,
    /// `−s`, as nnU-Net has it: the same gradient, and 0 is no longer the best value.
    Negative,
    /// `−ln max(s, 1e-7)`: at most 16.1, and flat there.
    Log,
}

impl Cost {
    pub(crate) fn of(self, score: &Tensor) -> Result<Tensor> {
        self.with_floor(score, 1e-7)
    }

    /// As [`Cost::of`], with another floor below the logarithm.
    pub(crate) fn with_floor(self, score: &Tensor, floor: f64) -> Result<Tensor> {
        Ok(match self {
            Self::Complement => (1.0 - score)?,
            Self::Negative => score.neg()?,
            Self::Log => score.maximum(floor)?.log()?.neg()?,
        })
    }
}

/// Class weights as `(K)`, for the classes that count; `None` where the list is empty.
pub(crate) fn class_weights(
    list: &[NonNegative],
    include_background: bool,
    logits: &Tensor,
) -> Result<Option<Tensor>> {
    if list.is_empty() {
        return Ok(None);
    }
    let classes = logits.dim(1)?;
    if list.len() != classes {
        return Err(Error::Settings(format!(
            "class_weights has {} entries, but the logits have {classes} classes",
            list.len(),
        )));
    }
    let counted = &list[usize::from(!include_background)..];
    let values: Vec<f64> = counted.iter().map(|weight| weight.get()).collect();
    let weights = Tensor::from_vec(values, counted.len(), logits.device())?;
    Ok(Some(weights.to_dtype(logits.dtype())?))
}

/// Sums `(N, C)` of the classes that count, `(N, K)`; with `pool_batch`, of the batch as one sample,
/// `(1, K)`.
pub(crate) fn pooled(sums: &Tensor, include_background: bool, pool_batch: bool) -> Result<Tensor> {
    let sums = counted(sums, include_background)?;
    if pool_batch { of_whole_batch(&sums.sum_keepdim(0)?) } else { Ok(sums) }
}

/// The classes of `(N, C, *S)` that count: all, or those from 1.
pub(crate) fn counted(values: &Tensor, include_background: bool) -> Result<Tensor> {
    if include_background {
        return Ok(values.clone());
    }
    let classes = values.dim(1)?;
    if classes < 2 {
        return Err(Error::Settings(
            "without the background no class is left; set include_background = true".into(),
        ));
    }
    Ok(values.narrow(1, 1, classes - 1)?)
}

/// The mean of costs `(N, K)`, each times its class weight; the weights are not normalised.
pub(crate) fn mean_cost(costs: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
    Ok(match weights {
        Some(weights) => costs.broadcast_mul(weights)?.mean_all()?,
        None => costs.mean_all()?,
    })
}
