use candle::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{Values, slice, tensor_like};
use crate::Act;
use crate::axis_map::AxisMap;
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
        let y = act::values(slice(x, layout)?, self.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let dx = act::slopes(Values::of(x)?.get(), Values::of(&dy)?.get(), self.0);
        tensor_like(dx, x).map(Some)
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
        Ok((CpuStorage::F32(axis::map(slice(x, layout)?, inner, &self.map)), shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let inner: usize = x.dims()[self.axis + 1..].iter().product();
        let dx = axis::map(Values::of(&dy)?.get(), inner, &self.map.transpose());
        tensor_like(dx, x).map(Some)
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
        let y = Setting::new(&self.0).max_pool(slice(x, layout)?);
        Ok((CpuStorage::F32(y), self.0.output_shape().into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let dy = dy.contiguous()?;
        let setting = Setting::new(&self.0);
        let dx = setting.max_pool_gradient(Values::of(x)?.get(), Values::of(&dy)?.get());
        tensor_like(dx, x).map(Some)
    }
}
