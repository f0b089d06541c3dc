use candle::{Result, Tensor, bail};

use super::{Lent, kind_of, launch, stored, tensor};
use crate::native::node::{Backward, record};

/// The channels of two tensors side by side.
pub(crate) fn concat(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    if first.dtype() != second.dtype() {
        bail!("concat of {:?} and {:?}", first.dtype(), second.dtype());
    }
    let (first, second) = (first.contiguous()?, second.contiguous()?);
    let mut shape = first.dims().to_vec();
    let widths = [last(first.dims()), last(second.dims())];
    let rows = first.elem_count() / widths[0];
    if let Some(width) = shape.last_mut() {
        *width = widths[0] + widths[1];
    }
    let y = {
        let (one, other) = (Lent::of(&first), Lent::of(&second));
        let (gpu, kind) = (one.gpu()?, kind_of(first.dtype())?);
        let parts = [(&one.array()?, widths[0]), (&other.array()?, widths[1])];
        stored(launch::concat(&gpu, kind, parts, rows)?)?
    };
    record(&[&first, &second], y, shape, Concat)
}

struct Concat;

impl Backward for Concat {
    const NAME: &'static str = "concat";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (given, width) = (Lent::of(dy), last(dy.dims()));
        let (gpu, kind, rows) = (given.gpu()?, kind_of(dy.dtype())?, dy.elem_count() / width);
        let mut start = 0;
        let mut gradients = Vec::new();
        for input in inputs {
            let columns = (width, start, last(input.dims()));
            start += columns.2;
            gradients.push(if input.track_op() {
                let part = launch::split(&gpu, kind, &given.array()?, rows, columns)?;
                Some(tensor(part, input.shape())?)
            } else {
                None
            });
        }
        Ok(gradients)
    }
}

fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}
