use candle::backend::BackendStorage as _;
use candle::{CudaStorage, DType, Layout, Result, Storage, Tensor};

use super::launch::{self, COLUMN_BYTES, Grid, Kind};
use super::{Array, Gpu, Lent, kind_of, tensor};
use crate::geometry::{Geometry, three};
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
    let y = stored(&op, &x, &weight, bias.as_ref())?;
    let shape = op.shape();
    match &bias {
        Some(bias) => record(&[&x, &weight, bias], y, shape, op),
        None => record(&[&x, &weight], y, shape, op),
    }
}

/// The values of the result.
fn stored(op: &Convolution, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Storage> {
    let (there, weight, kind) = (Lent::of(x), Lent::of(weight), kind_of(x.dtype())?);
    let bias = bias.map(Lent::of);
    let gpu = there.gpu()?;
    let weight = (weight.storage()?, weight.layout);
    let mut y = op.convolve(false, &gpu, kind, &there.array()?, weight)?;
    if let Some(bias) = &bias {
        let (rows, channels) = op.rows();
        launch::add_bias(&gpu, kind, &mut y, &bias.single()?, rows, channels)?;
    }
    super::stored(y)
}

/// See [`conv_input_gradient`](crate::conv_input_gradient()).
pub(crate) fn conv_input_gradient(
    weight: &Tensor,
    dy: &Tensor,
    geometry: Geometry,
) -> Result<Tensor> {
    let op = Convolution { geometry, transposed: false };
    op.input_gradient(&weight.contiguous()?, &dy.contiguous()?)
}

/// See [`conv_weight_gradient`](crate::conv_weight_gradient()).
pub(crate) fn conv_weight_gradient(
    x: &Tensor,
    dy: &Tensor,
    shape: &[usize],
    geometry: &Geometry,
) -> Result<Tensor> {
    let op = Convolution { geometry: geometry.clone(), transposed: false };
    let gradient = op.weight_gradient(&x.contiguous()?, &dy.contiguous()?)?;
    gradient.reshape(shape)?.to_dtype(dy.dtype())
}

/// A convolution, or its transpose.
struct Convolution {
    geometry: Geometry,
    transposed: bool,
}

/// The convolution, from the fine side to the coarse one; `weight` is packed.
fn gather<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    x: &Array<'a>,
    weight: &Array<'a>,
    grid: &Grid,
) -> Result<Array<'a>> {
    #[cfg(feature = "cudnn")]
    if let Some(y) = super::cudnn::gather(gpu, kind, x, weight, grid)? {
        return Ok(y);
    }
    launch::gather(gpu, kind, x, weight, grid, COLUMN_BYTES)
}

/// The transposed convolution, from the coarse side to the fine one; `weight` is packed.
fn scatter<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    x: &Array<'a>,
    weight: &Array<'a>,
    grid: &Grid,
) -> Result<Array<'a>> {
    #[cfg(feature = "cudnn")]
    if let Some(y) = super::cudnn::scatter(gpu, kind, x, weight, grid)? {
        return Ok(y);
    }
    launch::scatter(gpu, kind, x, weight, grid, COLUMN_BYTES)
}

/// The gradient of the weight, in f32.
fn of_weight<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    fine: &Array<'a>,
    coarse: &Array<'a>,
    grid: &Grid,
) -> Result<Array<'a>> {
    #[cfg(feature = "cudnn")]
    if let Some(packed) = super::cudnn::of_weight(gpu, kind, fine, coarse, grid)? {
        return launch::unpack_gradient(gpu, kind, &packed, grid);
    }
    let packed = launch::of_weight(gpu, kind, fine, coarse, grid, COLUMN_BYTES)?;
    launch::unpack_gradient(gpu, Kind::F32, &packed, grid)
}

impl Convolution {
    fn grid(&self) -> Grid {
        let geometry = &self.geometry;
        Grid {
            samples: geometry.batch,
            fine: three(&geometry.fine, 1),
            coarse: three(&geometry.coarse, 1),
            kernel: three(&geometry.kernel, 1),
            stride: three(&geometry.stride, 1),
            padding: three(&geometry.padding, 0),
            dilation: three(&geometry.dilation, 1),
            fine_channels: geometry.fine_channels,
            coarse_channels: geometry.coarse_channels,
            groups: geometry.groups,
        }
    }

    /// The convolution or, `reverse`, its adjoint.
    fn convolve<'a>(
        &self,
        reverse: bool,
        gpu: &Gpu<'a>,
        kind: Kind,
        x: &Array<'a>,
        (weight, layout): (&'a CudaStorage, &Layout),
    ) -> Result<Array<'a>> {
        let grid = self.grid();
        let of = kind_of(weight.dtype())?;
        let packed = if of == Kind::F32 || of == kind {
            let weight = Array::lent(weight, layout)?;
            launch::pack_weight(gpu, kind, &weight, of, &grid)?
        } else {
            let weight = Array::converted(weight, layout, DType::F32)?;
            launch::pack_weight(gpu, kind, &weight, Kind::F32, &grid)?
        };
        if self.transposed == reverse {
            gather(gpu, kind, x, &packed, &grid)
        } else {
            scatter(gpu, kind, x, &packed, &grid)
        }
    }

    /// The shape of the result.
    fn shape(&self) -> Vec<usize> {
        if self.transposed { self.geometry.fine_shape() } else { self.geometry.coarse_shape() }
    }

    /// The shape of what is read.
    fn input_shape(&self) -> Vec<usize> {
        if self.transposed { self.geometry.coarse_shape() } else { self.geometry.fine_shape() }
    }

    /// Rows and channels of the result.
    fn rows(&self) -> (usize, usize) {
        let grid = self.grid();
        if self.transposed {
            (grid.fine_rows(), grid.fine_channels)
        } else {
            (grid.coarse_rows(), grid.coarse_channels)
        }
    }

    fn input_gradient(&self, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (weight, given) = (Lent::of(weight), Lent::of(dy));
        let (gpu, kind) = (given.gpu()?, kind_of(dy.dtype())?);
        let weight = (weight.storage()?, weight.layout);
        let dx = self.convolve(true, &gpu, kind, &given.array()?, weight)?;
        tensor(dx, self.input_shape())
    }

    /// In f32, as `(coarse channels, fine channels of a group, taps)`.
    fn weight_gradient(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (there, given) = (Lent::of(x), Lent::of(dy));
        let (gpu, kind, grid) = (given.gpu()?, kind_of(dy.dtype())?, self.grid());
        let (x, dy) = (there.array()?, given.array()?);
        let (fine, coarse) = if self.transposed { (&dy, &x) } else { (&x, &dy) };
        let gradient = of_weight(&gpu, kind, fine, coarse, &grid)?;
        tensor(gradient, (grid.coarse_channels, grid.of_group().0, grid.taps()))
    }

    fn bias_gradient(&self, dy: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let given = Lent::of(dy);
        let (gpu, kind, (rows, channels)) = (given.gpu()?, kind_of(dy.dtype())?, self.rows());
        let sums = launch::channel_sums(&gpu, kind, &given.array()?, rows, channels)?;
        tensor(sums, bias.shape())?.to_dtype(bias.dtype())
    }
}

impl Backward for Convolution {
    const NAME: &'static str = "conv";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let of_weight = || {
            let gradient = self.weight_gradient(x, dy)?.reshape(weight.dims())?;
            gradient.to_dtype(weight.dtype())
        };
        let mut gradients = vec![
            x.track_op().then(|| self.input_gradient(weight, dy)).transpose()?,
            weight.track_op().then(of_weight).transpose()?,
        ];
        if let Some(bias) = inputs.get(2) {
            gradients.push(bias.track_op().then(|| self.bias_gradient(dy, bias)).transpose()?);
        }
        Ok(gradients)
    }
}
