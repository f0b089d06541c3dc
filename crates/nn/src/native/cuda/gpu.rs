use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Mutex;

use candle::backend::{BackendDevice, BackendStorage};
use candle::cuda_backend::cudarc::driver::{
    CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop, result, sys,
};
use candle::cuda_backend::{CudaStorageSlice, WrapErr};
use candle::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, bail};

use super::compile;
use super::launch::{Argument, Factor, Kind, Machine, Variant};

/// Values on a device: its own, or part of a tensor.
pub(super) struct Array<'a> {
    values: Values<'a>,
    start: usize,
    count: usize,
}

enum Values<'a> {
    Own(CudaStorage),
    Lent(&'a CudaStorage),
}

impl<'a> Array<'a> {
    fn own(storage: CudaStorage, count: usize) -> Self {
        Self { values: Values::Own(storage), start: 0, count }
    }

    /// The values of a contiguous tensor.
    pub(super) fn lent(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("a native kernel takes contiguous tensors, not {layout:?}");
        };
        Ok(Self { values: Values::Lent(storage), start, count: end - start })
    }

    /// The values of a tensor as `dtype`.
    pub(super) fn converted(
        storage: &'a CudaStorage,
        layout: &Layout,
        dtype: DType,
    ) -> Result<Self> {
        if storage.dtype() == dtype && layout.is_contiguous() {
            return Self::lent(storage, layout);
        }
        let count = layout.shape().elem_count();
        Ok(Self::own(storage.to_dtype(layout, dtype)?, count))
    }

    fn storage(&self) -> &CudaStorage {
        match &self.values {
            Values::Own(storage) => storage,
            Values::Lent(storage) => storage,
        }
    }

    /// The values, which nothing else has.
    pub(super) fn into_storage(self) -> Result<CudaStorage> {
        match self.values {
            Values::Own(storage) => Ok(storage),
            Values::Lent(_) => bail!("a result is not part of an argument"),
        }
    }

    /// Where the values begin, for reading while the guard lives.
    pub(super) fn read<'b>(&'b self, stream: &'b CudaStream) -> Result<(u64, SyncOnDrop<'b>)> {
        let (address, guard) = match &self.storage().slice {
            CudaStorageSlice::F32(values) => values.device_ptr(stream),
            CudaStorageSlice::BF16(values) => values.device_ptr(stream),
            CudaStorageSlice::F16(values) => values.device_ptr(stream),
            CudaStorageSlice::I32(values) => values.device_ptr(stream),
            CudaStorageSlice::U32(values) => values.device_ptr(stream),
            CudaStorageSlice::I64(values) => values.device_ptr(stream),
            _ => bail!("a native kernel takes f32, bf16, f16, i32, u32 or addresses"),
        };
        Ok((address + (self.start * self.bytes()) as u64, guard))
    }

    /// Where the values begin, for writing while the guard lives.
    pub(super) fn write<'b>(&'b mut self, stream: &'b CudaStream) -> Result<(u64, SyncOnDrop<'b>)> {
        let Values::Own(storage) = &mut self.values else {
            bail!("arguments are not written");
        };
        Ok(match &mut storage.slice {
            CudaStorageSlice::F32(values) => values.device_ptr_mut(stream),
            CudaStorageSlice::BF16(values) => values.device_ptr_mut(stream),
            CudaStorageSlice::F16(values) => values.device_ptr_mut(stream),
            CudaStorageSlice::I32(values) => values.device_ptr_mut(stream),
            _ => bail!("a native kernel writes f32, bf16, f16 or i32"),
        })
    }

    /// Bytes of a value.
    fn bytes(&self) -> usize {
        self.storage().dtype().size_in_bytes()
    }
}

/// A device of candle as a machine. Everything happens on candle's stream, one after the other.
pub(super) struct Gpu<'a> {
    pub(super) device: CudaDevice,
    /// Its arrays may be parts of tensors that live that long.
    arrays: PhantomData<&'a ()>,
}

impl Gpu<'_> {
    pub(super) fn of(device: &CudaDevice) -> Result<Self> {
        keep_memory(device)?;
        Ok(Self { device: device.clone(), arrays: PhantomData })
    }
}

/// Has the driver keep memory that is freed for what is allocated next: by default it gives all of it
/// back whenever someone waits for the device, which a training step does.
fn keep_memory(device: &CudaDevice) -> Result<()> {
    static DONE: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    let stream = device.cuda_stream();
    let context = stream.context();
    let Ok(mut done) = DONE.lock() else { bail!("a thread panicked while it opened a device") };
    if !done.insert(context.ordinal()) || !context.has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    #[expect(unsafe_code, reason = "cudarc has no safe call for it")]
    // SAFETY: the device is one that the driver gave, the pool is its own, and the attribute is a u64.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast()).w()?;
    }
    Ok(())
}

fn dtype_of(kind: Kind) -> DType {
    match kind {
        Kind::F32 => DType::F32,
        Kind::Bf16 => DType::BF16,
        Kind::F16 => DType::F16,
        Kind::I32 => DType::I32,
    }
}

/// Ints of the largest structure that a kernel takes.
const MOST_INTS: usize = 18;

/// A value that a kernel is given.
enum Parameter {
    Address(u64),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Ints([i32; MOST_INTS]),
}

impl<'a> Machine for Gpu<'a> {
    type Array = Array<'a>;

    fn empty(&self, kind: Kind, count: usize) -> Result<Array<'a>> {
        #[expect(unsafe_code, reason = "every value of a new array is written by a kernel")]
        // SAFETY: floats and ints may have any bits, and whoever asks for an array writes all of it
        // before it is read.
        let storage = unsafe { self.device.alloc_uninit(&Shape::from(count), dtype_of(kind))? };
        Ok(Array::own(storage, count))
    }

    fn zeros(&self, kind: Kind, count: usize) -> Result<Array<'a>> {
        let storage = self.device.zeros_impl(&Shape::from(count), dtype_of(kind))?;
        Ok(Array::own(storage, count))
    }

    fn ints(&self, values: &[i32]) -> Result<Array<'a>> {
        Ok(Array::own(self.device.storage_from_slice(values)?, values.len()))
    }

    fn floats(&self, values: &[f32]) -> Result<Array<'a>> {
        Ok(Array::own(self.device.storage_from_slice(values)?, values.len()))
    }

    fn table(&self, arrays: &[Option<&Array<'a>>]) -> Result<Array<'a>> {
        let stream = self.device.cuda_stream();
        let mut addresses = Vec::with_capacity(arrays.len());
        for array in arrays {
            // The guard has the stream wait for what it does anyhow before the launch.
            let address = match array {
                Some(array) => array.read(&stream)?.0,
                None => 0,
            };
            addresses.push(address.cast_signed());
        }
        Ok(Array::own(self.device.storage_from_slice(&addresses)?, addresses.len()))
    }

    fn is_aligned(&self, array: &Array<'a>) -> bool {
        // Memory begins at multiples of 256 bytes.
        (array.start * array.bytes()).is_multiple_of(16)
    }

    fn launch(
        &self,
        variant: Variant,
        kernel: &'static str,
        blocks: usize,
        arguments: Vec<Argument<'_, Array<'a>>>,
    ) -> Result<()> {
        let Ok(blocks) = u32::try_from(blocks) else { bail!("{kernel} in {blocks} blocks") };
        if blocks == 0 {
            return Ok(());
        }
        let stream = self.device.cuda_stream();
        let function = compile::function(stream.context(), variant, kernel)?;
        let mut guards = Vec::new();
        let mut parameters = Vec::new();
        for argument in arguments {
            parameters.push(match argument {
                Argument::Read(array) => {
                    let (address, guard) = array.read(&stream)?;
                    guards.push(guard);
                    Parameter::Address(address)
                }
                Argument::Write(array) => {
                    let (address, guard) = array.write(&stream)?;
                    guards.push(guard);
                    Parameter::Address(address)
                }
                Argument::Null => Parameter::Address(0),
                Argument::Int(value) => Parameter::Int(value),
                Argument::Index(value) if variant.wide => Parameter::Long(value),
                Argument::Index(value) => match i32::try_from(value) {
                    Ok(value) => Parameter::Int(value),
                    Err(_) => bail!("{kernel} counts to {value}"),
                },
                Argument::Float(value) => Parameter::Float(value),
                Argument::Double(value) => Parameter::Double(value),
                Argument::Ints(values) => {
                    let mut all = [0; MOST_INTS];
                    all.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
                    Parameter::Ints(all)
                }
            });
        }
        let mut launch = stream.launch_builder(&function);
        for parameter in &parameters {
            match parameter {
                Parameter::Address(value) => launch.arg(value),
                Parameter::Int(value) => launch.arg(value),
                Parameter::Long(value) => launch.arg(value),
                Parameter::Float(value) => launch.arg(value),
                Parameter::Double(value) => launch.arg(value),
                Parameter::Ints(values) => launch.arg(values),
            };
        }
        let shape = LaunchConfig {
            grid_dim: (blocks, 1, 1),
            block_dim: (compile::THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        #[expect(unsafe_code, reason = "kernels are foreign functions")]
        // SAFETY: arguments have the types of the kernel's parameters, and kernels stay within the
        // extents that they are told, both of which tests check on the CPU with this very code; the
        // guards keep what they point to until the launch is on the stream.
        let launched = unsafe { launch.launch(shape) };
        drop(guards);
        match launched {
            Ok(_) => Ok(()),
            Err(error) => bail!("{kernel} of {}: {error}", variant.source.name()),
        }
    }

    fn product(
        &self,
        first: Factor<'_, Array<'a>>,
        second: Factor<'_, Array<'a>>,
        [m, n, k]: [usize; 3],
    ) -> Result<Array<'a>> {
        let layout = |factor: &Factor<'_, Array<'a>>, rows: usize, columns: usize| {
            let stride = if factor.transposed { vec![1, rows] } else { vec![columns, 1] };
            let start = factor.array.start + factor.start;
            debug_assert!(factor.start + rows * columns <= factor.array.count);
            Layout::new(Shape::from((rows, columns)), stride, start)
        };
        let layouts = (layout(&first, m, k), layout(&second, k, n));
        let (first, second) = (first.array.storage(), second.array.storage());
        let product = first.matmul(second, (1, m, n, k), &layouts.0, &layouts.1)?;
        Ok(Array::own(product, m * n))
    }
}
