use candle::{Result, Storage, Tensor};

use super::{Held, tensor_like};
use crate::kernels::channels;
use crate::kernels::element::stored;
use crate::native::node::{Backward, record};

/// The channels of two tensors side by side.
pub(crate) fn concat(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let (first, second) = (first.contiguous()?, second.contiguous()?);
    let mut shape = first.dims().to_vec();
    let widths = [last(first.dims()), last(second.dims())];
    if let Some(width) = shape.last_mut() {
        *width = widths[0] + widths[1];
    }
    let parts = (Held::of(&first)?, Held::of(&second)?);
    let joined = channels::join([&parts.0.wide(), &parts.1.wide()], widths);
    record(&[&first, &second], Storage::Cpu(stored(joined, first.dtype())), shape, Concat)
}

struct Concat;

impl Backward for Concat {
    const NAME: &'static str = "concat";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let held = Held::of(dy)?;
        let (values, all) = (held.wide(), last(dy.dims()));
        let mut start = 0;
        let mut gradients = Vec::new();
        for input in inputs {
            let width = last(input.dims());
            let part = || tensor_like(channels::slice(&values, all, start, width), input);
            gradients.push(input.track_op().then(part));
            start += width;
        }
        Ok(gradients)
    }
}

fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}
