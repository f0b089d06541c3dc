//! What the environment names: outside the program, nothing else reads it.

use std::env;
use std::path::PathBuf;

/// The folder that `SCONCE_GOLDEN_DIR` names.
///
/// # Panics
///
/// Where that is no folder.
pub(crate) fn folder() -> Option<PathBuf> {
    let named = env::var_os("SCONCE_GOLDEN_DIR").map(PathBuf::from)?;
    assert!(named.is_dir(), "SCONCE_GOLDEN_DIR is {}, not a folder", named.display());
    Some(named)
}

/// The device that tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestDevice {
    /// The CPU.
    Cpu,
    /// The CPU without its double precision: what tests allow on a device that has none can be seen
    /// anywhere.
    CpuSingle,
    /// The first CUDA device.
    Cuda,
    /// The first Metal device.
    Metal,
}

impl TestDevice {
    /// What `SCONCE_TEST_DEVICE` names, `cpu`, `cpu-f32`, `cuda` or `metal`; where it is unset, the
    /// CPU.
    ///
    /// # Panics
    ///
    /// Where it names anything else.
    pub fn named() -> Self {
        match env::var("SCONCE_TEST_DEVICE").as_deref() {
            Err(_) | Ok("cpu") => Self::Cpu,
            Ok("cpu-f32") => Self::CpuSingle,
            Ok("cuda") => Self::Cuda,
            Ok("metal") => Self::Metal,
            Ok(other) => panic!("SCONCE_TEST_DEVICE is {other:?}; use cpu, cpu-f32, cuda or metal"),
        }
    }

    /// Whether it computes in double precision, as Metal does not: there tests run in single
    /// precision, and allow for its rounding.
    pub fn has_double(self) -> bool {
        !matches!(self, Self::CpuSingle | Self::Metal)
    }
}

/// The device that tests run on, as candle has it: see [`TestDevice::named`].
///
/// A macro, for a crate that has candle as `candle`: those that do without it are tested by this one,
/// too, and need not build it.
///
/// # Panics
///
/// Where there is no such device, or the tests were built without support for it.
#[macro_export]
macro_rules! device {
    () => {{
        // One for all tensors of a process: another would have a stream of its own.
        static DEVICE: ::std::sync::OnceLock<::candle::Device> = ::std::sync::OnceLock::new();
        let open = || match $crate::TestDevice::named() {
            $crate::TestDevice::Cpu | $crate::TestDevice::CpuSingle => ::candle::Device::Cpu,
            $crate::TestDevice::Cuda => {
                ::candle::Device::new_cuda_with_stream(0).expect("a CUDA device")
            }
            $crate::TestDevice::Metal => ::candle::Device::new_metal(0).expect("a Metal device"),
        };
        DEVICE.get_or_init(open).clone()
    }};
}

/// The most precise floats that the device of [`device!`] has, as candle has them.
#[macro_export]
macro_rules! dtype {
    () => {
        if $crate::TestDevice::named().has_double() {
            ::candle::DType::F64
        } else {
            ::candle::DType::F32
        }
    };
}
