use std::borrow::Cow;

use candle::{CpuStorage, DType, Result, Storage, Tensor, TensorId};

use super::{Held, tensor, tensor_like};
use crate::geometry::Geometry;
use crate::isa::isa;
use crate::kernels::amx::{self, Grant, Sweep};
use crate::kernels::channels::sums;
use crate::kernels::direct::{self, Plan};
use crate::kernels::element::{Element, Values, stored};
use crate::kernels::reading::{Part, read};
use crate::kernels::winograd::{self, Convolved, Weights};
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
        let (held, held_weight) = (Held::of(&x)?, Held::of(&weight)?);
        let bias = bias.as_ref().map(Held::of).transpose()?;
        let bias = bias.as_ref().map(Held::wide);
        let (values, bias) = (held_weight.wide(), bias.as_deref());
        if let Some(tiles) = op.tiles(x.dtype()) {
            let parts = [plain(held.get(), op.inputs())];
            CpuStorage::BF16(op.in_tiles(tiles, false, &parts, &values, bias))
        } else {
            let weight = Weight::fixed(&weight, &values);
            stored(op.convolve(false, &held.wide(), weight, bias), x.dtype())
        }
    };
    let (y, shape) = (Storage::Cpu(y), op.shape());
    match &bias {
        Some(bias) => record(&[&x, &weight, bias], y, shape, op),
        None => record(&[&x, &weight], y, shape, op),
    }
}

/// The values of a weight.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    values: &'a [f32],
    /// Whose they are, where they never change.
    id: Option<TensorId>,
}

impl<'a> Weight<'a> {
    /// Those of a weight that may change.
    pub(super) fn of(values: &'a [f32]) -> Self {
        Self { values, id: None }
    }

    /// Those of `weight`.
    pub(super) fn fixed(weight: &Tensor, values: &'a [f32]) -> Self {
        Self { values, id: (!weight.track_op()).then(|| weight.id()) }
    }
}

/// A convolution, or its transpose.
pub(crate) struct Convolution {
    pub(crate) geometry: Geometry,
    pub(crate) transposed: bool,
}

/// Fewest channels on either side for which tiles are used. A tile takes 32 channels that are read, and 16 that
/// are written: below, most of it would be zeros.
const CHANNELS: usize = 16;

/// The right to multiply by tiles, where convolutions of activations of type `dtype` are to.
///
/// This is the choice between tiles and all that is done in single precision. In a prototype, on one processor
/// of 2023 (two threads, 32 to 256 channels, 64³ to 8³ voxels, all passes), tiles took 0.31 to 0.85 of the
/// time of Winograd's method, the most where space is small and weights are large, packing these included; no
/// extent was found where they lose. So extents make no difference here; channels do, by reasoning alone.
fn tiles(geometry: &Geometry, dtype: DType) -> Option<Grant> {
    let fewest = geometry.fine_channels.min(geometry.coarse_channels);
    let fits = dtype == DType::BF16 && geometry.groups == 1 && fewest >= CHANNELS;
    if fits { isa().tiles() } else { None }
}

/// Values that are read as they are.
pub(super) fn plain(values: Values<'_>, channels: usize) -> Part<'_> {
    Part { values, channels, norm: None }
}

impl Convolution {
    /// The right to multiply by tiles, where this convolution is to, of activations of type `dtype`.
    pub(super) fn tiles(&self, dtype: DType) -> Option<Grant> {
        tiles(&self.geometry, dtype)
    }

    /// As [`Self::convolve`], by tiles.
    pub(super) fn in_tiles<T: Element>(
        &self,
        tiles: Grant,
        reverse: bool,
        parts: &[Part<'_>],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<T> {
        let adjoint = self.transposed != reverse;
        let sweep =
            if adjoint { Sweep::scatter(&self.geometry) } else { Sweep::gather(&self.geometry) };
        amx::convolve(tiles, &sweep, parts, weight, bias)
    }

    /// As [`Self::of_weight`], by tiles.
    pub(super) fn of_weight_in_tiles(
        &self,
        tiles: Grant,
        parts: &[Part<'_>],
        dy: Values<'_>,
    ) -> Vec<f32> {
        let dy = [plain(dy, self.outputs())];
        let (fine, coarse) = if self.transposed { (&dy[..], parts) } else { (parts, &dy[..]) };
        amx::weight_gradient(tiles, &self.geometry, fine, coarse)
    }

    /// The convolution or, `reverse`, its adjoint, of `x`.
    pub(super) fn convolve(
        &self,
        reverse: bool,
        x: &[f32],
        weight: Weight<'_>,
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let adjoint = self.transposed != reverse;
        if let Some(tiling) = self.tiling(adjoint) {
            let source = winograd::Source::plain(x, tiling.channels());
            let weights = Weights { values: weight.values, adjoint, id: weight.id };
            return winograd::convolve(&tiling, &source, weights, bias, false).values;
        }
        let plan =
            if adjoint { Plan::scatter(&self.geometry) } else { Plan::gather(&self.geometry) };
        direct::convolve(&plan, x, weight.values, bias)
    }

    /// The convolution of `parts` side by side, each normalized where it is to be, and what is known of
    /// its moments.
    pub(super) fn convolve_parts(
        &self,
        parts: &[Part<'_>],
        weight: Weight<'_>,
        bias: Option<&[f32]>,
    ) -> Convolved {
        let adjoint = self.transposed;
        if let Some(tiling) = self.tiling(adjoint)
            && let Some(source) = winograd::Source::new(parts, self.geometry.batch)
        {
            let weights = Weights { values: weight.values, adjoint, id: weight.id };
            return winograd::convolve(&tiling, &source, weights, bias, true);
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

    /// Channels of what is read.
    fn inputs(&self) -> usize {
        if self.transposed { self.geometry.coarse_channels } else { self.geometry.fine_channels }
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
    let (held, weight) = (Held::of(&dy)?, Held::of(&weight)?);
    if let Some(tiles) = op.tiles(dy.dtype()) {
        let parts = [plain(held.get(), op.outputs())];
        let dx = op.in_tiles(tiles, true, &parts, &weight.wide(), None);
        return Ok(super::held(CpuStorage::BF16(dx), shape));
    }
    Ok(tensor(op.convolve(true, &held.wide(), Weight::of(&weight.wide()), None), shape, &dy))
}

/// See [`conv_weight_gradient`](crate::conv_weight_gradient()).
pub(crate) fn conv_weight_gradient(
    x: &Tensor,
    dy: &Tensor,
    shape: &[usize],
    geometry: &Geometry,
) -> Result<Tensor> {
    let (x, dy) = (x.contiguous()?, dy.contiguous()?);
    let (fine, coarse) = (Held::of(&x)?, Held::of(&dy)?);
    let is_half = x.dtype() == dy.dtype();
    let gradient = match tiles(geometry, x.dtype()).filter(|_| is_half) {
        Some(tiles) => {
            let fine = [plain(fine.get(), geometry.fine_channels)];
            let coarse = [plain(coarse.get(), geometry.coarse_channels)];
            amx::weight_gradient(tiles, geometry, &fine, &coarse)
        }
        None => of_weight(geometry, &fine.wide(), &coarse.wide()),
    };
    Tensor::from_vec(gradient, shape, dy.device())
}

impl Backward for Convolution {
    const NAME: &'static str = "conv";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let (dy, tiles) = (Held::of(dy)?, self.tiles(x.dtype()));
        let mut gradients = vec![None, None];
        if x.track_op() {
            let held = Held::of(weight)?;
            let weight = held.wide();
            gradients[0] = Some(match tiles {
                Some(tiles) => {
                    let parts = [plain(dy.get(), self.outputs())];
                    let dx = self.in_tiles(tiles, true, &parts, &weight, None);
                    super::held(CpuStorage::BF16(dx), x.shape())
                }
                None => tensor_like(self.convolve(true, &dy.wide(), Weight::of(&weight), None), x),
            });
        }
        if weight.track_op() {
            let held = Held::of(x)?;
            let gradient = match tiles {
                Some(tiles) => {
                    self.of_weight_in_tiles(tiles, &[plain(held.get(), self.inputs())], dy.get())
                }
                None => self.of_weight(&held.wide(), &dy.wide()),
            };
            gradients[1] = Some(tensor_like(gradient, weight));
        }
        if let Some(bias) = inputs.get(2) {
            let of_bias = || tensor_like(sums(&dy.wide(), bias.elem_count()), bias);
            gradients.push(bias.track_op().then(of_bias));
        }
        Ok(gradients)
    }
}
