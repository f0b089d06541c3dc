use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::launch::{self, COLUMN_BYTES, Grid, Kind};
use super::unary::three;
use super::{Array, Gpu, Lent, kind_of, not_here, tensor};
use crate::geometry::Geometry;

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

    fn forward(
        &self,
        (x, x_layout): (&CudaStorage, &Layout),
        weight: (&CudaStorage, &Layout),
        bias: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let (gpu, kind) = (Gpu::of(&x.device)?, kind_of(x.dtype())?);
        let x = Array::lent(x, x_layout)?;
        let mut y = self.convolve(false, &gpu, kind, &x, weight)?;
        if let Some((bias, layout)) = bias {
            let bias = Array::converted(bias, layout, DType::F32)?;
            let (rows, channels) = self.rows();
            launch::add_bias(&gpu, kind, &mut y, &bias, rows, channels)?;
        }
        Ok((y.into_storage()?, self.shape().into()))
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

    fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let of_input = if x.track_op() { Some(self.input_gradient(weight, dy)?) } else { None };
        let of_weight = if weight.track_op() {
            let gradient = self.weight_gradient(x, dy)?.reshape(weight.dims())?;
            Some(gradient.to_dtype(weight.dtype())?)
        } else {
            None
        };
        Ok((of_input, of_weight))
    }

    fn bias_gradient(&self, dy: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let given = Lent::of(dy);
        let (gpu, kind, (rows, channels)) = (given.gpu()?, kind_of(dy.dtype())?, self.rows());
        let sums = launch::channel_sums(&gpu, kind, &given.array()?, rows, channels)?;
        tensor(sums, bias.shape())?.to_dtype(bias.dtype())
    }
}

const NAME: &str = "conv";

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, weight, &dy.contiguous()?)
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
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
        let of_bias = if bias.track_op() { Some(self.bias_gradient(&dy, bias)?) } else { None };
        let (of_input, of_weight) = self.gradients(x, weight, &dy)?;
        Ok((of_input, of_weight, of_bias))
    }
}
