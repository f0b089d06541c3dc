use candle::Tensor;

use crate::Result;

/// The mean of `values` where `active` is 1; 0 where it is so nowhere.
pub(super) fn mean(values: &Tensor, active: &Tensor) -> Result<Tensor> {
    along(&values.flatten_all()?, &active.flatten_all()?, 0)
}

/// The mean of `values` `(N, C)` along `axis` where `active` is 1, then the mean of those means
/// that have something in them.
pub(super) fn mean_of_means(values: &Tensor, active: &Tensor, axis: usize) -> Result<Tensor> {
    let means = along(values, active, axis)?;
    mean(&means, &active.max(axis)?)
}

fn along(values: &Tensor, active: &Tensor, axis: usize) -> Result<Tensor> {
    let total = (values * active)?.sum(axis)?;
    let count = active.sum(axis)?.maximum(1f64)?;
    Ok((total / count)?)
}
