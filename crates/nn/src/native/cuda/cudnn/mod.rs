//! Convolutions by cuDNN, channels last.
//!
//! What cuDNN has no deterministic algorithm for, within bounded memory, is left to products of
//! matrices: so are tensors that its 32-bit extents do not hold, types that a version computes
//! wrongly, and everything where the library is not installed.

mod descriptors;
mod plan;
mod state;

use std::ffi::c_void;
use std::ptr;

use candle::cuda_backend::cudarc::cudnn::sys::cudnnStatus_t;
use candle::cuda_backend::cudarc::cudnn::{CudnnError, result};
use candle::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtrMut};
use candle::{Result, bail};

use self::plan::{Algorithm, Key, Pass, Plan};
use self::state::with_state;
use super::gpu::{Array, Gpu};
use super::launch::{Grid, Kind, Machine};

/// The convolution, from the fine side to the coarse one; `weight` is packed.
pub(super) fn gather<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    x: &Array<'a>,
    weight: &Array<'a>,
    grid: &Grid,
) -> Result<Option<Array<'a>>> {
    let count = grid.coarse_rows() * grid.coarse_channels;
    run(gpu, kind, Pass::Gather, [x, weight], grid, count)
}

/// The transposed convolution, from the coarse side to the fine one; `weight` is packed.
pub(super) fn scatter<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    x: &Array<'a>,
    weight: &Array<'a>,
    grid: &Grid,
) -> Result<Option<Array<'a>>> {
    let count = grid.fine_rows() * grid.fine_channels;
    run(gpu, kind, Pass::Scatter, [x, weight], grid, count)
}

/// The gradient of the packed weight, of the type of the activations.
pub(super) fn of_weight<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    fine: &Array<'a>,
    coarse: &Array<'a>,
    grid: &Grid,
) -> Result<Option<Array<'a>>> {
    run(gpu, kind, Pass::Weight, [fine, coarse], grid, grid.weights())
}

/// A result of `count` values; `None` where cuDNN is not to be asked, or has no way.
fn run<'a>(
    gpu: &Gpu<'a>,
    kind: Kind,
    pass: Pass,
    arguments: [&Array<'a>; 2],
    grid: &Grid,
    count: usize,
) -> Result<Option<Array<'a>>> {
    let Some(key) = Key::new(kind, pass, grid) else { return Ok(None) };
    let stream = gpu.device.cuda_stream();
    with_state(&gpu.device, |state| {
        let (handle, plans, workspace) = state.parts();
        let plan = match plans.get_mut(&key) {
            Some(plan) => plan,
            None => plans.entry(key.clone()).or_insert(Plan::new(handle, &key)?),
        };
        let mut y: Option<Array<'a>> = None;
        while let Some((algorithm, bytes)) = plan.best() {
            let y = match &mut y {
                Some(y) => y,
                None => y.insert(gpu.empty(kind, count)?),
            };
            let workspace = workspace.of(&stream, bytes)?;
            plan.choose(&algorithm)?;
            match launch(handle, plan, algorithm.what, arguments, (workspace, bytes), y, &stream)? {
                Ok(()) => break,
                Err(error) if is_refusal(error) => plan.discard(),
                Err(error) => bail!("cuDNN cannot compute {pass:?} of {grid:?}: {error}"),
            }
        }
        Ok(if plan.best().is_some() { y } else { None })
    })
}

/// Whether cuDNN only says that it has no such way.
fn is_refusal(CudnnError(status): CudnnError) -> bool {
    let (bad, unsupported) =
        (cudnnStatus_t::CUDNN_STATUS_BAD_PARAM, cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED);
    // There are several kinds of each, by the last digits.
    let family = |status: cudnnStatus_t| status as u32 / 1000;
    [bad, unsupported].into_iter().any(|known| family(known) == family(status))
}

fn launch(
    handle: state::Handle,
    plan: &Plan,
    algorithm: Algorithm,
    [first, second]: [&Array<'_>; 2],
    (workspace, bytes): (Option<&mut CudaSlice<u8>>, usize),
    y: &mut Array<'_>,
    stream: &CudaStream,
) -> Result<std::result::Result<(), CudnnError>> {
    let (first, _first) = first.read(stream)?;
    let (second, _second) = second.read(stream)?;
    let (y, _y) = y.write(stream)?;
    let (space, _space) = workspace.map(|workspace| workspace.device_ptr_mut(stream)).unzip();
    let constant = |address: u64| address as *const c_void;
    let (first, second, y) = (constant(first), constant(second), y as *mut c_void);
    let space = space.map_or(ptr::null_mut(), |space| space as *mut c_void);
    let (one, zero) = (1f32, 0f32);
    let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
    let (fine, coarse) = (plan.fine.get(), plan.coarse.get());
    let (weight, convolution) = (plan.weight.get(), plan.convolution.get());
    #[expect(unsafe_code, reason = "cudarc's safe calls take one way alone")]
    // SAFETY: handle and descriptors live; arrays have the extents that the descriptors were made of,
    // the workspace is as large as was asked for, and the guards keep all of them until the work is on
    // the stream, which is the handle's own.
    Ok(unsafe {
        match algorithm {
            Algorithm::Gather(algorithm) => result::convolution_forward(
                handle.0,
                one,
                fine,
                first,
                weight,
                second,
                convolution,
                algorithm,
                space,
                bytes,
                zero,
                coarse,
                y,
            ),
            Algorithm::Scatter(algorithm) => result::convolution_backward_data(
                handle.0,
                one,
                weight,
                second,
                coarse,
                first,
                convolution,
                algorithm,
                space,
                bytes,
                zero,
                fine,
                y,
            ),
            Algorithm::Weight(algorithm) => result::convolution_backward_filter(
                handle.0,
                one,
                fine,
                first,
                coarse,
                second,
                convolution,
                algorithm,
                space,
                bytes,
                zero,
                weight,
                y,
            ),
        }
    })
}
