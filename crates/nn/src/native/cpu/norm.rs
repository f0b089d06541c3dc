use std::sync::Arc;

use candle::{Result, Storage, Tensor};

use super::{Held, tensor_like};
use crate::activation::Form;
use crate::extents::Extents;
use crate::kernels::channels::narrow;
use crate::kernels::element::{Values, stored, with_values};
use crate::kernels::norm::{
    Extent, Moments, Scaling, Standard, cell_means, gradient_sums, input_gradient, merged, moments,
    normalize as run,
};
use crate::native::node::{Backward, record};
use crate::norm::{Affine, Cells, Statistics};

/// The normalized `x`, and the means and mean square deviations of its cells.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    form: Form,
) -> Result<(Tensor, Tensor, Tensor)> {
    let x = x.contiguous()?;
    let (op, mean, variance) = Normalization::new(&x, &None, cells, eps, form)?;
    Ok((apply(&x, affine, op)?, mean, variance))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    form: Form,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    apply(&x, affine, Normalization::fixed(&x, statistics, eps, form)?)
}

/// The gradients of a normalization, `(N, *S, C)`, `(C)`, `(C)`, from that of its result.
pub(crate) fn norm_gradients(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    form: Form,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let x = x.contiguous()?;
    let (op, ..) = Normalization::new(&x, &None, cells, eps, form)?;
    let channels = op.extent.channels;
    let vector = |parameter: Option<&Tensor>, value: f32| match parameter {
        Some(parameter) => {
            Ok::<_, candle::Error>(Held::of(&parameter.contiguous()?)?.wide().into_owned())
        }
        None => Ok(vec![value; channels]),
    };
    let (weight, bias) = (vector(affine.weight, 1.0)?, vector(affine.bias, 0.0)?);
    let gradients = op.of_all(&x, (&weight, &bias), dy, [true; 3])?;
    let [of_input, of_weight, of_bias] = gradients.map(Option::unwrap_or_default);
    let vector = |values| Tensor::from_vec(values, channels, x.device());
    Ok([tensor_like(of_input, &x), vector(of_weight)?, vector(of_bias)?])
}

fn extent(x: &Tensor) -> Result<Extent> {
    let extents = Extents::of("normalization", x)?;
    let (batch, voxels, channels) = (extents.batch, extents.voxels(), extents.channels);
    Ok(Extent { batch, voxels, channels })
}

/// The normalization `op` of `x`.
pub(crate) fn apply(x: &Tensor, affine: Affine<'_>, op: Normalization) -> Result<Tensor> {
    let x = x.contiguous()?;
    if affine.weight.is_none() && affine.bias.is_none() {
        let y = op.forward(&x, &op.unscaled())?;
        return record(&[&x], y, x.shape(), op);
    }
    let constant = |parameter: Option<&Tensor>, value: f32| match parameter {
        Some(parameter) => parameter.contiguous(),
        None => Tensor::full(value, op.extent.channels, x.device())?.contiguous(),
    };
    let (weight, bias) = (constant(affine.weight, 1.0)?, constant(affine.bias, 0.0)?);
    let y = op.forward(&x, &vectors(&weight, &bias)?)?;
    record(&[&x, &weight, &bias], y, x.shape(), op)
}

/// Scale and offset, and slopes after the latter, where they are learned.
fn vectors(weight: &Tensor, bias: &Tensor) -> Result<[Vec<f32>; 2]> {
    Ok([Held::of(weight)?.wide().into_owned(), Held::of(bias)?.wide().into_owned()])
}

/// A normalization whose statistics are known already, and the activation after it, whose slopes, where
/// it learns any, come after the offsets.
#[derive(Clone, Debug)]
pub(crate) struct Normalization {
    pub(super) extent: Extent,
    pub(super) standard: Arc<Standard>,
    /// What the statistics were taken over, if they are functions of the input.
    pub(super) cells: Option<Cells>,
    pub(super) form: Form,
}

/// The moments of each channel of each sample of some values, where they were taken as the values were
/// made.
pub(crate) type Known = Option<Arc<[Moments]>>;

/// For each channel, the sum over samples of sums `(N, C)`.
pub(super) fn over_samples(sums: &[f64], channels: usize) -> Vec<f32> {
    let total = |channel: usize| sums.iter().skip(channel).step_by(channels).sum();
    (0..channels).map(|channel| narrow(total(channel))).collect()
}

impl Normalization {
    /// By the statistics of `x`, which is contiguous, and the means and mean square deviations of
    /// its cells; `known` are the moments of its channels, if somebody has taken them.
    pub(crate) fn new(
        x: &Tensor,
        known: &Known,
        cells: Cells,
        eps: f64,
        form: Form,
    ) -> Result<(Self, Tensor, Tensor)> {
        let extent = extent(x)?;
        let moments = if let Some(known) = known {
            merged(known, extent, cells)
        } else {
            let single = with_values!(Held::of(x)?.get(), x => moments(x, extent));
            merged(&single, extent, cells)
        };
        let standard = Arc::new(Standard::new(&moments, extent, cells, eps));
        let vector = |of: fn(&Moments) -> f64| {
            let values: Vec<f32> = moments.iter().map(|moments| narrow(of(moments))).collect();
            Tensor::from_vec(values, moments.len(), x.device())
        };
        let (mean, variance) = (vector(|moments| moments.mean)?, vector(Moments::variance)?);
        Ok((Self { extent, standard, cells: Some(cells), form }, mean, variance))
    }

    /// Of values like `x`, by statistics that are given.
    pub(crate) fn fixed(x: &Tensor, statistics: &Statistics, eps: f64, form: Form) -> Result<Self> {
        let extent = extent(x)?;
        let (mean, variance) = (statistics.mean.contiguous()?, statistics.variance.contiguous()?);
        let (mean, variance) = (Held::of(&mean)?, Held::of(&variance)?);
        let standard = Standard::fixed(&mean.wide(), &variance.wide(), extent.batch, eps);
        Ok(Self { extent, standard: Arc::new(standard), cells: None, form })
    }

    /// Gradients with respect to input, weight and bias, where asked for.
    fn of_all(
        &self,
        x: &Tensor,
        (weight, bias): (&[f32], &[f32]),
        dy: &Tensor,
        wanted: [bool; 3],
    ) -> Result<[Option<Vec<f32>>; 3]> {
        let dy = dy.contiguous()?;
        let (x, dy) = (Held::of(x)?, Held::of(&dy)?);
        let (x, dy) = (x.get(), dy.wide());
        let scaling = Scaling { weight, bias };
        let (extent, standard, form) = (self.extent, &self.standard, self.form);

        let needs_sums = wanted[1] || wanted[2] || (wanted[0] && self.cells.is_some());
        let sums = needs_sums.then(
            || with_values!(x, x => gradient_sums((x, &dy), extent, standard, scaling, form)),
        );
        let total =
            |which: usize| sums.as_ref().map(|sums| over_samples(&sums[which], extent.channels));
        let of_weight = wanted[1].then(|| total(1)).flatten();
        let of_bias = wanted[2].then(|| total(0)).flatten();
        let of_bias = of_bias.map(|offsets| [offsets, self.of_slopes(x, &dy, scaling)].concat());
        let of_input = wanted[0].then(|| {
            let means = self
                .cells
                .zip(sums.as_ref())
                .map(|(cells, sums)| cell_means(sums, extent, weight, cells));
            let means = means.as_ref();
            with_values!(x, x => input_gradient((x, &dy), extent, standard, scaling, means, form))
        });
        Ok([of_input, of_weight, of_bias])
    }

    /// How long the vector of offsets is, with the slopes after them.
    pub(super) fn offsets(&self) -> usize {
        let vectors = if self.form == Form::Prelu { 2 } else { 1 };
        vectors * self.extent.channels
    }

    /// The gradient of the slopes, where those are learned; `dy` is that of the result.
    pub(super) fn of_slopes(&self, x: Values<'_>, dy: &[f32], scaling: Scaling<'_>) -> Vec<f32> {
        if self.form != Form::Prelu {
            return Vec::new();
        }
        let (extent, form) = (self.extent, Form::PreluSlopes);
        let [sums, _] = with_values!(x, x => {
            gradient_sums((x, dy), extent, &self.standard, scaling, form)
        });
        over_samples(&sums, extent.channels)
    }

    fn forward(&self, x: &Tensor, [weight, bias]: &[Vec<f32>; 2]) -> Result<Storage> {
        let (held, scaling) = (Held::of(x)?, Scaling { weight, bias });
        let y = with_values!(held.get(), x => {
            run(x, self.extent, &self.standard, scaling, self.form)
        });
        Ok(Storage::Cpu(stored(y, x.dtype())))
    }

    /// Scale 1 and offset 0.
    fn unscaled(&self) -> [Vec<f32>; 2] {
        let channels = self.extent.channels;
        [vec![1.0; channels], vec![0.0; channels]]
    }
}

impl Backward for Normalization {
    const NAME: &'static str = "normalization";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let [weight, bias] = match inputs {
            [_, weight, bias] => vectors(weight, bias)?,
            _ => self.unscaled(),
        };
        let tracks = |which: usize| inputs.get(which).is_some_and(|input| input.track_op());
        let wanted = [tracks(0), tracks(1), tracks(2)];
        let gradients = self.of_all(inputs[0], (&weight, &bias), dy, wanted)?;
        let pairs = inputs.iter().zip(gradients);
        Ok(pairs.map(|(input, gradient)| Some(tensor_like(gradient?, input))).collect())
    }
}
