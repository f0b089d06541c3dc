//! Which device computes.

use std::fmt;
use std::str::FromStr;

use candle::Device;
use candle::utils::{cuda_is_available, metal_is_available};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which device a user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device, else Metal, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of that ordinal.
    Cuda(usize),
    /// The system's Metal device.
    Metal,
}

/// A device, and why it is this one.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Where `auto` fell back to the CPU: why, in one line.
    pub fallback: Option<String>,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// [`Error::Device`], where a device other than `auto` was asked for and cannot be used.
    pub fn open(self) -> Result<Opened> {
        let opened = |device| Opened { device, fallback: None };
        match self {
            Self::Cpu => Ok(opened(Device::Cpu)),
            Self::Cuda(ordinal) => cuda(ordinal).map(opened),
            Self::Metal => metal().map(opened),
            Self::Auto => Ok(match (cuda(0), metal()) {
                (Ok(device), _) | (_, Ok(device)) => opened(device),
                (Err(cuda), Err(metal)) => {
                    let why = match (cuda_is_available(), metal_is_available()) {
                        // What this build could not use anyhow explains nothing.
                        (true, false) => reason(&cuda),
                        (false, true) => reason(&metal),
                        _ => format!("{}, {}", reason(&cuda), reason(&metal)),
                    };
                    let fallback = Some(format!("computing on the CPU: {why}"));
                    Opened { device: Device::Cpu, fallback }
                }
            }),
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Device { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

fn cuda(ordinal: usize) -> Result<Device> {
    let name = format!("cuda:{ordinal}");
    if !cuda_is_available() {
        let reason = "no CUDA in this build (--features cuda)";
        return Err(Error::Device { name, reason: reason.to_owned() });
    }
    // One stream for the whole process: tensors may cross threads.
    Device::new_cuda_with_stream(ordinal).map_err(|error| unavailable(name, "CUDA", &error))
}

fn metal() -> Result<Device> {
    let name = "metal".to_owned();
    if !metal_is_available() {
        let reason = "no Metal in this build (--features metal)";
        return Err(Error::Device { name, reason: reason.to_owned() });
    }
    // candle panics where the system lists no device.
    std::panic::catch_unwind(|| Device::new_metal(0))
        .unwrap_or_else(|_| Err(candle::Error::msg("the system has no Metal device")))
        .map_err(|error| unavailable(name, "Metal", &error))
}

fn unavailable(name: String, kind: &str, error: &candle::Error) -> Error {
    // The lines after the first are a backtrace.
    let text = error.to_string();
    let first = plain(text.lines().next().unwrap_or_default());
    Error::Device { name, reason: format!("no {kind} device can be opened ({first})") }
}

/// An error in words alone, where it is one of the CUDA driver: `DriverError(NAME, "words")`.
fn plain(error: &str) -> &str {
    let named = error.strip_prefix("DriverError(").and_then(|rest| rest.strip_suffix("\")"));
    named.and_then(|rest| rest.split_once(", \"")).map_or(error, |(_, words)| words)
}

/// The name of a device, as `--device` takes it.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle::DeviceLocation::Cpu => "cpu".to_owned(),
        candle::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle::DeviceLocation::Metal { .. } => "metal".to_owned(),
    }
}

/// Memory of a device, by whomever it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes that are taken.
    pub used: u64,
    /// All of its bytes.
    pub total: u64,
}

/// How many CUDA devices this process may use; 0 where there is no CUDA in this build, or no driver.
pub fn cuda_count() -> usize {
    #[cfg(feature = "cuda")]
    {
        let count = || candle::cuda_backend::cudarc::driver::CudaContext::device_count();
        // Without a driver, it panics.
        let count = std::panic::catch_unwind(count).ok().and_then(Result::ok);
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }
    #[cfg(not(feature = "cuda"))]
    0
}

/// How much memory of a device is taken; `None` where that of the machine is used, or the driver
/// does not say.
///
/// To be asked by the thread that computes, since the driver answers for the device that the thread
/// used last. It does not wait for the device.
pub fn memory(device: &Device) -> Option<DeviceMemory> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => {
            // The context's own method would take an error of an earlier call with it, unseen.
            let (free, total) =
                candle::cuda_backend::cudarc::driver::result::mem_get_info().ok()?;
            let used = total.saturating_sub(free);
            Some(DeviceMemory { used: used as u64, total: total as u64 })
        }
        _ => None,
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "metal" => Ok(Self::Metal),
            Some(("cuda", ordinal)) if ordinal.parse::<usize>().is_ok() => {
                Ok(Self::Cuda(ordinal.parse().unwrap_or_default()))
            }
            _ => Err(format!("{text} is not a device: use auto, cpu, cuda, cuda:N or metal")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => write!(f, "metal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(
                name.parse::<DeviceChoice>().map(|choice| choice.to_string()).as_deref(),
                Ok(name)
            );
        }
        let error = "gpu".parse::<DeviceChoice>().unwrap_err();
        assert_eq!(error, "gpu is not a device: use auto, cpu, cuda, cuda:N or metal");
    }

    #[test]
    fn errors_of_the_driver_are_said_in_words() {
        let error = "DriverError(CUDA_ERROR_NO_DEVICE, \"libcuda.so.1 is not installed\")";

        assert_eq!(plain(error), "libcuda.so.1 is not installed");
        assert_eq!(plain("CublasError(X)"), "CublasError(X)");
    }

    #[test]
    fn auto_always_opens_something_and_says_why_it_is_the_cpu() {
        let opened = DeviceChoice::Auto.open().unwrap();

        assert_eq!(opened.fallback.is_some(), opened.device.is_cpu());
    }
}
