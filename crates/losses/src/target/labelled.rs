//! What a hard target picks out of values for all classes.

use candle::{Shape, Tensor};

use super::{Labels, Target, expect_shape, split};
use crate::Result;

impl Target {
    /// Of `values`, `(N, C, *S)`, those of the class that a hard target names, times that class's weight
    /// where there are any `(C)`: `(N, 1, *S)`, 0 at an index of `C` or more; `None` for other targets.
    pub(crate) fn of_labelled(
        &self,
        values: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        let Labels::Hard(indices) = &self.labels else { return Ok(None) };
        let (n, classes, space) = split(values)?;
        expect_shape(indices, values, Shape::from([&[n], space].concat()))?;
        let last = classes as f64 - 1.0;
        let within = indices.unsqueeze(1)?.minimum(last)?.contiguous()?;
        let mut named = values.contiguous()?.gather(&within, 1)?;
        if let Some(weights) = weights {
            let weights = weights.index_select(&within.flatten_all()?, 0)?;
            named = (named * weights.reshape(within.shape())?)?;
        }
        let known = indices.le(last)?.unsqueeze(1)?;
        Ok(Some(known.where_cond(&named, &named.zeros_like()?)?))
    }
}
