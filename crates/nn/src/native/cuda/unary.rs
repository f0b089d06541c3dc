use candle::op::BackpropOp;
use candle::{Result, Storage, Tensor};

use super::launch::{self, Curve, Terms};
use super::{Lent, kind_of, stored, tensor};
use crate::Act;
use crate::activation::Form;
use crate::axis_map::AxisMap;
use crate::geometry::three;
use crate::native::node::{Backward, record};
use crate::pool::Windows;
use crate::softmax::Along;

/// An activation as kernels know it.
#[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
pub(super) fn curve(form: Form) -> Curve {
    let (code, setting) = form.number();
    Curve { code: code.into(), setting: setting as f32 }
}

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = {
        let there = Lent::of(&x);
        let (kind, count) = (kind_of(x.dtype())?, x.elem_count());
        stored(launch::activate(&there.gpu()?, kind, &there.array()?, count, curve(act.into()))?)?
    };
    record(&[&x], y, x.shape(), Activation(act))
}

struct Activation(Act);

impl Backward for Activation {
    const NAME: &'static str = "activation";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let x = inputs[0];
        let (there, given) = (Lent::of(x), Lent::of(dy));
        let pair = (&there.array()?, &given.array()?);
        let (kind, count) = (kind_of(x.dtype())?, x.elem_count());
        let dx = launch::activate_gradient(&there.gpu()?, kind, pair, count, curve(self.0.into()))?;
        Ok(vec![Some(tensor(dx, x.shape())?)])
    }
}

/// See [`softmax`](crate::softmax()).
pub(crate) fn softmax(x: &Tensor, along: Along) -> Result<Tensor> {
    let (x, op) = (x.contiguous()?, Softmax(along));
    let y = {
        let there = Lent::of(&x);
        let kind = kind_of(x.dtype())?;
        stored(launch::softmax(&there.gpu()?, kind, &there.array()?, op.along())?)?
    };
    record(&[&x], y, x.shape(), op)
}

struct Softmax(Along);

impl Softmax {
    fn along(&self) -> launch::Along {
        let Along { outer, classes, inner, logarithm } = self.0;
        launch::Along { outer, classes, inner, logarithm }
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
        let (there, given) = (Lent::of(y), Lent::of(dy));
        let pair = (&there.array()?, &given.array()?);
        let kind = kind_of(y.dtype())?;
        let dx = launch::softmax_gradient(&there.gpu()?, kind, pair, self.along())?;
        Ok(vec![Some(tensor(dx, y.shape())?)])
    }
}

/// `x` with the map applied along `axis`.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    let x = x.contiguous()?;
    let mut shape = x.dims().to_vec();
    let y = stored_map(&x, axis, map)?;
    shape[axis] = map.outputs();
    record(&[&x], y, shape, Mapped { axis, map: map.clone() })
}

struct Mapped {
    axis: usize,
    map: AxisMap,
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

/// The values of `x`, mapped.
fn stored_map(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Storage> {
    let (there, shape) = (Lent::of(x), x.dims());
    let (outer, inner) = (&shape[..axis], &shape[axis + 1..]);
    let extents = [outer.iter().product(), shape[axis], inner.iter().product()];
    let kind = kind_of(x.dtype())?;
    stored(launch::map_axis(&there.gpu()?, kind, &there.array()?, extents, &terms(map)?)?)
}

impl Backward for Mapped {
    const NAME: &'static str = "axis map";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dx = stored_map(dy, self.axis, &self.map.transpose())?;
        let dx = Tensor::from_storage(dx, inputs[0].shape(), BackpropOp::none(), false);
        Ok(vec![Some(dx)])
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    let (x, op) = (x.contiguous()?, Largest(windows));
    let y = {
        let there = Lent::of(&x);
        let kind = kind_of(x.dtype())?;
        stored(launch::max_pool(&there.gpu()?, kind, &there.array()?, &op.windows())?)?
    };
    record(&[&x], y, op.0.output_shape(), op)
}

struct Largest(Windows);

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

impl Backward for Largest {
    const NAME: &'static str = "max pool";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let x = inputs[0];
        let (there, given) = (Lent::of(x), Lent::of(dy));
        let pair = (&there.array()?, &given.array()?);
        let kind = kind_of(x.dtype())?;
        let dx = launch::max_pool_gradient(&there.gpu()?, kind, pair, &self.windows())?;
        Ok(vec![Some(tensor(dx, x.shape())?)])
    }
}
