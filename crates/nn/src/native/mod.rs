//! Native kernels, as custom operations of candle: a folder for each kind of device.
//!
//! A backward pass returns plain tensors, without a graph, and computes the gradient of nothing
//! that no gradient was asked for. What a device has no kernel for never comes here:
//! [`exists`] says what does.

mod compared;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(test, feature = "metal"))]
mod metal;
pub(crate) mod node;

use candle::{DType, Device, Result, Tensor, bail};

use self::compared::Compared;
pub(crate) use self::cpu::{
    Convolution, Edge, Known, Normalization, Turn, apply, checkpoint_of, conv_of, moved_towards,
    norm_gradients, transpose,
};
use crate::activation::Activation;
use crate::axis_map::AxisMap;
use crate::class_sums::Shape;
use crate::extents::Extents;
use crate::geometry::Geometry;
use crate::norm::{Affine, Cells, Statistics};
use crate::optim::Change;
use crate::pool::Windows;
use crate::softmax::Along;
use crate::{Act, ClassLabels, ClassSums, Error, Work, working_at};

/// Whether tensors of this type on this device have kernels.
pub(crate) fn exists(dtype: DType, device: &Device) -> bool {
    match device {
        Device::Cpu => matches!(dtype, DType::F32 | DType::BF16),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => matches!(dtype, DType::F32 | DType::BF16 | DType::F16),
        #[cfg(feature = "metal")]
        Device::Metal(device) => metal::exists(dtype, device),
        _ => false,
    }
}

/// Whether a norm may be left to the convolutions that read its input: [`Normalization`], [`conv_of`],
/// [`checkpoint_of`] and [`transpose`] are for such tensors alone.
pub(crate) fn defers(x: &Tensor) -> bool {
    x.device().is_cpu()
}

/// Calls the function of that name of the device that `$x` is on.
macro_rules! on_device {
    ($x:expr, $name:ident $arguments:tt) => {
        match $x.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => cuda::$name $arguments,
            #[cfg(feature = "metal")]
            Device::Metal(_) => metal::$name $arguments,
            _ => cpu::$name $arguments,
        }
    };
}

/// See [`conv`](crate::conv()).
pub(crate) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    working_at(Work::Convolution, || on_device!(x, convolve(x, weight, bias, geometry, false)))
}

/// See [`conv_transpose`](crate::conv_transpose()).
pub(crate) fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    working_at(Work::Convolution, || on_device!(x, convolve(x, weight, bias, geometry, true)))
}

/// See [`conv_input_gradient`](crate::conv_input_gradient()).
pub(crate) fn conv_input_gradient(
    weight: &Tensor,
    dy: &Tensor,
    geometry: Geometry,
) -> Result<Tensor> {
    on_device!(dy, conv_input_gradient(weight, dy, geometry))
}

/// See [`conv_weight_gradient`](crate::conv_weight_gradient()).
pub(crate) fn conv_weight_gradient(
    x: &Tensor,
    dy: &Tensor,
    shape: &[usize],
    geometry: &Geometry,
) -> Result<Tensor> {
    on_device!(dy, conv_weight_gradient(x, dy, shape, geometry))
}

/// The normalized `x`, and the means and mean square deviations of its cells.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    act: Activation<'_>,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (form, bias) = act.behind(affine.bias, Extents::of("normalization", x)?.channels)?;
    let affine = Affine { bias: bias.as_ref(), ..affine };
    working_at(Work::Normalization, || on_device!(x, normalize(x, affine, cells, eps, form)))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    act: Activation<'_>,
) -> Result<Tensor> {
    let (form, bias) = act.behind(affine.bias, Extents::of("normalization", x)?.channels)?;
    let affine = Affine { bias: bias.as_ref(), ..affine };
    working_at(Work::Normalization, || on_device!(x, standardize(x, statistics, affine, eps, form)))
}

/// See [`Act::forward`].
pub(crate) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    working_at(Work::Normalization, || on_device!(x, activate(x, act)))
}

/// See [`softmax_along`](crate::softmax_along).
pub(crate) fn softmax(x: &Tensor, along: Along) -> Result<Tensor> {
    working_at(Work::Loss, || on_device!(x, softmax(x, along)))
}

/// See [`class_sums`](crate::class_sums()).
pub(crate) fn class_sums(
    logits: &Tensor,
    labels: &ClassLabels,
    weight: Option<&Tensor>,
    settings: &ClassSums,
    shape: Shape,
) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    let takes_masks = logits.device().is_cpu();
    // Kernels of devices take logits as they are.
    let logits = if logits.device().is_cpu() { logits } else { settings.tempered(&logits)? };
    let compared = Compared::new((&logits, shape), labels, weight, settings, takes_masks)?;
    working_at(Work::Loss, || on_device!(logits, class_sums(&logits, compared)))
}

/// `x` with the map applied along `axis`.
pub(crate) fn map_axis(x: &Tensor, axis: usize, map: &AxisMap) -> Result<Tensor> {
    on_device!(x, map_axis(x, axis, map))
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: &Tensor, windows: Windows) -> Result<Tensor> {
    on_device!(x, max_pool(x, windows))
}

/// Whether steps of optimizers on parameters of this type on this device have kernels.
pub(crate) fn changes(dtype: DType, device: &Device) -> bool {
    dtype == DType::F32 && (device.is_cpu() || device.is_cuda()) && exists(dtype, device)
}

/// Makes the changes, and has `remember` know the memory of each parameter, by its name.
pub(crate) fn change(changes: Vec<Change>, remember: impl FnMut(&str, Vec<Tensor>)) -> Result<()> {
    for Change { name, rule, value, gradient, memory } in &changes {
        if memory.len() != rule.memories() {
            bail!("{name} has a memory of {} tensors", memory.len());
        }
        for tensor in [gradient].into_iter().chain(memory) {
            if tensor.dims() != value.dims() {
                let (actual, expected) = (tensor.dims().to_vec(), value.dims().to_vec());
                return Err(Error::Shape { name: name.clone(), actual, expected }.into());
            }
            if tensor.dtype() != value.dtype() || !tensor.device().same_device(value.device()) {
                bail!("{name} is {value:?}, but what changes it {tensor:?}");
            }
        }
    }
    let Some(first) = changes.first() else { return Ok(()) };
    let device = first.value.device().clone();
    working_at(Work::Optimizer, || match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => cuda::change(changes, remember),
        _ => cpu::change(changes, remember),
    })
}

/// The channels of two tensors side by side.
pub(crate) fn concat(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    on_device!(first, concat(first, second))
}
