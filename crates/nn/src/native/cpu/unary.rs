use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{Held, tensor_like, wide};
use crate::Act;
use crate::axis_map::AxisMap;
use crate::kernels::element::stored;
use crate::kernels::pool::Setting;
use crate::kernels::{act, axis};
use crate::pool::Windows;

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Activation(act))
}

struct Activation(Act);

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = act::values(&wide(x, layout)?, self.0);
        Ok((stored(y, x.dtype()), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let dx = act::slopes(&Held::of(x)?.wide(), &Held::of(&dy)?.wide(), self.0);
        Ok(Some(tensor_like(dx, x)))
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

impl CustomOp1 for Mapped {
    fn name(&self) -> &'static str {
        "axis map"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut shape = layout.dims().to_vec();
        let inner: usize = shape[self.axis + 1..].iter().product();
        shape[self.axis] = self.map.outputs();
        Ok((stored(axis::map(&wide(x, layout)?, inner, &self.map), x.dtype()), shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let inner: usize = x.dims()[self.axis + 1..].iter().product();
        let dx = axis::map(&Held::of(&dy)?.wide(), inner, &self.map.transpose());
        Ok(Some(tensor_like(dx, x)))
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Largest(windows))
}

struct Largest(Windows);

impl CustomOp1 for Largest {
    fn name(&self) -> &'static str {
        "max pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = Setting::new(&self.0).max_pool(&wide(x, layout)?);
        Ok((stored(y, x.dtype()), self.0.output_shape().into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let setting = Setting::new(&self.0);
        let dx = setting.max_pool_gradient(&Held::of(x)?.wide(), &Held::of(&dy)?.wide());
        Ok(Some(tensor_like(dx, x)))
    }
}
