use candle::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::launch::{self, Curve, Kind, Terms};
use super::{Array, Gpu, Lent, kind_of, not_here, tensor};
use crate::Act;
use crate::axis_map::AxisMap;
use crate::pool::Windows;

/// The number of an activation in the kernels' source, and its setting.
#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
pub(super) fn curve(act: Act) -> Curve {
    let (code, setting) = match act {
        Act::Identity => (0, 0.0),
        Act::Relu => (1, 0.0),
        Act::LeakyRelu(slope) => (2, slope),
        Act::Elu(alpha) => (3, alpha),
        Act::Gelu => (4, 0.0),
        Act::GeluTanh => (5, 0.0),
        Act::Silu => (6, 0.0),
        Act::Sigmoid => (7, 0.0),
        Act::Tanh => (8, 0.0),
        Act::Softplus => (9, 0.0),
        Act::LogSigmoid => (10, 0.0),
        Act::Mish => (11, 0.0),
        Act::Hardswish => (12, 0.0),
    };
    Curve { code, setting: setting as f32 }
}

/// The type and the values of an argument, and the device that they are on.
fn argument<'a>(x: &'a CudaStorage, layout: &Layout) -> Result<(Gpu<'a>, Kind, Array<'a>)> {
    use candle::backend::BackendStorage as _;
    Ok((Gpu::of(&x.device)?, kind_of(x.dtype())?, Array::lent(x, layout)?))
}

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Activation(act))
}

struct Activation(Act);

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gpu, kind, x) = argument(x, layout)?;
        let count = layout.shape().elem_count();
        let y = launch::activate(&gpu, kind, &x, count, curve(self.0))?;
        Ok((y.into_storage()?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let (there, given) = (Lent::of(x), Lent::of(&dy));
        let pair = (&there.array()?, &given.array()?);
        let (kind, count) = (kind_of(x.dtype())?, x.elem_count());
        let dx = launch::activate_gradient(&there.gpu()?, kind, pair, count, curve(self.0))?;
        tensor(dx, x.shape()).map(Some)
    }
}

/// `x` with the map applied along `axis`.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Mapped { axis, map: map.clone() })
}

struct Mapped {
    axis: usize,
    map: AxisMap,
}

impl Mapped {
    /// The values around `axis`.
    fn extents(&self, shape: &[usize]) -> [usize; 3] {
        let (outer, inner) = (&shape[..self.axis], &shape[self.axis + 1..]);
        [outer.iter().product(), shape[self.axis], inner.iter().product()]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
fn terms(map: &AxisMap) -> Result<Terms> {
    let mut terms = Terms { starts: vec![0], inputs: Vec::new(), weights: Vec::new() };
    let int = |value: usize| i32::try_from(value).map_err(candle::Error::wrap);
    for output in 0..map.outputs() {
        for &(input, weight) in map.terms(output) {
            terms.inputs.push(int(input)?);
            terms.weights.push(weight as f32);
        }
        terms.starts.push(int(terms.inputs.len())?);
    }
    Ok(terms)
}

impl CustomOp1 for Mapped {
    fn name(&self) -> &'static str {
        "axis map"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gpu, kind, x) = argument(x, layout)?;
        let mut shape = layout.dims().to_vec();
        let y = launch::map_axis(&gpu, kind, &x, self.extents(&shape), &terms(&self.map)?)?;
        shape[self.axis] = self.map.outputs();
        Ok((y.into_storage()?, shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let (given, extents) = (Lent::of(&dy), self.extents(dy.dims()));
        let (kind, map) = (kind_of(x.dtype())?, terms(&self.map.transpose())?);
        let dx = launch::map_axis(&given.gpu()?, kind, &given.array()?, extents, &map)?;
        tensor(dx, x.shape()).map(Some)
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Largest(windows))
}

struct Largest(Windows);

/// `values`, one for each axis, behind as many of `one` as make three.
pub(super) fn three(values: &[usize], one: usize) -> [usize; 3] {
    let mut all = [one; 3];
    all.iter_mut().rev().zip(values.iter().rev()).for_each(|(to, &value)| *to = value);
    all
}

impl Largest {
    fn windows(&self) -> launch::Windows {
        launch::Windows {
            samples: self.0.input.batch,
            channels: self.0.input.channels,
            input: three(&self.0.input.space, 1),
            output: three(&self.0.output, 1),
            kernel: three(&self.0.kernel, 1),
            stride: three(&self.0.stride, 1),
            padding: three(&self.0.padding, 0),
        }
    }
}

impl CustomOp1 for Largest {
    fn name(&self) -> &'static str {
        "max pool"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gpu, kind, x) = argument(x, layout)?;
        let y = launch::max_pool(&gpu, kind, &x, &self.windows())?;
        Ok((y.into_storage()?, self.0.output_shape().into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let (there, given) = (Lent::of(x), Lent::of(&dy));
        let pair = (&there.array()?, &given.array()?);
        let kind = kind_of(x.dtype())?;
        let dx = launch::max_pool_gradient(&there.gpu()?, kind, pair, &self.windows())?;
        tensor(dx, x.shape()).map(Some)
    }
}
