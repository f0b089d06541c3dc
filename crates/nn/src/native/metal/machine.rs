//! Kernels on a Metal device.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use candle::metal_backend::DeviceId;
use candle::op::BackpropOp;
use candle::{DType, MetalDevice, MetalError, MetalStorage, Result, Storage, Tensor};
use candle_metal_kernels::metal::{ComputeCommandEncoder, ComputePipeline, Device};
use candle_metal_kernels::utils::set_param;
use objc2_metal::{MTLCompileOptions, MTLDevice, MTLGPUFamily, MTLSize};

use super::KERNELS;
use super::launch::{Launch, NAMES};

/// What the kernels need of the language.
const PRELUDE: &str = include_str!("kernels/prelude.metal");

/// The kernels of one type of values, ready to run.
type Pipelines = HashMap<&'static str, ComputePipeline>;

/// Whether kernels of this type run on this device. The first question compiles them; where they do
/// not compile, it says so, once, and layers are candle operations.
pub(crate) fn exists(dtype: DType, device: &MetalDevice) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16) && pipelines(dtype, device).is_some()
}

/// The kernels of a type on a device, compiled once; `None` where they do not compile.
fn pipelines(element: DType, device: &MetalDevice) -> Option<Arc<Pipelines>> {
    type Cache = HashMap<(DeviceId, DType), Option<Arc<Pipelines>>>;
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = cache.entry((device.id(), element)).or_insert_with(|| {
        compile(element, device.metal_device()).map(Arc::new).map_err(|error| warn(&error)).ok()
    });
    compiled.clone()
}

#[expect(clippy::print_stderr, reason = "all else works, only slowly: worth a line, not an error")]
fn warn(error: &candle::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        eprintln!(
            "warning: layers run without Metal kernels, slowly: they do not compile ({error})"
        );
    });
}

/// Compiles all kernels, with matrices where the device multiplies them by itself.
fn compile(element: DType, device: &Device) -> Result<Pipelines> {
    let raw: &objc2::runtime::ProtocolObject<dyn MTLDevice> = device.as_ref();
    let with_matrices = if raw.supportsFamily(MTLGPUFamily::Apple7) {
        compile_for(element, device, true).ok()
    } else {
        None
    };
    with_matrices.map_or_else(|| compile_for(element, device, false), Ok)
}

fn compile_for(element: DType, device: &Device, matrices: bool) -> Result<Pipelines> {
    let element = match element {
        DType::F16 => "#define ELEMENT_F16\n",
        DType::BF16 => "#define ELEMENT_BF16\n",
        _ => "",
    };
    let matrices = format!("#define MATRICES {}\n", u8::from(matrices));
    let source = [PRELUDE, element, &matrices, &KERNELS.concat()].concat();
    let options = MTLCompileOptions::new();
    #[expect(deprecated, reason = "what replaces it needs macOS 15")]
    // NaN and infinities must stay what they are.
    options.setFastMathEnabled(false);
    let library =
        device.new_library_with_source(&source, Some(&options)).map_err(MetalError::from)?;
    let pipeline = |(name, threads): (&'static str, usize)| {
        let function = library.get_function(name, None).map_err(MetalError::from)?;
        let pipeline =
            device.new_compute_pipeline_state_with_function(&function).map_err(MetalError::from)?;
        if pipeline.max_total_threads_per_threadgroup() < threads {
            candle::bail!("{name} needs groups of {threads} threads");
        }
        Ok((name, pipeline))
    };
    NAMES.into_iter().map(pipeline).collect()
}

/// Runs a kernel; see [`Launch::run`].
pub(super) fn run(
    device: &MetalDevice,
    launch: &Launch,
    inputs: &[&Tensor],
    outputs: &[(DType, &[usize])],
) -> Result<Vec<Tensor>> {
    let pipelines = pipelines(launch.element, device);
    let Some(pipeline) = pipelines.as_ref().and_then(|all| all.get(launch.kernel)) else {
        candle::bail!("no Metal kernel {} for {:?}", launch.kernel, launch.element);
    };
    // Everything that takes memory or a lock comes before the encoder, which holds a lock itself.
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let written = outputs
        .iter()
        .map(|&(dtype, shape)| {
            device.new_buffer_builder().with_size_for(count(shape), dtype).build()
        })
        .collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = inputs.iter().map(|input| input.storage_and_layout()).collect();
    let mut read = Vec::new();
    for (input, (storage, layout)) in inputs.iter().zip(&guards) {
        let (Storage::Metal(storage), Some((start, _))) = (&**storage, layout.contiguous_offsets())
        else {
            candle::bail!("{} takes contiguous tensors on Metal", launch.kernel);
        };
        read.push((storage.buffer(), start * input.dtype().size_in_bytes()));
    }
    {
        let guard = device.command_encoder()?;
        let encoder: &ComputeCommandEncoder = guard.as_ref();
        encoder.set_compute_pipeline_state(pipeline);
        set_param(encoder, 0, launch.settings.words());
        for (at, (buffer, offset)) in (1..).zip(&read) {
            encoder.set_input_buffer(at, Some(buffer), *offset);
        }
        for (at, buffer) in (1 + read.len()..).zip(&written) {
            encoder.set_output_buffer(at, Some(buffer), 0);
        }
        let [width, height, depth] = launch.groups;
        let threads = MTLSize { width: launch.threads, height: 1, depth: 1 };
        encoder.dispatch_thread_groups(MTLSize { width, height, depth }, threads);
    }
    let tensor = |(buffer, &(dtype, shape)): (_, &(DType, &[usize]))| {
        let storage = MetalStorage::new(buffer, device.clone(), count(shape), dtype);
        Tensor::from_storage(Storage::Metal(storage), shape, BackpropOp::none(), false)
    };
    Ok(written.into_iter().zip(outputs).map(tensor).collect())
}
