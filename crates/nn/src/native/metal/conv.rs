use candle::{DType, Result, Tensor};

use super::launch::{Launch, THREADS, TILE_THREADS, record};
use super::norm::sums;
use super::settings::Settings;
use super::weight_gradient::weight_gradient;
use crate::geometry::Geometry;
use crate::native::node::Backward;

/// See [`conv`](crate::conv()) and, `transposed`, [`conv_transpose`](crate::conv_transpose()).
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
    transposed: bool,
) -> Result<Tensor> {
    let op = Convolution { geometry, transposed };
    let (x, weight) = (x.contiguous()?, parameter(weight)?);
    let bias = bias.map(parameter).transpose()?;
    let y = op.convolve(false, &x, &weight, bias.as_ref())?;
    match &bias {
        Some(bias) => record(&[&x, &weight, bias], &y, op),
        None => record(&[&x, &weight], &y, op),
    }
}

/// See [`conv_input_gradient`](crate::conv_input_gradient()).
pub(crate) fn conv_input_gradient(
    weight: &Tensor,
    dy: &Tensor,
    geometry: Geometry,
) -> Result<Tensor> {
    let op = Convolution { geometry, transposed: false };
    op.convolve(true, &dy.contiguous()?, &parameter(weight)?, None)
}

/// A parameter as kernels take it: contiguous and in single precision. The conversion, where there
/// is one, is part of the graph, and gives the gradient the parameter's type.
pub(super) fn parameter(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.contiguous()
}

/// A convolution, or its transpose.
struct Convolution {
    geometry: Geometry,
    transposed: bool,
}

/// Channels of a group up to which tiles are not worth it.
const FEW: usize = 4;
/// Rows and columns of a tile of one SIMD group.
pub(super) const SIDE: usize = 32;

/// The fields that kernels know a geometry by, but for the last two. Axes that are missing have
/// extent 1.
pub(super) fn fields(geometry: &Geometry) -> Result<Settings> {
    let groups = geometry.groups;
    let channels = [geometry.fine_channels / groups, geometry.coarse_channels / groups];
    let mut settings = Settings::of(&[geometry.batch, groups])?.and(&channels)?;
    for _ in geometry.rank()..3 {
        settings = settings.and(&[1, 1, 1, 1, 0, 1])?;
    }
    for axis in 0..geometry.rank() {
        settings = settings.and(&[
            geometry.fine[axis],
            geometry.coarse[axis],
            geometry.kernel[axis],
            geometry.stride[axis],
            geometry.padding[axis],
            geometry.dilation[axis],
        ])?;
    }
    Ok(settings)
}

impl Convolution {
    /// The convolution or, `reverse`, its adjoint, of `x`.
    fn convolve(
        &self,
        reverse: bool,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let geometry = &self.geometry;
        let adjoint = self.transposed != reverse;
        let settings = fields(geometry)?.and(&[adjoint.into(), bias.is_some().into()])?;

        let weights = weight.elem_count();
        let pack = Launch::each("pack_weight", x.dtype(), settings.clone(), weights);
        let [packed] = pack.run(&[weight], [(DType::F32, &[weights])])?;

        // The adjoint of a stride computes what leaves each residue apart.
        let residue = |axis: usize| geometry.fine[axis].div_ceil(geometry.stride[axis]);
        let (shape, outputs, phases, space): (_, _, usize, usize) = if adjoint {
            let phases = geometry.stride.iter().product();
            let space = (0..geometry.rank()).map(residue).product();
            (geometry.fine_shape(), geometry.fine_channels, phases, space)
        } else {
            let space = geometry.coarse.iter().product();
            (geometry.coarse_shape(), geometry.coarse_channels, 1, space)
        };
        let (places, outputs) = (geometry.batch * space, outputs / geometry.groups);
        let parts = geometry.groups * phases;
        let (kernel, rows, columns, threads) = if outputs <= FEW {
            ("convolve_plain", (places * outputs).div_ceil(THREADS), 1, THREADS)
        } else if outputs <= SIDE {
            ("convolve_narrow", places.div_ceil(4 * SIDE), 1, TILE_THREADS)
        } else {
            let columns = outputs.div_ceil(2 * SIDE);
            ("convolve_wide", places.div_ceil(2 * SIDE), columns, TILE_THREADS)
        };
        let groups = [rows, columns, parts];
        let launch = Launch { kernel, element: x.dtype(), settings, groups, threads };
        let [y] =
            launch.run(&[x, &packed, bias.unwrap_or(&packed)], [(x.dtype(), shape.as_slice())])?;
        Ok(y)
    }
}

impl Backward for Convolution {
    const NAME: &'static str = "conv";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let of_input = || self.convolve(true, dy, weight, None);
        let of_weight = || {
            let (fine, coarse) = if self.transposed { (dy, x) } else { (x, dy) };
            weight_gradient(&self.geometry, fine, coarse, weight.dims())
        };
        let mut gradients = vec![
            x.track_op().then(of_input).transpose()?,
            weight.track_op().then(of_weight).transpose()?,
        ];
        if let Some(bias) = inputs.get(2) {
            let of_bias = || sums(dy, bias.elem_count());
            gradients.push(bias.track_op().then(of_bias).transpose()?);
        }
        Ok(gradients)
    }
}
