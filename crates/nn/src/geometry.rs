//! What a convolution and its transpose have in common: the adjoint pair of one geometry.

use candle::{Result, Tensor};

use crate::extents::{Extents, per_axis};
use crate::{ConvConfig, ConvTransposeConfig, Error};

/// A convolution from a fine grid to a coarse one; its transpose goes the other way.
///
/// The weight is `(coarse channels, fine channels / groups, *K)` for both. Output voxel `o` of the
/// convolution sees input voxel `o · stride + tap · dilation − padding`, along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) fine: Vec<usize>,
    pub(crate) coarse: Vec<usize>,
    pub(crate) fine_channels: usize,
    pub(crate) coarse_channels: usize,
    pub(crate) kernel: Vec<usize>,
    pub(crate) stride: Vec<usize>,
    pub(crate) padding: Vec<usize>,
    pub(crate) dilation: Vec<usize>,
    pub(crate) groups: usize,
}

/// `list` with `fill` in front, up to three entries.
pub(crate) fn three(list: &[usize], fill: usize) -> [usize; 3] {
    let mut padded = [fill; 3];
    padded[3 - list.len()..].copy_from_slice(list);
    padded
}

impl Geometry {
    /// Of a convolution of `x`, the fine side.
    pub(crate) fn of_conv(x: &Tensor, weight: &Tensor, config: &ConvConfig) -> Result<Self> {
        let op = "conv";
        let input = Extents::of(op, x)?;
        let rank = input.rank();
        per_axis(op, "stride", &config.stride, rank, 1)?;
        per_axis(op, "padding", &config.padding, rank, 0)?;
        per_axis(op, "dilation", &config.dilation, rank, 1)?;
        let groups = config.groups;
        if groups == 0 || input.channels % groups != 0 {
            let rule = "it divides the channels of the input";
            return Err(Error::Setting { op, setting: "groups", value: vec![groups], rule }.into());
        }
        let fits = weight.rank() == rank + 2
            && weight.dims()[1] == input.channels / groups
            && weight.dims()[0].is_multiple_of(groups)
            && weight.elem_count() > 0;
        if !fits {
            let expected = format!("(Cout, {}, *K) over {rank} axes", input.channels / groups);
            return Err(wrong_weight(op, weight, expected));
        }
        let kernel = weight.dims()[2..].to_vec();
        let window: Vec<usize> =
            (0..rank).map(|axis| config.dilation[axis] * (kernel[axis] - 1) + 1).collect();
        let coarse = (0..rank).map(|axis| {
            let padded = input.space[axis] + 2 * config.padding[axis];
            Some(padded.checked_sub(window[axis])? / config.stride[axis] + 1)
        });
        let Some(coarse) = coarse.collect() else {
            let padding = config.padding.clone();
            return Err(Error::Window { op, window, space: input.space, padding }.into());
        };
        Ok(Self {
            batch: input.batch,
            fine: input.space,
            coarse,
            fine_channels: input.channels,
            coarse_channels: weight.dims()[0],
            kernel,
            stride: config.stride.clone(),
            padding: config.padding.clone(),
            dilation: config.dilation.clone(),
            groups,
        })
    }

    /// Of a transposed convolution of `x`, the coarse side.
    pub(crate) fn of_transpose(
        x: &Tensor,
        weight: &Tensor,
        config: &ConvTransposeConfig,
    ) -> Result<Self> {
        let op = "conv_transpose";
        let input = Extents::of(op, x)?;
        let rank = input.rank();
        per_axis(op, "stride", &config.stride, rank, 1)?;
        per_axis(op, "padding", &config.padding, rank, 0)?;
        per_axis(op, "output_padding", &config.output_padding, rank, 0)?;
        per_axis(op, "dilation", &config.dilation, rank, 1)?;
        let groups = config.groups;
        if groups == 0 || input.channels % groups != 0 {
            let rule = "it divides the channels of the input";
            return Err(Error::Setting { op, setting: "groups", value: vec![groups], rule }.into());
        }
        let largest = |axis: usize| config.stride[axis].max(config.dilation[axis]);
        if (0..rank).any(|axis| config.output_padding[axis] >= largest(axis)) {
            let rule = "each entry is below the stride or the dilation of its axis";
            let value = config.output_padding.clone();
            return Err(Error::Setting { op, setting: "output_padding", value, rule }.into());
        }
        let fits = weight.rank() == rank + 2
            && weight.dims()[0] == input.channels
            && weight.elem_count() > 0;
        if !fits {
            let expected = format!("({}, Cout / groups, *K) over {rank} axes", input.channels);
            return Err(wrong_weight(op, weight, expected));
        }
        let kernel = weight.dims()[2..].to_vec();
        let window: Vec<usize> =
            (0..rank).map(|axis| config.dilation[axis] * (kernel[axis] - 1) + 1).collect();
        let fine = (0..rank).map(|axis| {
            let reach = (input.space[axis] - 1) * config.stride[axis] + window[axis];
            let fine =
                (reach + config.output_padding[axis]).checked_sub(2 * config.padding[axis])?;
            (fine > 0).then_some(fine)
        });
        let Some(fine) = fine.collect() else {
            let padding = config.padding.clone();
            return Err(Error::Window { op, window, space: input.space, padding }.into());
        };
        Ok(Self {
            batch: input.batch,
            fine,
            coarse: input.space,
            fine_channels: weight.dims()[1] * groups,
            coarse_channels: input.channels,
            kernel,
            stride: config.stride.clone(),
            padding: config.padding.clone(),
            dilation: config.dilation.clone(),
            groups,
        })
    }

    /// The number of spatial axes.
    pub(crate) fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Positions of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The position in the kernel of tap number `tap`, slowest axis first.
    pub(crate) fn tap(&self, tap: usize) -> Vec<usize> {
        let mut rest = tap;
        let mut position = vec![0; self.rank()];
        for (entry, &extent) in position.iter_mut().zip(&self.kernel).rev() {
            *entry = rest % extent;
            rest /= extent;
        }
        position
    }

    /// The shape `(N, *S, C)` of the fine side.
    pub(crate) fn fine_shape(&self) -> Vec<usize> {
        [&[self.batch], self.fine.as_slice(), &[self.fine_channels]].concat()
    }

    /// The shape `(N, *S, C)` of the coarse side.
    pub(crate) fn coarse_shape(&self) -> Vec<usize> {
        [&[self.batch], self.coarse.as_slice(), &[self.coarse_channels]].concat()
    }
}

fn wrong_weight(op: &'static str, weight: &Tensor, expected: String) -> candle::Error {
    let actual = weight.dims().to_vec();
    Error::Parameter { op, parameter: "weight", actual, expected }.into()
}
