use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{Array, Gpu, Lent, kind_of, launch, not_here, tensor};

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
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(
        &self,
        first: &CudaStorage,
        first_layout: &Layout,
        second: &CudaStorage,
        second_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        if first.dtype() != second.dtype() {
            bail!("concat of {:?} and {:?}", first.dtype(), second.dtype());
        }
        let (gpu, kind) = (Gpu::of(&first.device)?, kind_of(first.dtype())?);
        let mut shape = first_layout.dims().to_vec();
        let widths = [last(first_layout.dims()), last(second_layout.dims())];
        let rows = first_layout.shape().elem_count() / widths[0];
        if let Some(width) = shape.last_mut() {
            *width = widths[0] + widths[1];
        }
        let (first, second) =
            (Array::lent(first, first_layout)?, Array::lent(second, second_layout)?);
        let parts = [(&first, widths[0]), (&second, widths[1])];
        Ok((launch::concat(&gpu, kind, parts, rows)?.into_storage()?, shape.into()))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (given, width) = (Lent::of(&dy), last(dy.dims()));
        let (gpu, kind) = (given.gpu()?, kind_of(dy.dtype())?);
        let part = |like: &Tensor, start: usize| {
            if !like.track_op() {
                return Ok(None);
            }
            let columns = (width, start, last(like.dims()));
            let rows = dy.elem_count() / width;
            let part = launch::split(&gpu, kind, &given.array()?, rows, columns)?;
            tensor(part, like.shape()).map(Some)
        };
        Ok((part(first, 0)?, part(second, last(first.dims()))?))
    }
}

fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}
