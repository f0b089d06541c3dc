//! Values of an image at given places.

use candle::{D, DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::extents::Extents;

/// How [`grid_sample`] reads an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSampleConfig {
    /// How values between voxels are found.
    pub mode: SampleMode,
    /// What lies outside the image.
    pub padding: SamplePadding,
    /// Whether −1 and 1 are the centers of the outermost voxels, rather than their outer edges.
    pub align_corners: bool,
}

/// How values between voxels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SampleMode {
    /// Linear along each axis.
    Linear,
    /// The nearest voxel; of two, the one with the even index.
    Nearest,
}

/// What lies outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SamplePadding {
    /// Zeros.
    Zeros,
    /// The outermost voxels.
    Border,
    /// The image, mirrored.
    Reflection,
}

/// The values of `x`, `(N, *S, C)`, at the places `grid`, `(N, *S', R)`: `(N, *S', C)`.
///
/// The last axis of `grid` holds the `R` coordinates of a place, *fastest* spatial axis first, from
/// −1 to 1 across the image: PyTorch's convention. Differentiable in `x`, and in `grid` with
/// [`SampleMode::Linear`].
///
/// # Errors
///
/// Where the batches or axes of `x` and `grid` do not fit each other.
pub fn grid_sample(x: &Tensor, grid: &Tensor, config: GridSampleConfig) -> Result<Tensor> {
    let op = "grid_sample";
    let input = Extents::of(op, x)?;
    let places = Extents::of(op, grid)?;
    let rank = input.rank();
    if places.batch != input.batch || places.channels != rank || places.rank() != rank {
        let expected = format!("({}, *S', {rank}) with {rank} spatial axes", input.batch);
        let actual = grid.dims().to_vec();
        return Err(Error::Parameter { op, parameter: "grid", actual, expected }.into());
    }
    let count = places.voxels();
    let grid = grid.contiguous()?.reshape((input.batch, count, rank))?;
    let axes: Vec<Vec<Neighbor>> = (0..rank)
        .map(|axis| {
            let coordinate = grid.narrow(D::Minus1, rank - 1 - axis, 1)?.squeeze(D::Minus1)?;
            neighbors(&coordinate, input.space[axis], config)
        })
        .collect::<Result<_>>()?;

    let rows = x.contiguous()?.reshape((input.batch * input.voxels(), input.channels))?;
    let samples = (0..input.batch).map(|n| n * input.voxels()).map(u32::try_from);
    let samples: Vec<u32> = samples.collect::<std::result::Result<_, _>>()?;
    let samples = Tensor::from_vec(samples, (input.batch, 1), x.device())?;

    let corners: usize = axes.iter().map(Vec::len).product();
    let mut sum = Tensor::zeros((input.batch * count, input.channels), x.dtype(), x.device())?;
    for corner in 0..corners {
        let mut index = Tensor::zeros((input.batch, count), DType::U32, x.device())?;
        let mut weight = Tensor::ones((input.batch, count), x.dtype(), x.device())?;
        let mut rest = corner;
        for (axis, neighbors) in axes.iter().enumerate() {
            let neighbor = &neighbors[rest % neighbors.len()];
            rest /= neighbors.len();
            let extent = u32::try_from(input.space[axis])?;
            index = ((index * f64::from(extent))? + &neighbor.index)?;
            weight = (weight * &neighbor.weight)?;
        }
        let index = index.broadcast_add(&samples)?.flatten_all()?;
        let weight = weight.reshape(((), 1))?;
        let part = rows.index_select(&index, 0)?.broadcast_mul(&weight)?;
        sum = (sum + part)?;
    }
    let shape = [&[input.batch], places.space.as_slice(), &[input.channels]].concat();
    sum.reshape(shape)
}

/// One of the voxels along an axis that a value is made of, for each place.
struct Neighbor {
    /// Its index, inside the image.
    index: Tensor,
    /// Its weight, 0 where it would lie outside.
    weight: Tensor,
}

/// The neighbors of `coordinate`, `(N, V)`, along an axis of `extent` voxels.
fn neighbors(
    coordinate: &Tensor,
    extent: usize,
    config: GridSampleConfig,
) -> Result<Vec<Neighbor>> {
    let size = extent as f64;
    let last = size - 1.0;
    let at = if config.align_corners {
        ((coordinate + 1.0)? * (last / 2.0))?
    } else {
        ((((coordinate + 1.0)? * size)? - 1.0)? / 2.0)?
    };
    let at = match config.padding {
        SamplePadding::Zeros => at,
        SamplePadding::Border => at.clamp(0.0, last)?,
        SamplePadding::Reflection => {
            let edge = if config.align_corners { 0.0 } else { -0.5 };
            reflect(&at, edge, last - edge)?.clamp(0.0, last)?
        }
    };
    let inside = |index: &Tensor| -> Result<Tensor> {
        (index.ge(0.0)? * index.le(last)?)?.to_dtype(at.dtype())
    };
    let whole = |index: &Tensor| index.clamp(0.0, last)?.to_dtype(DType::U32);
    // No gradient flows through the choice of the voxel.
    let fixed = at.detach();
    if config.mode == SampleMode::Nearest {
        let up = (&fixed + 0.5)?.floor()?;
        let tie = (&up - &fixed)?.eq(0.5)?.to_dtype(at.dtype())?;
        let odd = (&up - ((&up * 0.5)?.floor()? * 2.0)?)?;
        let index = (up - (tie * odd)?)?;
        return Ok(vec![Neighbor { index: whole(&index)?, weight: inside(&index)? }]);
    }
    let below = fixed.floor()?;
    let above = (&below + 1.0)?;
    let rest = (&at - &below)?;
    Ok(vec![
        Neighbor { index: whole(&below)?, weight: ((1.0 - &rest)? * inside(&below)?)? },
        Neighbor { index: whole(&above)?, weight: (rest * inside(&above)?)? },
    ])
}

/// `at`, mirrored into the range from `low` to `high` as often as needed.
fn reflect(at: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let span = high - low;
    if span <= 0.0 {
        return at.zeros_like();
    }
    let shifted = (at - low)?;
    let above = shifted.detach().ge(0.0)?;
    let distance = above.where_cond(&shifted, &shifted.neg()?)?;
    let turns = (distance.detach() / span)?.floor()?;
    let rest = (distance - (&turns * span)?)?;
    let odd = (&turns - ((&turns * 0.5)?.floor()? * 2.0)?)?.gt(0.5)?;
    odd.where_cond(&(high - &rest)?, &(rest + low)?)
}
