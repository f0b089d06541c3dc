use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::{Held, tensor, tensor_like, wide};
use crate::geometry::Geometry;
use crate::kernels::channels::sums;
use crate::kernels::direct::{self, Plan};
use crate::kernels::element::stored;
use crate::kernels::winograd;

/// See [`conv`](crate::conv()).
pub(crate) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    apply(x, weight, bias, Convolution { geometry, transposed: false })
}

/// See [`conv_transpose`](crate::conv_transpose()).
pub(crate) fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    apply(x, weight, bias, Convolution { geometry, transposed: true })
}

fn apply(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, op: Convolution) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// A convolution, or its transpose.
pub(crate) struct Convolution {
    pub(crate) geometry: Geometry,
    pub(crate) transposed: bool,
}

impl Convolution {
    /// The convolution or, `reverse`, its adjoint, of `x`.
    pub(super) fn convolve(
        &self,
        reverse: bool,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let adjoint = self.transposed != reverse;
        let tiling = if adjoint {
            winograd::Tiling::adjoint(&self.geometry)
        } else {
            winograd::Tiling::forward(&self.geometry)
        };
        if let Some(tiling) = tiling {
            return winograd::convolve(&tiling, x, weight, adjoint, bias);
        }
        let plan =
            if adjoint { Plan::scatter(&self.geometry) } else { Plan::gather(&self.geometry) };
        direct::convolve(&plan, x, weight, bias)
    }

    /// Channels of the result.
    pub(super) fn outputs(&self) -> usize {
        if self.transposed { self.geometry.fine_channels } else { self.geometry.coarse_channels }
    }

    /// The shape of the result.
    pub(super) fn shape(&self) -> Vec<usize> {
        if self.transposed { self.geometry.fine_shape() } else { self.geometry.coarse_shape() }
    }

    /// The gradient of the weight, from what was read and the gradient of the result.
    pub(super) fn of_weight(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (fine, coarse) = if self.transposed { (dy, x) } else { (x, dy) };
        of_weight(&self.geometry, fine, coarse)
    }

    /// The result, stored as `dtype`.
    fn forward(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        dtype: DType,
    ) -> (CpuStorage, Shape) {
        (stored(self.convolve(false, x, weight, bias), dtype), self.shape().into())
    }

    fn input_gradient(&self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (weight, dy) = (Held::of(weight)?, Held::of(dy)?);
        Ok(Some(tensor_like(self.convolve(true, &dy.wide(), &weight.wide(), None), x)))
    }

    fn weight_gradient(&self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !weight.track_op() {
            return Ok(None);
        }
        let (x, dy) = (Held::of(x)?, Held::of(dy)?);
        Ok(Some(tensor_like(self.of_weight(&x.wide(), &dy.wide()), weight)))
    }
}

/// The gradient of the weight, from both sides of a convolution or its transpose.
fn of_weight(geometry: &Geometry, fine: &[f32], coarse: &[f32]) -> Vec<f32> {
    match winograd::Tiling::forward(geometry) {
        Some(tiling) => winograd::weight_gradient(&tiling, fine, coarse),
        None => direct::weight_gradient(geometry, fine, coarse),
    }
}

/// See [`conv_input_gradient`](crate::conv_input_gradient()).
pub(crate) fn conv_input_gradient(
    weight: &Tensor,
    dy: &Tensor,
    geometry: Geometry,
) -> Result<Tensor> {
    let (weight, dy) = (weight.contiguous()?, dy.contiguous()?);
    let shape = geometry.fine_shape();
    let op = Convolution { geometry, transposed: false };
    let dx = op.convolve(true, &Held::of(&dy)?.wide(), &Held::of(&weight)?.wide(), None);
    Ok(tensor(dx, shape, &dy))
}

/// See [`conv_weight_gradient`](crate::conv_weight_gradient()).
pub(crate) fn conv_weight_gradient(
    x: &Tensor,
    dy: &Tensor,
    shape: &[usize],
    geometry: &Geometry,
) -> Result<Tensor> {
    let (x, dy) = (x.contiguous()?, dy.contiguous()?);
    let gradient = of_weight(geometry, &Held::of(&x)?.wide(), &Held::of(&dy)?.wide());
    Tensor::from_vec(gradient, shape, dy.device())
}

const NAME: &str = "conv";

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (values, weight) = (wide(x, x_layout)?, wide(weight, weight_layout)?);
        Ok(self.forward(&values, &weight, None, x.dtype()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        Ok((self.input_gradient(x, weight, &dy)?, self.weight_gradient(x, weight, &dy)?))
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (values, weight) = (wide(x, x_layout)?, wide(weight, weight_layout)?);
        Ok(self.forward(&values, &weight, Some(&wide(bias, bias_layout)?), x.dtype()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let of_bias = if bias.track_op() {
            let sums = sums(&Held::of(&dy)?.wide(), bias.elem_count());
            Some(tensor_like(sums, bias))
        } else {
            None
        };
        let of_input = self.input_gradient(x, weight, &dy)?;
        Ok((of_input, self.weight_gradient(x, weight, &dy)?, of_bias))
    }
}
