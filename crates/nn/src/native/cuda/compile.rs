//! Kernels, compiled when they are first needed, for the very device that runs them.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex};

use candle::cuda_backend::WrapErr;
use candle::cuda_backend::cudarc::driver::{CudaContext, CudaFunction, CudaModule};
use candle::cuda_backend::cudarc::nvrtc::{self, Ptx, sys};
use candle::{Result, bail};

use super::launch::{Kind, PRELUDE, Variant};

/// Threads of a block, which the sources count on.
pub(super) const THREADS: u32 = 256;

/// What was compiled, by the number of the device.
#[derive(Default)]
struct Compiled {
    modules: HashMap<(usize, Variant), Arc<CudaModule>>,
    functions: HashMap<(usize, Variant, &'static str), CudaFunction>,
}

/// The function `kernel` of `variant` on the device of `context`.
pub(super) fn function(
    context: &Arc<CudaContext>,
    variant: Variant,
    kernel: &'static str,
) -> Result<CudaFunction> {
    static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);
    let Ok(mut compiled) = COMPILED.lock() else {
        bail!("a thread panicked while it compiled kernels");
    };
    let Compiled { modules, functions } = compiled.get_or_insert_default();
    let device = context.ordinal();
    if let Some(function) = functions.get(&(device, variant, kernel)) {
        return Ok(function.clone());
    }
    let module = if let Some(module) = modules.get(&(device, variant)) {
        module.clone()
    } else {
        let module = load(context, variant)?;
        modules.insert((device, variant), module.clone());
        module
    };
    let function = match module.load_function(kernel) {
        Ok(function) => function,
        Err(error) => bail!("{} has no kernel {kernel}: {error}", variant.source.name()),
    };
    functions.insert((device, variant, kernel), function.clone());
    Ok(function)
}

fn load(context: &Arc<CudaContext>, variant: Variant) -> Result<Arc<CudaModule>> {
    let architecture = Architecture::of(context)?;
    let binary = compile(variant, architecture)?;
    match context.load_module(binary) {
        Ok(module) => Ok(module),
        Err(error) => {
            bail!("{} for {} cannot be loaded: {error}", variant.source.name(), architecture.name())
        }
    }
}

/// What to compile for.
#[derive(Clone, Copy)]
struct Architecture {
    capability: i32,
    /// Whether for this device alone; else for any that is newer, which the driver then compiles once
    /// more.
    exact: bool,
}

impl Architecture {
    /// That of the device, or where the compiler is older than the device, the newest it knows.
    fn of(context: &CudaContext) -> Result<Self> {
        let (major, minor) = context.compute_capability().w()?;
        let own = 10 * major + minor;
        let known = known_to_compiler()?;
        let best = known.iter().copied().filter(|&capability| capability <= own).max();
        match best {
            Some(capability) => Ok(Self { capability, exact: capability == own }),
            None => bail!("the compiler of kernels knows {known:?}, but not a device of {own}"),
        }
    }

    fn name(self) -> String {
        format!("{}_{}", if self.exact { "sm" } else { "compute" }, self.capability)
    }
}

/// The compute capabilities that the compiler knows.
fn known_to_compiler() -> Result<Vec<i32>> {
    #[expect(unsafe_code, reason = "cudarc has no safe call for it")]
    // SAFETY: the second call writes as many ints as the first one said.
    unsafe {
        let mut count = 0;
        sys::nvrtcGetNumSupportedArchs(&raw mut count).result().map_err(no_compiler)?;
        let mut known = vec![0; usize::try_from(count).unwrap_or_default()];
        sys::nvrtcGetSupportedArchs(known.as_mut_ptr()).result().map_err(no_compiler)?;
        Ok(known)
    }
}

fn no_compiler(error: nvrtc::result::NvrtcError) -> candle::Error {
    candle::Error::msg(format!("the compiler of kernels (nvrtc) does not work: {error:?}"))
}

/// A program of the compiler, which ends with it.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "cudarc has no safe call for it")]
        // SAFETY: the program was made by the compiler, and ends once.
        let _ = unsafe { nvrtc::result::destroy_program(self.0) };
    }
}

/// What `variant` is compiled from; lines are counted from the start of each file.
fn text(variant: Variant) -> String {
    let mut all = String::new();
    for (name, text) in PRELUDE.into_iter().chain([(variant.source.name(), variant.source.text())])
    {
        all.extend([
            "#line 1 \"",
            name,
            "\"
",
            text,
            "
",
        ]);
    }
    all
}

fn options(variant: Variant, architecture: Architecture) -> Vec<String> {
    let value = match variant.kind {
        Kind::F32 | Kind::I32 => 0,
        Kind::Bf16 => 1,
        Kind::F16 => 2,
    };
    vec![
        format!("--gpu-architecture={}", architecture.name()),
        "--std=c++17".to_owned(),
        format!("-DVALUE={value}"),
        format!("-DWIDTH={}", variant.width),
        format!("-DWIDE={}", u8::from(variant.wide)),
        format!("-DCURVE={}", variant.curve),
    ]
}

fn compile(variant: Variant, architecture: Architecture) -> Result<Ptx> {
    let name = variant.source.name();
    let source = CString::new(text(variant)).map_err(candle::Error::wrap)?;
    let file = CString::new(name).map_err(candle::Error::wrap)?;
    let program = nvrtc::result::create_program(&source, Some(&file)).map_err(no_compiler)?;
    let program = Program(program);
    let options = options(variant, architecture);
    #[expect(unsafe_code, reason = "cudarc has no safe call for a binary of one device")]
    // SAFETY: the program lives, its text and name outlive it, and it was compiled before its result is
    // asked for, into a buffer of the size that the compiler says; log and text end with a zero.
    unsafe {
        if let Err(error) = nvrtc::result::compile_program(program.0, &options) {
            let log = nvrtc::result::get_program_log(program.0).map_err(no_compiler)?;
            let log = CStr::from_ptr(log.as_ptr()).to_string_lossy();
            bail!("{name} cannot be compiled with {options:?}: {error:?}\n{log}");
        }
        if !architecture.exact {
            let text = nvrtc::result::get_ptx(program.0).map_err(no_compiler)?;
            return Ok(Ptx::from_src(CStr::from_ptr(text.as_ptr()).to_string_lossy()));
        }
        let mut size = 0;
        sys::nvrtcGetCUBINSize(program.0, &raw mut size).result().map_err(no_compiler)?;
        let mut binary = vec![0u8; size];
        let result = sys::nvrtcGetCUBIN(program.0, binary.as_mut_ptr().cast());
        result.result().map_err(no_compiler)?;
        Ok(Ptx::from_binary(binary))
    }
}
