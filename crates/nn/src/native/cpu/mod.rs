//! Native kernels on the CPU, of tensors in f32 or bf16.
//!
//! Arithmetic is in f32: bf16 is what tensors are stored as, and takes half the memory. Only where the
//! processor multiplies bf16 by itself convolutions do as well, with sums in f32.

mod class_sums;
mod concat;
mod conv;
mod edge;
mod norm;
mod reading;
mod repetition;
mod transpose;
mod unary;
mod update;

use std::borrow::Cow;
use std::ops::Range;

use candle::backend::BackendStorage as _;
use candle::op::BackpropOp;
use candle::{CpuStorage, Layout, Result, Shape, Storage, StorageRef, Tensor};

use crate::kernels::element::{Values, stored};

pub(crate) use self::class_sums::class_sums;
pub(crate) use self::concat::concat;
pub(crate) use self::conv::{Convolution, conv_input_gradient, conv_weight_gradient, convolve};
pub(crate) use self::edge::Edge;
pub(crate) use self::norm::{Known, Normalization, apply, norm_gradients, normalize, standardize};
pub(crate) use self::reading::conv_of;
pub(crate) use self::repetition::checkpoint_of;
pub(crate) use self::transpose::{Turn, transpose};
pub(crate) use self::unary::{activate, map_axis, max_pool, softmax};
pub(crate) use self::update::{change, moved_towards};

/// The values of a contiguous tensor on the CPU, while no one changes them.
struct Held<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Held<'a> {
    fn of(x: &'a Tensor) -> Result<Self> {
        let (storage, layout) = x.storage_and_layout();
        let range = contiguous(layout)?;
        let values = Self { storage, range };
        values.try_get()?;
        Ok(values)
    }

    fn try_get(&self) -> Result<Values<'_>> {
        match &*self.storage {
            Storage::Cpu(storage) => typed(storage, self.range.clone()),
            _ => candle::bail!("a native kernel takes tensors on the CPU"),
        }
    }

    fn get(&self) -> Values<'_> {
        self.try_get().expect("checked when it was made")
    }

    /// A copy.
    fn copied(&self) -> CpuStorage {
        match self.get() {
            Values::F32(values) => CpuStorage::F32(values.to_vec()),
            Values::Bf16(values) => CpuStorage::BF16(values.to_vec()),
        }
    }

    /// In single precision.
    fn wide(&self) -> Cow<'_, [f32]> {
        self.get().widened()
    }
}

fn typed(storage: &CpuStorage, range: Range<usize>) -> Result<Values<'_>> {
    match storage {
        CpuStorage::F32(values) => Ok(Values::F32(&values[range])),
        CpuStorage::BF16(values) => Ok(Values::Bf16(&values[range])),
        other => candle::bail!("a native kernel takes no values of type {:?}", other.dtype()),
    }
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle::bail!("a native kernel takes contiguous tensors, not {layout:?}");
    };
    Ok(start..end)
}

/// A tensor of these values, with the shape and the type of `like`, without a graph.
fn tensor_like(values: Vec<f32>, like: &Tensor) -> Tensor {
    tensor(values, like.shape(), like)
}

/// A tensor of these values, of the type of `like`, without a graph.
fn tensor(values: Vec<f32>, shape: impl Into<Shape>, like: &Tensor) -> Tensor {
    held(stored(values, like.dtype()), shape)
}

/// A tensor of what is stored, without a graph.
fn held(values: CpuStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cpu(values), shape, BackpropOp::none(), false)
}
