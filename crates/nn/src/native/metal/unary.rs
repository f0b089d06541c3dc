use candle::{Result, Tensor};

use super::launch::{Launch, record};
use super::settings::Settings;
use crate::Act;
use crate::axis_map::AxisMap;
use crate::native::node::Backward;
use crate::pool::Windows;
use crate::softmax::Along;

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    let x = x.contiguous()?;
    let op = Activation(act);
    let [y] = op.launch("activate", &x)?.run(&[&x], [(x.dtype(), x.dims())])?;
    record(&[&x], &y, op)
}

struct Activation(Act);

impl Activation {
    fn launch(&self, kernel: &'static str, x: &Tensor) -> Result<Launch> {
        let count = x.elem_count();
        Ok(Launch::each(kernel, x.dtype(), Settings::of(&[count])?.act(self.0.into())?, count))
    }
}

impl Backward for Activation {
    const NAME: &'static str = "activation";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let x = inputs[0];
        let launch = self.launch("activate_gradient", x)?;
        let [dx] = launch.run(&[x, dy], [(x.dtype(), x.dims())])?;
        Ok(vec![Some(dx)])
    }
}

/// See [`softmax`](crate::softmax()).
pub(crate) fn softmax(x: &Tensor, along: Along) -> Result<Tensor> {
    let x = x.contiguous()?;
    let op = Softmax(along);
    let [y] = op.launch("softmax", &x)?.run(&[&x], [(x.dtype(), x.dims())])?;
    record(&[&x], &y, op)
}

struct Softmax(Along);

impl Softmax {
    fn launch(&self, kernel: &'static str, x: &Tensor) -> Result<Launch> {
        let Along { outer, classes, inner, logarithm } = self.0;
        let settings = Settings::of(&[outer, classes, inner, logarithm.into()])?;
        Ok(Launch::each(kernel, x.dtype(), settings, outer * inner))
    }
}

impl Backward for Softmax {
    const NAME: &'static str = "softmax";

    fn gradients_by_result(
        &self,
        _: &[&Tensor],
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let launch = self.launch("softmax_gradient", y)?;
        let [dx] = launch.run(&[y, dy], [(y.dtype(), y.dims())])?;
        Ok(vec![Some(dx)])
    }
}

/// `x` with the map applied along `axis`.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = mapped(&x, axis, map)?;
    record(&[&x], &y, Mapped { axis, map: map.clone() })
}

struct Mapped {
    axis: usize,
    map: AxisMap,
}

/// The map, without a graph.
fn mapped(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    let (inputs, outputs, device) = (map.inputs(), map.outputs(), x.device());
    let (mut starts, mut places, mut factors) = (vec![0u32], Vec::new(), Vec::new());
    for output in 0..outputs {
        for &(input, factor) in map.terms(output) {
            places.push(u32::try_from(input).map_err(candle::Error::wrap)?);
            #[expect(clippy::cast_possible_truncation, reason = "kernels compute so")]
            factors.push(factor as f32);
        }
        starts.push(u32::try_from(places.len()).map_err(candle::Error::wrap)?);
    }
    if places.is_empty() {
        // A tensor without values has no memory that could be shown to a kernel.
        places.push(0);
        factors.push(0.0);
    }
    let (inner, outer): (usize, usize) =
        (x.dims()[axis + 1..].iter().product(), x.dims()[..axis].iter().product());
    let mut shape = x.dims().to_vec();
    shape[axis] = outputs;
    let settings = Settings::of(&[outer, inputs, outputs, inner])?;
    let launch = Launch::each("map_axis", x.dtype(), settings, outer * outputs * inner);
    let terms = places.len();
    let starts = Tensor::from_vec(starts, outputs + 1, device)?;
    let places = Tensor::from_vec(places, terms, device)?;
    let factors = Tensor::from_vec(factors, terms, device)?;
    let [y] = launch.run(&[x, &starts, &places, &factors], [(x.dtype(), shape.as_slice())])?;
    Ok(y)
}

impl Backward for Mapped {
    const NAME: &'static str = "axis map";

    fn gradients(&self, _: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(mapped(dy, self.axis, &self.map.transpose())?)])
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    let x = x.contiguous()?;
    let op = Largest(windows);
    let shape = op.0.output_shape();
    let launch = Launch::each("max_pool", x.dtype(), op.settings()?, shape.iter().product());
    let [y] = launch.run(&[&x], [(x.dtype(), shape.as_slice())])?;
    record(&[&x], &y, op)
}

struct Largest(Windows);

impl Largest {
    fn settings(&self) -> Result<Settings> {
        let Windows { input, output, kernel, stride, padding } = &self.0;
        let mut settings = Settings::of(&[input.batch, input.channels])?;
        for _ in input.rank()..3 {
            settings = settings.and(&[1, 1, 1, 1, 0])?;
        }
        for axis in 0..input.rank() {
            let window = [kernel[axis], stride[axis], padding[axis]];
            settings = settings.and(&[input.space[axis], output[axis]])?.and(&window)?;
        }
        Ok(settings)
    }
}

impl Backward for Largest {
    const NAME: &'static str = "max pool";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let x = inputs[0];
        let launch = Launch::each("max_pool_gradient", x.dtype(), self.settings()?, x.elem_count());
        let [dx] = launch.run(&[x, dy], [(x.dtype(), x.dims())])?;
        Ok(vec![Some(dx)])
    }
}
