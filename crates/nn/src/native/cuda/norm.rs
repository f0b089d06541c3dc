use candle::{DType, Result, Storage, Tensor};

use super::launch::{self, Extent, Scaling, Standard};
use super::unary::curve;
use super::{Array, Lent, kind_of, stored, tensor};
use crate::activation::Form;
use crate::extents::Extents;
use crate::native::node::{Backward, record};
use crate::norm::{Affine, Cells, Statistics};

/// The normalized `x`, and the means and mean square deviations of its cells, in f32.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    form: Form,
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
    let op = Normalization { extent, mean, factor, cells: Some(cells), form };
    Ok((apply(&x, affine, op)?, cell_mean, cell_variance))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    form: Form,
) -> Result<Tensor> {
    let single = |vector: &Tensor| vector.detach().to_dtype(DType::F32)?.contiguous();
    let mean = single(&statistics.mean)?;
    let factor = (single(&statistics.variance)? + eps)?.sqrt()?.recip()?;
    let op = Normalization { extent: extent(x)?, mean, factor, cells: None, form };
    apply(&x.contiguous()?, affine, op)
}

fn extent(x: &Tensor) -> Result<Extent> {
    let extents = Extents::of("normalization", x)?;
    let (samples, voxels, channels) = (extents.batch, extents.voxels(), extents.channels);
    Ok(Extent { samples, voxels, channels })
}

fn apply(x: &Tensor, affine: Affine<'_>, op: Normalization) -> Result<Tensor> {
    if affine.weight.is_none() && affine.bias.is_none() {
        return record(&[x], op.forward(x, [None, None])?, x.shape(), op);
    }
    let constant = |parameter: Option<&Tensor>, value: f32| match parameter {
        Some(parameter) => parameter.contiguous(),
        None => Tensor::full(value, op.extent.channels, x.device())?.contiguous(),
    };
    let (weight, bias) = (constant(affine.weight, 1.0)?, constant(affine.bias, 0.0)?);
    let y = op.forward(x, [Some(&weight), Some(&bias)])?;
    record(&[x, &weight, &bias], y, x.shape(), op)
}

/// A normalization whose statistics are known already, and the activation after it, whose slopes, where
/// it learns any, come after the offsets.
struct Normalization {
    extent: Extent,
    /// `(N, C)`, or `(C)` where the statistics were given, as is [`Self::factor`].
    mean: Tensor,
    factor: Tensor,
    /// What the statistics were taken over, if they are functions of the input.
    cells: Option<launch::Cells>,
    form: Form,
}

impl Normalization {
    fn forward(&self, x: &Tensor, parameters: [Option<&Tensor>; 2]) -> Result<Storage> {
        let (there, mean, factor) = (Lent::of(x), Lent::of(&self.mean), Lent::of(&self.factor));
        let [weight, bias] = parameters.map(|parameter| parameter.map(Lent::of));
        let weight = weight.as_ref().map(Lent::single).transpose()?;
        let bias = bias.as_ref().map(Lent::single).transpose()?;
        stored(launch::normalize(
            &there.gpu()?,
            kind_of(x.dtype())?,
            &there.array()?,
            self.extent,
            &self.standard(&mean, &factor)?,
            Scaling { weight: weight.as_ref(), bias: bias.as_ref() },
            curve(self.form),
        )?)
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
    fn of_all(
        &self,
        x: &Tensor,
        parameters: [Option<&Tensor>; 2],
        dy: &Tensor,
        wanted: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (there, given) = (Lent::of(x), Lent::of(dy));
        let (mean, factor) = (Lent::of(&self.mean), Lent::of(&self.factor));
        let [weight, bias] = parameters.map(|parameter| parameter.map(Lent::of));
        let weight = weight.as_ref().map(Lent::single).transpose()?;
        let bias = bias.as_ref().map(Lent::single).transpose()?;
        let scaling = Scaling { weight: weight.as_ref(), bias: bias.as_ref() };

        let (gpu, kind) = (there.gpu()?, kind_of(x.dtype())?);
        let pair = (&there.array()?, &given.array()?);
        let standard = self.standard(&mean, &factor)?;
        let (extent, curve) = (self.extent, curve(self.form));

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
        let mut of_bias = total(0, parameters[1], wanted[2])?;
        if let (Form::Prelu, Some(offsets)) = (self.form, &of_bias) {
            let curve = super::unary::curve(Form::PreluSlopes);
            let sums = launch::gradient_sums(&gpu, kind, pair, extent, &standard, scaling, curve)?;
            let sums = tensor(launch::over_samples(&gpu, &sums, extent)?, (2, extent.channels))?;
            of_bias = Some(Tensor::cat(&[offsets, &sums.get(0)?.to_dtype(offsets.dtype())?], 0)?);
        }
        Ok([of_input, of_weight, of_bias])
    }
}

impl Backward for Normalization {
    const NAME: &'static str = "normalization";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let parameters = [inputs.get(1).copied(), inputs.get(2).copied()];
        let tracks = |which: usize| inputs.get(which).is_some_and(|input| input.track_op());
        let wanted = [tracks(0), tracks(1), tracks(2)];
        let gradients = self.of_all(inputs[0], parameters, dy, wanted)?;
        Ok(gradients.into_iter().take(inputs.len()).collect())
    }
}
