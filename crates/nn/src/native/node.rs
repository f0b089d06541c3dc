//! How a result that is there already enters the graph: the same for each kind of device.

#[cfg(feature = "cuda")]
use candle::CudaStorage;
#[cfg(feature = "metal")]
use candle::MetalStorage;
use std::sync::{Mutex, PoisonError};

use candle::backend::{BackendDevice, BackendStorage};
use candle::op::BackpropOp;
use candle::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor,
};

use crate::{Work, working_at};

/// How the gradient of a result becomes that of what it was computed from.
pub(crate) trait Backward: Send + Sync + 'static {
    /// The name of the operation.
    const NAME: &'static str;

    /// The gradients of `inputs`, none for those that do not track it; `dy` is contiguous.
    fn gradients(&self, _inputs: &[&Tensor], _dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        candle::bail!("{} has no gradient", Self::NAME)
    }

    /// The same, where the result `y`, which is contiguous too, says more than the inputs.
    fn gradients_by_result(
        &self,
        inputs: &[&Tensor],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        self.gradients(inputs, dy)
    }
}

/// `y`, which was computed from `inputs`, as a node of their graph, where they have one.
pub(crate) fn record(
    inputs: &[&Tensor],
    y: Storage,
    shape: impl Into<Shape>,
    backward: impl Backward,
) -> Result<Tensor> {
    let shape = shape.into();
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(Tensor::from_storage(y, shape, BackpropOp::none(), false));
    }
    let node = Node { y: Mutex::new(Some((y, shape))), backward };
    match inputs {
        [a] => a.apply_op1(node),
        [a, b] => a.apply_op2(b, node),
        [a, b, c] => a.apply_op3(b, c, node),
        _ => candle::bail!("an operation of {} tensors", inputs.len()),
    }
}

/// A single zero, in f32, for a result that holds a place in the graph alone.
pub(crate) fn blank(device: &Device) -> Result<Storage> {
    match device {
        Device::Cpu => Ok(Storage::Cpu(CpuStorage::F32(vec![0.0]))),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            Ok(Storage::Cuda(device.zeros_impl(&Shape::from(1), candle::DType::F32)?))
        }
        #[cfg(feature = "metal")]
        Device::Metal(device) => {
            Ok(Storage::Metal(device.zeros_impl(&Shape::from(1), candle::DType::F32)?))
        }
        device => candle::bail!("no place on {device:?}"),
    }
}

/// A copy of the values of `x`, one after the other.
pub(crate) fn copied(x: &Tensor) -> Result<Storage> {
    fn of<S>(storage: &S, layout: &Layout) -> Result<S>
    where
        S: BackendStorage<Device: BackendDevice<Storage = S>>,
    {
        let mut copy = storage.device().zeros_impl(layout.shape(), storage.dtype())?;
        storage.copy_strided_src(&mut copy, 0, layout)?;
        Ok(copy)
    }
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(Storage::Cpu(of(storage, layout)?)),
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => Ok(Storage::Cuda(of(storage, layout)?)),
        #[cfg(feature = "metal")]
        Storage::Metal(storage) => Ok(Storage::Metal(of(storage, layout)?)),
        _ => candle::bail!("no copy on {:?}", x.device()),
    }
}

/// A custom operation whose forward pass hands over what is there.
struct Node<B> {
    y: Mutex<Option<(Storage, Shape)>>,
    backward: B,
}

impl<B: Backward> Node<B> {
    fn take(&self) -> Result<(Storage, Shape)> {
        match self.y.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(y) => Ok(y),
            None => candle::bail!("{} was handed over already", B::NAME),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(y), shape) => Ok((y, shape)),
            _ => candle::bail!("{} was not computed on the CPU", B::NAME),
        }
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(y), shape) => Ok((y, shape)),
            _ => candle::bail!("{} was not computed on a CUDA device", B::NAME),
        }
    }

    #[cfg(feature = "metal")]
    fn on_metal(&self) -> Result<(MetalStorage, Shape)> {
        match self.take()? {
            (Storage::Metal(y), shape) => Ok((y, shape)),
            _ => candle::bail!("{} was not computed on Metal", B::NAME),
        }
    }

    fn backward<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let gradients = working_at(Work::of_operation(B::NAME), || {
            self.backward.gradients_by_result(&inputs, y, &dy.contiguous()?)
        })?;
        <[Option<Tensor>; N]>::try_from(gradients).map_err(|gradients| {
            candle::Error::msg(format!("{} has {} gradients", B::NAME, gradients.len()))
        })
    }
}

/// The forward passes of an operation, on each kind of device, given the arguments' types.
macro_rules! forward {
    ($($argument:ident),*) => {
        fn name(&self) -> &'static str {
            B::NAME
        }

        fn cpu_fwd(&self, $(_: forward!(@ CpuStorage $argument), _: &Layout),*) -> Result<(CpuStorage, Shape)> {
            self.on_cpu()
        }

        #[cfg(feature = "cuda")]
        fn cuda_fwd(&self, $(_: forward!(@ CudaStorage $argument), _: &Layout),*) -> Result<(CudaStorage, Shape)> {
            self.on_cuda()
        }

        #[cfg(feature = "metal")]
        fn metal_fwd(&self, $(_: forward!(@ MetalStorage $argument), _: &Layout),*) -> Result<(MetalStorage, Shape)> {
            self.on_metal()
        }
    };
    (@ $storage:ident $argument:ident) => { &$storage };
}

impl<B: Backward> CustomOp1 for Node<B> {
    forward!(a);

    fn bwd(&self, a: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [gradient] = self.backward([a], y, dy)?;
        Ok(gradient)
    }
}

impl<B: Backward> CustomOp2 for Node<B> {
    forward!(a, b);

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([a, b], y, dy)?.into())
    }
}

impl<B: Backward> CustomOp3 for Node<B> {
    forward!(a, b, c);

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.backward([a, b, c], y, dy)?.into())
    }
}
