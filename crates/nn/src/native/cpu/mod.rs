//! Native kernels on the CPU, in f32.

mod concat;
mod conv;
mod norm;
mod reading;
mod unary;

use std::ops::Range;

use candle::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor};

pub(crate) use self::concat::concat;
pub(crate) use self::conv::{
    Convolution, conv, conv_input_gradient, conv_transpose, conv_weight_gradient,
};
pub(crate) use self::norm::{Normalization, apply, normalize, standardize};
pub(crate) use self::reading::conv_of;
pub(crate) use self::unary::{activate, map_axis, max_pool};

/// The values of a contiguous f32 tensor on the CPU, while no one changes them.
struct Values<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Values<'a> {
    fn of(x: &'a Tensor) -> Result<Self> {
        let (storage, layout) = x.storage_and_layout();
        let range = contiguous(layout)?;
        let values = Self { storage, range };
        values.try_get()?;
        Ok(values)
    }

    fn try_get(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(&storage.as_slice::<f32>()?[self.range.clone()]),
            _ => candle::bail!("a native kernel takes tensors on the CPU"),
        }
    }

    fn get(&self) -> &[f32] {
        self.try_get().expect("checked when it was made")
    }
}

/// The values of an argument of a custom operation.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    Ok(&storage.as_slice::<f32>()?[contiguous(layout)?])
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle::bail!("a native kernel takes contiguous tensors, not {layout:?}");
    };
    Ok(start..end)
}

/// A tensor of these values, with the shape of `like`, without a graph.
fn tensor_like(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}
