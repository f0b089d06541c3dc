use candle::{D, Result, Tensor};

use super::launch::{Launch, record};
use super::settings::Settings;
use crate::native::node::Backward;

/// The channels of two tensors side by side.
pub(crate) fn concat(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    if first.dtype() != second.dtype() {
        let types = (first.dtype(), second.dtype());
        candle::bail!("concat of tensors of types {types:?}");
    }
    let (first, second) = (first.contiguous()?, second.contiguous()?);
    let widths = [first.dim(D::Minus1)?, second.dim(D::Minus1)?];
    let voxels = first.elem_count() / widths[0].max(1);
    let mut shape = first.dims().to_vec();
    if let Some(width) = shape.last_mut() {
        *width = widths[0] + widths[1];
    }
    let settings = Settings::of(&[voxels, widths[0], widths[1]])?;
    let launch = Launch::each("join", first.dtype(), settings, shape.iter().product());
    let [y] = launch.run(&[&first, &second], [(first.dtype(), shape.as_slice())])?;
    record(&[&first, &second], &y, Concat)
}

struct Concat;

impl Backward for Concat {
    const NAME: &'static str = "concat";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = dy.detach();
        let mut start = 0;
        let part = |input: &&Tensor| {
            let width = input.dim(D::Minus1)?;
            let from = start;
            start += width;
            let part = || dy.narrow(D::Minus1, from, width)?.contiguous();
            input.track_op().then(part).transpose()
        };
        inputs.iter().map(part).collect()
    }
}
