use candle::backend::BackendStorage as _;
use candle::{CpuStorage, CudaStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::launch::{self, Extent, Scaling, Standard};
use super::unary::curve;
use super::{Array, Gpu, Lent, kind_of, not_here, tensor};
use crate::Act;
use crate::extents::Extents;
use crate::norm::{Affine, Cells, Statistics};

/// The normalized `x`, and the means and mean square deviations of its cells, in f32.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    act: Act,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (x, extent) = (x.contiguous()?, extent(x)?);
    let cells = match cells {
        Cells::Instance => launch::Cells { samples: 1, channels: 1 },
        Cells::Group(groups) => launch::Cells { samples: 1, channels: extent.channels / groups },
        Cells::Batch => launch::Cells { samples: extent.samples, channels: 1 },
    };
    let (mean, factor, cell_mean, cell_variance) = {
        let there = Lent::of(&x);
        let (kind, values) = (kind_of(x.dtype())?, there.array()?);
        let launch::Statistics { standard, mean, variance } =
            launch::statistics(&there.gpu()?, kind, &values, extent, cells, eps)?;
        let shape = (extent.samples, extent.channels);
        let count = (extent.samples / cells.samples) * (extent.channels / cells.channels);
        (
            tensor(standard.mean, shape)?,
            tensor(standard.factor, shape)?,
            tensor(mean, count)?,
            tensor(variance, count)?,
        )
    };
    let op = Normalization { extent, mean, factor, cells: Some(cells), act };
    Ok((apply(&x, affine, op)?, cell_mean, cell_variance))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    act: Act,
) -> Result<Tensor> {
    let single = |vector: &Tensor| vector.detach().to_dtype(DType::F32)?.contiguous();
    let mean = single(&statistics.mean)?;
    let factor = (single(&statistics.variance)? + eps)?.sqrt()?.recip()?;
    let op = Normalization { extent: extent(x)?, mean, factor, cells: None, act };
    apply(&x.contiguous()?, affine, op)
}

fn extent(x: &Tensor) -> Result<Extent> {
    let extents = Extents::of("normalization", x)?;
    let (samples, voxels, channels) = (extents.batch, extents.voxels(), extents.channels);
    Ok(Extent { samples, voxels, channels })
}

fn apply(x: &Tensor, affine: Affine<'_>, op: Normalization) -> Result<Tensor> {
    let channels = op.extent.channels;
    let constant = |parameter: Option<&Tensor>, value: f32| match parameter {
        Some(parameter) => parameter.contiguous(),
        None => Tensor::full(value, channels, x.device())?.contiguous(),
    };
    if affine.weight.is_none() && affine.bias.is_none() {
        return x.apply_op1(op);
    }
    x.apply_op3(&constant(affine.weight, 1.0)?, &constant(affine.bias, 0.0)?, op)
}

/// A normalization whose statistics are known already, and the activation after it.
struct Normalization {
    extent: Extent,
    /// `(N, C)`, or `(C)` where the statistics were given, as is [`Self::factor`].
    mean: Tensor,
    factor: Tensor,
    /// What the statistics were taken over, if they are functions of the input.
    cells: Option<launch::Cells>,
    act: Act,
}

impl Normalization {
    fn forward(
        &self,
        (x, layout): (&CudaStorage, &Layout),
        scaling: Scaling<'_, Array<'_>>,
    ) -> Result<(CudaStorage, Shape)> {
        let (mean, factor) = (Lent::of(&self.mean), Lent::of(&self.factor));
        let gpu = Gpu::of(&x.device)?;
        let y = launch::normalize(
            &gpu,
            kind_of(x.dtype())?,
            &Array::lent(x, layout)?,
            self.extent,
            &self.standard(&mean, &factor)?,
            scaling,
            curve(self.act),
        )?;
        Ok((y.into_storage()?, layout.shape().clone()))
    }

    fn standard<'a>(
        &self,
        mean: &'a Lent<'_>,
        factor: &'a Lent<'_>,
    ) -> Result<Standard<Array<'a>>> {
        let shared = self.cells.is_none();
        Ok(Standard { mean: mean.array()?, factor: factor.array()?, shared })
    }

    /// Gradients with respect to input, weight and bias, where asked for.
    fn gradients(
        &self,
        x: &Tensor,
        parameters: [Option<&Tensor>; 2],
        dy: &Tensor,
        wanted: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let dy = dy.contiguous()?;
        let (there, given) = (Lent::of(x), Lent::of(&dy));
        let (mean, factor) = (Lent::of(&self.mean), Lent::of(&self.factor));
        let [weight, bias] = parameters.map(|parameter| parameter.map(Lent::of));
        let weight = weight.as_ref().map(Lent::single).transpose()?;
        let bias = bias.as_ref().map(Lent::single).transpose()?;
        let scaling = Scaling { weight: weight.as_ref(), bias: bias.as_ref() };

        let (gpu, kind) = (there.gpu()?, kind_of(x.dtype())?);
        let pair = (&there.array()?, &given.array()?);
        let standard = self.standard(&mean, &factor)?;
        let (extent, curve) = (self.extent, curve(self.act));

        let needs_sums = wanted[1] || wanted[2] || (wanted[0] && self.cells.is_some());
        let sums = if needs_sums {
            let sums = launch::gradient_sums(&gpu, kind, pair, extent, &standard, scaling, curve)?;
            Some(sums)
        } else {
            None
        };
        let of_input = if wanted[0] {
            let means = match (self.cells, &sums) {
                (Some(cells), Some(sums)) => {
                    let weight = scaling.weight;
                    Some(launch::cell_gradients(&gpu, sums, weight, extent, cells)?)
                }
                _ => None,
            };
            let dx = launch::input_gradient(
                &gpu,
                kind,
                pair,
                extent,
                &standard,
                scaling,
                means.as_ref(),
                curve,
            )?;
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let totals = match &sums {
            Some(sums) if wanted[1] || wanted[2] => {
                Some(tensor(launch::over_samples(&gpu, sums, extent)?, (2, extent.channels))?)
            }
            _ => None,
        };
        let total =
            |which: usize, parameter: Option<&Tensor>, wanted: bool| match (&totals, parameter) {
                (Some(totals), Some(parameter)) if wanted => {
                    totals.get(which)?.to_dtype(parameter.dtype()).map(Some)
                }
                _ => Ok(None),
            };
        let of_weight = total(1, parameters[0], wanted[1])?;
        let of_bias = total(0, parameters[1], wanted[2])?;
        Ok([of_input, of_weight, of_bias])
    }
}

const NAME: &str = "normalization";

impl CustomOp1 for Normalization {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((x, layout), Scaling { weight: None, bias: None })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let wanted = [x.track_op(), false, false];
        let [of_input, ..] = self.gradients(x, [None, None], dy, wanted)?;
        Ok(of_input)
    }
}

impl CustomOp3 for Normalization {
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
        let weight = Array::converted(weight, weight_layout, DType::F32)?;
        let bias = Array::converted(bias, bias_layout, DType::F32)?;
        self.forward((x, x_layout), Scaling { weight: Some(&weight), bias: Some(&bias) })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wanted = [x.track_op(), weight.track_op(), bias.track_op()];
        let gradients = self.gradients(x, [Some(weight), Some(bias)], dy, wanted)?;
        let [of_input, of_weight, of_bias] = gradients;
        Ok((of_input, of_weight, of_bias))
    }
}
