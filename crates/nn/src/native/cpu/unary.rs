use candle::{Result, Storage, Tensor};

use super::{Held, tensor_like};
use crate::Act;
use crate::axis_map::AxisMap;
use crate::kernels::element::stored;
use crate::kernels::pool::Setting;
use crate::kernels::{act, axis, softmax as kernel};
use crate::native::node::{Backward, record};
use crate::pool::Windows;
use crate::softmax::Along;

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = act::values(&Held::of(&x)?.wide(), act);
    record(&[&x], Storage::Cpu(stored(y, x.dtype())), x.shape(), Activation(act))
}

struct Activation(Act);

impl Backward for Activation {
    const NAME: &'static str = "activation";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let x = inputs[0];
        let dx = act::slopes(&Held::of(x)?.wide(), &Held::of(dy)?.wide(), self.0);
        Ok(vec![Some(tensor_like(dx, x))])
    }
}

/// See [`softmax`](crate::softmax()).
pub(crate) fn softmax(x: &Tensor, along: Along) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = kernel::values(&Held::of(&x)?.wide(), along);
    record(&[&x], Storage::Cpu(stored(y, x.dtype())), x.shape(), Softmax(along))
}

struct Softmax(Along);

impl Backward for Softmax {
    const NAME: &'static str = "softmax";

    fn gradients_by_result(
        &self,
        _: &[&Tensor],
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let dx = kernel::gradient(&Held::of(y)?.wide(), &Held::of(dy)?.wide(), self.0);
        Ok(vec![Some(tensor_like(dx, y))])
    }
}

/// `x` with the map applied along `axis`.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    let x = x.contiguous()?;
    let mut shape = x.dims().to_vec();
    let inner: usize = shape[axis + 1..].iter().product();
    shape[axis] = map.outputs();
    let y = axis::map(&Held::of(&x)?.wide(), inner, map);
    let op = Mapped { inner, map: map.clone() };
    record(&[&x], Storage::Cpu(stored(y, x.dtype())), shape, op)
}

struct Mapped {
    /// Values from one place along the axis to the next.
    inner: usize,
    map: AxisMap,
}

impl Backward for Mapped {
    const NAME: &'static str = "axis map";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dx = axis::map(&Held::of(dy)?.wide(), self.inner, &self.map.transpose());
        Ok(vec![Some(tensor_like(dx, inputs[0]))])
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = Setting::new(&windows).max_pool(&Held::of(&x)?.wide());
    let shape = windows.output_shape();
    record(&[&x], Storage::Cpu(stored(y, x.dtype())), shape, Largest(windows))
}

struct Largest(Windows);

impl Backward for Largest {
    const NAME: &'static str = "max pool";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, setting) = (inputs[0], Setting::new(&self.0));
        let dx = setting.max_pool_gradient(&Held::of(x)?.wide(), &Held::of(dy)?.wide());
        Ok(vec![Some(tensor_like(dx, x))])
    }
}
