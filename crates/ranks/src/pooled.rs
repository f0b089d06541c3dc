use candle::Tensor;

use crate::{Group, Result};

/// The sum of `tensor` over all ranks, with a gradient: such as the sums that a loss of the whole batch is a function of.
///
/// For training with [`mean_gradients`](crate::mean_gradients), where what is computed of the sum is the same on every rank:
/// then the mean of all ranks' gradients is the gradient of one rank that has all of their samples. For that a rank's own
/// gradient is the gradient of the sum times the number of ranks; nothing is sent for it.
///
/// With one rank this is `tensor` itself.
///
/// # Errors
///
/// As [`Group::sum_tensor`].
pub fn pooled(group: &dyn Group, tensor: &Tensor) -> Result<Tensor> {
    if group.size() == 1 {
        return Ok(tensor.clone());
    }
    let own = tensor.detach();
    let sum = group.sum_tensor(&own)?.detach();
    // Zero, exactly, but for its gradient.
    let nothing = (tensor - &own)?.affine(group.size() as f64, 0.0)?;
    Ok((sum + nothing)?)
}
