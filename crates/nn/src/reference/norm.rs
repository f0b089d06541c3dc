use candle::{Result, Tensor};

use super::{activate, prelu};
use crate::activation::Activation;
use crate::extents::Extents;
use crate::norm::{Affine, Cells, Statistics};

/// The normalized `x`, and the means and mean square deviations of its cells.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    act: Activation<'_>,
) -> Result<(Tensor, Tensor, Tensor)> {
    let extents = Extents::of("normalization", x)?;
    let (batch, voxels, channels) = (extents.batch, extents.voxels(), extents.channels);
    let (shape, axes): (Vec<usize>, &[usize]) = match cells {
        Cells::Instance => (vec![batch, voxels, channels], &[1]),
        Cells::Group(groups) => (vec![batch, voxels, groups, channels / groups], &[1, 3]),
        Cells::Batch => (vec![batch * voxels, channels], &[0]),
    };
    let cells = x.contiguous()?.reshape(shape)?;
    let mean = cells.mean_keepdim(axes)?;
    let centered = cells.broadcast_sub(&mean)?;
    let variance = centered.sqr()?.mean_keepdim(axes)?;
    let standard = centered.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let y = finish(&standard.reshape(x.dims())?, affine, act)?;
    Ok((y, mean, variance))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    act: Activation<'_>,
) -> Result<Tensor> {
    let deviation = (&statistics.variance + eps)?.sqrt()?;
    let standard = x.broadcast_sub(&statistics.mean)?.broadcast_div(&deviation)?;
    finish(&standard, affine, act)
}

fn finish(standard: &Tensor, affine: Affine<'_>, act: Activation<'_>) -> Result<Tensor> {
    let mut y = standard.clone();
    if let Some(weight) = affine.weight {
        y = y.broadcast_mul(weight)?;
    }
    if let Some(bias) = affine.bias {
        y = y.broadcast_add(bias)?;
    }
    match act {
        Activation::Act(act) => activate(&y, act),
        Activation::Prelu(slopes) => prelu(&y, slopes),
    }
}
