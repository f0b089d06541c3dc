use std::borrow::Cow;

use candle::{Result, Storage, Tensor};

use super::{Held, tensor, tensor_like};
use crate::geometry::Geometry;
use crate::kernels::channels::sums;
use crate::kernels::direct::{self, Plan};
use crate::kernels::element::stored;
use crate::kernels::reading::{Part, read};
use crate::kernels::winograd::{self, Convolved};
use crate::native::node::{Backward, record};

/// See [`conv`](crate::conv()) and, `transposed`, [`conv_transpose`](crate::conv_transpose()).
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
    transposed: bool,
) -> Result<Tensor> {
    let op = Convolution { geometry, transposed };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let y = {
        let (x, weight) = (Held::of(&x)?, Held::of(&weight)?);
        let bias = bias.as_ref().map(Held::of).transpose()?;
        let bias = bias.as_ref().map(Held::wide);
        op.convolve(false, &x.wide(), &weight.wide(), bias.as_deref())
    };
    let (y, shape) = (Storage::Cpu(stored(y, x.dtype())), op.shape());
    match &bias {
        Some(bias) => record(&[&x, &weight, bias], y, shape, op),
        None => record(&[&x, &weight], y, shape, op),
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
        if let Some(tiling) = self.tiling(adjoint) {
            let source = winograd::Source::plain(x, tiling.channels());
            return winograd::convolve(&tiling, &source, weight, adjoint, bias, false).values;
        }
        let plan =
            if adjoint { Plan::scatter(&self.geometry) } else { Plan::gather(&self.geometry) };
        direct::convolve(&plan, x, weight, bias)
    }

    /// The convolution of `parts` side by side, each normalized where it is to be, and what is known of
    /// its moments.
    pub(super) fn convolve_parts(
        &self,
        parts: &[Part<'_>],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Convolved {
        let adjoint = self.transposed;
        if let Some(tiling) = self.tiling(adjoint)
            && let Some(source) = winograd::Source::new(parts, self.geometry.batch)
        {
            return winograd::convolve(&tiling, &source, weight, adjoint, bias, true);
        }
        let values = self.convolve(false, &self.joined(parts), weight, bias);
        Convolved { values, moments: None }
    }

    /// How to compute the convolution of the fine side or, `adjoint`, that of the coarse one with few
    /// multiplications, if that can be.
    fn tiling(&self, adjoint: bool) -> Option<winograd::Tiling> {
        if adjoint {
            winograd::Tiling::adjoint(&self.geometry)
        } else {
            winograd::Tiling::forward(&self.geometry)
        }
    }

    /// What is read, as one tensor.
    fn joined<'a>(&self, parts: &[Part<'a>]) -> Cow<'a, [f32]> {
        let space = if self.transposed { &self.geometry.coarse } else { &self.geometry.fine };
        read(parts, self.geometry.batch, space.iter().product())
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

    /// The same, where `parts` were read.
    pub(super) fn of_weight_parts(&self, parts: &[Part<'_>], dy: &[f32]) -> Vec<f32> {
        if !self.transposed
            && let Some(tiling) = self.tiling(false)
            && let Some(source) = winograd::Source::new(parts, self.geometry.batch)
        {
            return winograd::weight_gradient(&tiling, &source, dy);
        }
        self.of_weight(&self.joined(parts), dy)
    }
}

/// The gradient of the weight, from both sides of a convolution or its transpose.
fn of_weight(geometry: &Geometry, fine: &[f32], coarse: &[f32]) -> Vec<f32> {
    match winograd::Tiling::forward(geometry) {
        Some(tiling) => {
            let source = winograd::Source::plain(fine, tiling.channels());
            winograd::weight_gradient(&tiling, &source, coarse)
        }
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

impl Backward for Convolution {
    const NAME: &'static str = "conv";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let dy = Held::of(dy)?;
        let dy = dy.wide();
        let mut gradients = vec![None, None];
        if x.track_op() {
            let dx = self.convolve(true, &dy, &Held::of(weight)?.wide(), None);
            gradients[0] = Some(tensor_like(dx, x));
        }
        if weight.track_op() {
            gradients[1] = Some(tensor_like(self.of_weight(&Held::of(x)?.wide(), &dy), weight));
        }
        if let Some(bias) = inputs.get(2) {
            let of_bias = || tensor_like(sums(&dy, bias.elem_count()), bias);
            gradients.push(bias.track_op().then(of_bias));
        }
        Ok(gradients)
    }
}
