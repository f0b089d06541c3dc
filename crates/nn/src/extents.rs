//! The extents of channels-last tensors, and the checks that every layer begins with.

use candle::{Result, Tensor};

use crate::Error;

/// Extents of a tensor `(N, *S, C)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) batch: usize,
    pub(crate) space: Vec<usize>,
    pub(crate) channels: usize,
}

impl Extents {
    pub(crate) fn of(op: &'static str, x: &Tensor) -> Result<Self> {
        let shape = x.dims().to_vec();
        let (batch, space, channels) = match shape.as_slice() {
            [batch, space @ .., channels] if (1..=3).contains(&space.len()) => {
                (*batch, space.to_vec(), *channels)
            }
            _ => return Err(Error::Rank { op, shape }.into()),
        };
        if x.elem_count() == 0 {
            return Err(Error::Empty { op, shape }.into());
        }
        Ok(Self { batch, space, channels })
    }

    /// The number of spatial axes.
    pub(crate) fn rank(&self) -> usize {
        self.space.len()
    }

    /// The shape `(N, *S, C)`.
    pub(crate) fn shape(&self) -> Vec<usize> {
        [&[self.batch], self.space.as_slice(), &[self.channels]].concat()
    }

    /// Voxels of one sample.
    pub(crate) fn voxels(&self) -> usize {
        self.space.iter().product()
    }
}

/// Checks that `setting` has one entry for each of `rank` axes, each at least `least`.
pub(crate) fn per_axis(
    op: &'static str,
    setting: &'static str,
    value: &[usize],
    rank: usize,
    least: usize,
) -> Result<()> {
    if value.len() != rank {
        return Err(Error::Axes { op, setting, actual: value.len(), expected: rank }.into());
    }
    if value.iter().any(|&entry| entry < least) {
        let rule = "each entry is at least 1";
        return Err(Error::Setting { op, setting, value: value.to_vec(), rule }.into());
    }
    Ok(())
}

/// Checks that `parameter`, if there is one, is `(C)`.
pub(crate) fn per_channel(
    op: &'static str,
    name: &'static str,
    parameter: Option<&Tensor>,
    channels: usize,
) -> Result<()> {
    match parameter {
        Some(parameter) if parameter.dims() != [channels] => Err(Error::Parameter {
            op,
            parameter: name,
            actual: parameter.dims().to_vec(),
            expected: format!("[{channels}]"),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Parameters in the type of `x`, for operations that know no other.
pub(crate) fn typed(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<(Tensor, Option<Tensor>)> {
    let bias = bias.map(|bias| bias.to_dtype(x.dtype())).transpose()?;
    Ok((weight.to_dtype(x.dtype())?, bias))
}
