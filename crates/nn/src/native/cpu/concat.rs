use candle::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{Values, slice, tensor_like};
use crate::kernels::channels;

/// The channels of two tensors side by side.
pub(crate) fn concat(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    first.contiguous()?.apply_op2(&second.contiguous()?, Concat)
}

struct Concat;

impl CustomOp2 for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut shape = first_layout.dims().to_vec();
        let widths = [last(first_layout.dims()), last(second_layout.dims())];
        if let Some(width) = shape.last_mut() {
            *width = widths[0] + widths[1];
        }
        let parts = [slice(first, first_layout)?, slice(second, second_layout)?];
        Ok((CpuStorage::F32(channels::join(parts, widths)), shape.into()))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let widths = [last(first.dims()), last(second.dims())];
        let part = |like: &Tensor, start: usize, count: usize| {
            if !like.track_op() {
                return Ok(None);
            }
            let values = channels::slice(Values::of(&dy)?.get(), last(dy.dims()), start, count);
            tensor_like(values, like).map(Some)
        };
        Ok((part(first, 0, widths[0])?, part(second, widths[0], widths[1])?))
    }
}

fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}
