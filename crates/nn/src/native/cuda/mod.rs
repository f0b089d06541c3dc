//! Native kernels on CUDA devices, for f32, bf16 and f16.
//!
//! What is launched is said in [`launch`], for any machine; the others make a machine of a device of
//! candle, and custom operations of launches. Sums, statistics and gradients of parameters are
//! computed in f32; parameters are f32 or of the type of the activations.

mod class_sums;
mod compile;
mod concat;
mod conv;
#[cfg(feature = "cudnn")]
mod cudnn;
mod gpu;
mod launch;
mod norm;
mod unary;
mod update;

use candle::op::BackpropOp;
use candle::{CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor};

pub(crate) use self::class_sums::class_sums;
pub(crate) use self::concat::concat;
pub(crate) use self::conv::{conv_input_gradient, conv_weight_gradient, convolve};
use self::gpu::{Array, Gpu};
use self::launch::Kind;
pub(crate) use self::norm::{normalize, standardize};
pub(crate) use self::unary::{activate, map_axis, max_pool, softmax};
pub(crate) use self::update::change;

/// The type of activations.
fn kind_of(dtype: DType) -> Result<Kind> {
    match dtype {
        DType::F32 => Ok(Kind::F32),
        DType::BF16 => Ok(Kind::Bf16),
        DType::F16 => Ok(Kind::F16),
        _ => candle::bail!("a native kernel takes f32, bf16 or f16, not {dtype:?}"),
    }
}

/// A tensor on a CUDA device, while no one changes it.
struct Lent<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Lent<'a> {
    fn of(x: &'a Tensor) -> Self {
        let (storage, layout) = x.storage_and_layout();
        Self { storage, layout }
    }

    fn storage(&self) -> Result<&CudaStorage> {
        match &*self.storage {
            Storage::Cuda(storage) => Ok(storage),
            _ => candle::bail!("a native kernel takes tensors on a CUDA device"),
        }
    }

    fn gpu(&self) -> Result<Gpu<'_>> {
        Gpu::of(&self.storage()?.device)
    }

    fn array(&self) -> Result<Array<'_>> {
        Array::lent(self.storage()?, self.layout)
    }

    /// The values, in f32.
    fn single(&self) -> Result<Array<'_>> {
        Array::converted(self.storage()?, self.layout, DType::F32)
    }
}

/// These values, as a tensor stores them.
fn stored(values: Array<'_>) -> Result<Storage> {
    Ok(Storage::Cuda(values.into_storage()?))
}

/// A tensor of these values, without a graph.
fn tensor(values: Array<'_>, shape: impl Into<Shape>) -> Result<Tensor> {
    Ok(Tensor::from_storage(stored(values)?, shape, BackpropOp::none(), false))
}
