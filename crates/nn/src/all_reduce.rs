//! Sums over the GPUs of a job, by NCCL.

use std::ffi::c_char;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle::backend::BackendStorage as _;
use candle::cuda_backend::WrapErr as _;
use candle::cuda_backend::cudarc::driver::CudaStream;
use candle::cuda_backend::cudarc::nccl::result::NcclError;
use candle::cuda_backend::cudarc::nccl::safe::{Comm, Id, ReduceOp};
use candle::{
    CpuStorage, CudaDevice, CudaStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, bail,
};

/// Bytes of [`AllReduce::id`].
const ID: usize = 128;

/// One GPU of several, each of another process, that sum tensors over all of them.
///
/// All of them must make the same calls in the same order, with tensors of the same shape and type. Calls return when
/// they are queued on the stream of the device; where another process has died, it is the next value read from the device
/// that never comes, so that whoever started the processes must end them all.
///
/// NCCL gives all of them the same bits ([NCCL 855](https://github.com/NVIDIA/nccl/issues/855)). It does not promise them
/// for the next run: the order of a sum depends on how the GPUs are connected, and where a switch adds (NVLS) on the moment
/// ([NCCL 1497](https://github.com/NVIDIA/nccl/issues/1497)). With `NCCL_ALGO=Ring` and `NCCL_PROTO=Simple` in the environment
/// the same GPUs add in the same order.
pub struct AllReduce {
    communicator: Mutex<Communicator>,
    stream: Arc<CudaStream>,
    device: Device,
}

struct Communicator(Comm);

#[expect(unsafe_code, reason = "cudarc keeps a bare pointer")]
// SAFETY: NCCL lets any thread use a communicator, one at a time; the mutex around it sees to that.
unsafe impl Send for Communicator {}

impl AllReduce {
    /// Something that only the processes of one job know, made by one of them for all: it has the address where they meet.
    ///
    /// # Errors
    ///
    /// Where NCCL cannot open a connection.
    pub fn id() -> Result<[u8; ID]> {
        let id = Id::new().map_err(|error| said("make an id", &error))?;
        Ok(id.internal().map(|byte| byte.to_ne_bytes()[0]))
    }

    /// Number `rank` of `size`, with the GPU `device`, which no other may have. Waits for all others.
    ///
    /// # Errors
    ///
    /// Where `device` is no CUDA device, or NCCL does not get through to the others.
    pub fn new(device: &Device, rank: usize, size: usize, id: &[u8; ID]) -> Result<Self> {
        let Device::Cuda(cuda) = device else {
            bail!("NCCL sums on CUDA devices, not on {device:?}")
        };
        if rank >= size || i32::try_from(size).is_err() {
            bail!("there is no rank {rank} among {size}, which count from 0");
        }
        let stream = cuda.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let id = Id::uninit(id.map(|byte| c_char::from_ne_bytes([byte])));
        let comm = Comm::from_rank(Arc::clone(&stream), rank, size, id)
            .map_err(|error| said("connect the GPUs", &error))?;
        let communicator = Mutex::new(Communicator(comm));
        Ok(Self { communicator, stream, device: device.clone() })
    }

    /// The device of this process.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The sum over all GPUs of `tensor`, of type f32, f64 or u8, without a graph.
    ///
    /// # Errors
    ///
    /// For tensors of another type or device, and where NCCL fails.
    pub fn sum(&self, tensor: &Tensor) -> Result<Tensor> {
        if tensor.elem_count() == 0 {
            return Ok(tensor.detach());
        }
        let sum = tensor.detach().force_contiguous()?;
        sum.inplace_op1(&Sum(self))?;
        Ok(sum)
    }
}

impl fmt::Debug for AllReduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllReduce").field("device", &self.device).finish_non_exhaustive()
    }
}

struct Sum<'a>(&'a AllReduce);

impl InplaceOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "all_reduce"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!("NCCL sums tensors on {:?}, not on the CPU", self.0.device)
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let Self(AllReduce { communicator, stream, .. }) = self;
        if !Arc::ptr_eq(&CudaDevice::cuda_stream(storage.device()), stream) {
            bail!("a tensor of another device than NCCL was given");
        }
        if layout.contiguous_offsets() != Some((0, layout.shape().elem_count())) {
            bail!("a copy is contiguous, unlike {layout:?}");
        }
        stream.context().bind_to_thread().w()?;
        let communicator = communicator.lock().unwrap_or_else(PoisonError::into_inner);
        let Communicator(comm) = &*communicator;
        let done = match storage.dtype() {
            DType::F32 => {
                comm.all_reduce_in_place(storage.as_cuda_slice_mut::<f32>()?, &ReduceOp::Sum)
            }
            DType::F64 => {
                comm.all_reduce_in_place(storage.as_cuda_slice_mut::<f64>()?, &ReduceOp::Sum)
            }
            DType::U8 => {
                comm.all_reduce_in_place(storage.as_cuda_slice_mut::<u8>()?, &ReduceOp::Sum)
            }
            dtype => bail!("NCCL sums f32, f64 and u8 here, not {dtype:?}"),
        };
        done.map(drop).map_err(|error| said("sum over the GPUs", &error))
    }
}

/// cudarc's error does not say what it is, but for its code.
fn said(what: &str, NcclError(code): &NcclError) -> candle::Error {
    candle::Error::Msg(format!("NCCL cannot {what}: {code:?}; NCCL_DEBUG=WARN lets it say more"))
}
