//! Pooling.

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::axis_map::{AxisMap, map_axes};
use crate::backend::is_native;
use crate::extents::{Extents, per_axis};
use crate::{Error, native, reference};

/// How a pooling window moves, each list one entry per spatial axis, slowest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Extents of the window.
    pub kernel: Vec<usize>,
    /// Voxels between neighboring windows, at least 1.
    pub stride: Vec<usize>,
    /// Voxels that the first window reaches out of the input, at most half the window.
    pub padding: Vec<usize>,
    /// Whether a last window that the input fills only in part counts.
    pub ceil_mode: bool,
    /// Whether an average counts padding as zeros.
    pub count_include_pad: bool,
}

impl PoolConfig {
    /// Windows side by side, without padding.
    pub fn new(kernel: &[usize]) -> Self {
        Self {
            kernel: kernel.to_vec(),
            stride: kernel.to_vec(),
            padding: vec![0; kernel.len()],
            ceil_mode: false,
            count_include_pad: true,
        }
    }
}

/// Where the windows of a pooling lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) input: Extents,
    pub(crate) output: Vec<usize>,
    pub(crate) kernel: Vec<usize>,
    pub(crate) stride: Vec<usize>,
    pub(crate) padding: Vec<usize>,
}

impl Windows {
    pub(crate) fn new(op: &'static str, x: &Tensor, config: &PoolConfig) -> Result<Self> {
        let input = Extents::of(op, x)?;
        let rank = input.rank();
        per_axis(op, "kernel", &config.kernel, rank, 1)?;
        per_axis(op, "stride", &config.stride, rank, 1)?;
        per_axis(op, "padding", &config.padding, rank, 0)?;
        if (0..rank).any(|axis| 2 * config.padding[axis] > config.kernel[axis]) {
            let rule = "each entry is at most half of the kernel's";
            let value = config.padding.clone();
            return Err(Error::Setting { op, setting: "padding", value, rule }.into());
        }
        let output = (0..rank).map(|axis| {
            let (stride, padding) = (config.stride[axis], config.padding[axis]);
            let room = (input.space[axis] + 2 * padding).checked_sub(config.kernel[axis])?;
            if !config.ceil_mode {
                return Some(room / stride + 1);
            }
            let count = room.div_ceil(stride) + 1;
            // A window that would start in the far padding holds no voxel at all.
            Some(if (count - 1) * stride >= input.space[axis] + padding {
                count - 1
            } else {
                count
            })
        });
        let Some(output) = output.collect() else {
            let (window, padding) = (config.kernel.clone(), config.padding.clone());
            return Err(Error::Window { op, window, space: input.space, padding }.into());
        };
        Ok(Self {
            input,
            output,
            kernel: config.kernel.clone(),
            stride: config.stride.clone(),
            padding: config.padding.clone(),
        })
    }

    /// The shape `(N, *S', C)` of the output.
    pub(crate) fn output_shape(&self) -> Vec<usize> {
        [&[self.input.batch], self.output.as_slice(), &[self.input.channels]].concat()
    }
}

/// The largest value of each window of `x`, `(N, *S, C)`, giving `(N, *S', C)`.
///
/// Where several voxels share it, the gradient goes to the first, slowest axis first. NaN wins.
///
/// # Errors
///
/// Where settings do not fit `x`.
pub fn max_pool(x: &Tensor, config: &PoolConfig) -> Result<Tensor> {
    let windows = Windows::new("max_pool", x, config)?;
    if is_native("max_pool", x)? {
        native::max_pool(x, windows)
    } else {
        reference::max_pool(x, &windows)
    }
}

/// The mean of each window of `x`, `(N, *S, C)`, giving `(N, *S', C)`.
///
/// # Errors
///
/// Where settings do not fit `x`.
pub fn avg_pool(x: &Tensor, config: &PoolConfig) -> Result<Tensor> {
    let windows = Windows::new("avg_pool", x, config)?;
    let map = |axis: usize| {
        let (inputs, padding) = (windows.input.space[axis], windows.padding[axis]);
        AxisMap::new(inputs, windows.output[axis], |output| {
            // In coordinates of the padded axis.
            let start = output * windows.stride[axis];
            let end = (start + windows.kernel[axis]).min(inputs + 2 * padding);
            let (first, last) = (start.max(padding), end.min(inputs + padding));
            let count = if config.count_include_pad { end - start } else { last - first };
            (first..last).map(move |at| (at - padding, 1.0 / count as f64))
        })
    };
    let maps: Vec<AxisMap> = (0..windows.input.rank()).map(map).collect();
    map_axes("avg_pool", x, &maps)
}

/// The means over `output` windows along each spatial axis of `x`, `(N, *S, C)`, that together
/// cover it; `[1, …]` is global pooling.
///
/// # Errors
///
/// Where `output` does not have one entry, at least 1, for each spatial axis.
pub fn adaptive_avg_pool(x: &Tensor, output: &[usize]) -> Result<Tensor> {
    let op = "adaptive_avg_pool";
    let input = Extents::of(op, x)?;
    per_axis(op, "output", output, input.rank(), 1)?;
    let map = |(&inputs, &outputs): (&usize, &usize)| {
        AxisMap::new(inputs, outputs, |o| {
            let (start, end) = (o * inputs / outputs, ((o + 1) * inputs).div_ceil(outputs));
            (start..end).map(move |at| (at, 1.0 / (end - start) as f64))
        })
    };
    let maps: Vec<AxisMap> = input.space.iter().zip(output).map(map).collect();
    map_axes(op, x, &maps)
}
