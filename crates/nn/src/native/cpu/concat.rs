use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{Held, tensor_like, wide};
use crate::kernels::channels;
use crate::kernels::element::stored;

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
        let parts = [wide(first, first_layout)?, wide(second, second_layout)?];
        let joined = channels::join([&parts[0], &parts[1]], widths);
        Ok((stored(joined, first.dtype()), shape.into()))
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
                return Ok::<_, candle::Error>(None);
            }
            let dy_values = Held::of(&dy)?;
            let values = channels::slice(&dy_values.wide(), last(dy.dims()), start, count);
            Ok(Some(tensor_like(values, like)))
        };
        Ok((part(first, 0, widths[0])?, part(second, widths[0], widths[1])?))
    }
}

fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}
