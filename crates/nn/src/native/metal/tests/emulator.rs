//! Kernels on the CPU, for tests: their own text, compiled as C++ (`tests/gpu/metal.cpp`).

use std::cell::Cell;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use candle::{DType, Device, Result, Tensor};

use crate::native::metal::KERNELS;
use crate::native::metal::launch::Launch;

/// The programs' own sources, by name.
const SOURCES: [(&str, &str); 3] = [
    ("metal.cpp", include_str!("../../../../tests/gpu/metal.cpp")),
    ("metal.hpp", include_str!("../../../../tests/gpu/metal.hpp")),
    ("threads.hpp", include_str!("../../../../tests/gpu/threads.hpp")),
];

/// The variable that makes a missing compiler an error.
const REQUIRED: &str = "SCONCE_REQUIRE_CXX";

thread_local! {
    /// Whether the device multiplies matrices by itself.
    static MATRICES: Cell<bool> = const { Cell::new(true) };
}

/// What `run` returns, on a device without matrices of its own.
pub(in crate::native::metal) fn without_matrices<T>(run: impl FnOnce() -> T) -> T {
    MATRICES.set(false);
    let outcome = run();
    MATRICES.set(true);
    outcome
}

/// Whether kernels can run here.
///
/// # Panics
///
/// Where they cannot, but should.
pub(in crate::native::metal) fn is_available() -> bool {
    let available = program().is_some();
    let required = std::env::var(REQUIRED).is_ok_and(|value| !value.is_empty());
    assert!(available || !required, "{REQUIRED} is set, but kernels cannot run here");
    if !available {
        say_nothing_runs();
    }
    available
}

#[expect(clippy::print_stdout, reason = "a test that has nothing to run says so")]
fn say_nothing_runs() {
    println!("nothing to run: no c++ on this machine, or not Linux");
}

/// The program that runs a kernel, compiled once.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            // Threads are contexts that not every system has.
            if !cfg!(target_os = "linux") {
                return None;
            }
            compile().expect("kernels compile as C++")
        })
        .as_deref()
}

/// Compiles the program, unless the same one is there; `None` where there is no compiler.
fn compile() -> anyhow::Result<Option<PathBuf>> {
    let kernels = KERNELS.concat();
    let mut hasher = DefaultHasher::new();
    (SOURCES, &kernels).hash(&mut hasher);
    // Beside the tests themselves, so that nothing is left anywhere else.
    let tests = std::env::current_exe()?;
    let folder = tests.with_file_name(format!("metal-{:016x}", hasher.finish()));
    let program = folder.join("metal");
    if program.exists() {
        return Ok(Some(program));
    }
    fs::create_dir_all(&folder)?;
    for (name, text) in SOURCES.into_iter().chain([("kernels.metal", kernels.as_str())]) {
        fs::write(folder.join(name), text)?;
    }
    // Under a name of its own until it is whole.
    let partial = folder.join(format!("metal-{}", std::process::id()));
    let compiled = Command::new("c++")
        .args(["-std=c++17", "-O1", "-Wno-attributes", "-o"])
        .args([partial.as_path(), &folder.join("metal.cpp")])
        .output();
    match compiled {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        compiled => {
            let compiled = compiled?;
            let said = String::from_utf8_lossy(&compiled.stderr);
            anyhow::ensure!(compiled.status.success(), "{said}");
        }
    }
    fs::rename(partial, &program)?;
    Ok(Some(program))
}

/// Runs a kernel; see [`Launch::run`].
pub(in crate::native::metal) fn run(
    launch: &Launch,
    inputs: &[&Tensor],
    outputs: &[(DType, &[usize])],
) -> Result<Vec<Tensor>> {
    let library = match launch.element {
        DType::F32 if !MATRICES.get() => "plain",
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        other => candle::bail!("no kernels for {other:?}"),
    };
    let bytes_of = |&(dtype, shape): &(DType, &[usize])| {
        shape.iter().product::<usize>() * dtype.size_in_bytes()
    };
    let mut message = Vec::new();
    let mut put = |number: usize| -> Result<()> {
        message.extend(u32::try_from(number).map_err(candle::Error::wrap)?.to_le_bytes());
        Ok(())
    };
    put(inputs.len() + 1)?;
    put(outputs.len())?;
    put(launch.settings.words().len() * 4)?;
    message.extend(launch.settings.words().iter().flat_map(|word| word.to_le_bytes()));
    for input in inputs {
        if !input.is_contiguous() {
            candle::bail!("{} takes contiguous tensors", launch.kernel);
        }
        let mut bytes = Vec::new();
        input.write_bytes(&mut bytes)?;
        message.extend(u32::try_from(bytes.len()).map_err(candle::Error::wrap)?.to_le_bytes());
        message.extend(bytes);
    }
    for output in outputs {
        message.extend(u32::try_from(bytes_of(output)).map_err(candle::Error::wrap)?.to_le_bytes());
    }

    let Some(program) = program() else { candle::bail!("kernels cannot run here") };
    let mut process = Command::new(program)
        .args([library, launch.kernel])
        .args(launch.groups.map(|groups| groups.to_string()))
        .arg(launch.threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It reads everything before it writes anything.
    let sent = process.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&message));
    let answer = process.wait_with_output()?;
    if !answer.status.success() {
        candle::bail!("{}: {}", launch.kernel, String::from_utf8_lossy(&answer.stderr));
    }
    sent?;
    let mut rest = answer.stdout.as_slice();
    let read = |output: &(DType, &[usize])| {
        let (bytes, after) = rest.split_at(bytes_of(output));
        rest = after;
        Tensor::from_raw_buffer(bytes, output.0, output.1, &Device::Cpu)
    };
    outputs.iter().map(read).collect()
}
