use std::sync::OnceLock;

use candle::Device;
use sconce::nn;
use serde::Deserialize;

/// Where something is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the processor.
    #[default]
    Cpu,
    /// On the first CUDA device.
    Cuda,
}

impl Place {
    /// The device, which is opened once.
    ///
    /// # Errors
    ///
    /// Where there is none, or this build cannot use it.
    pub fn open(self) -> anyhow::Result<Device> {
        static CUDA: OnceLock<Device> = OnceLock::new();
        match (self, CUDA.get()) {
            (Self::Cpu, _) => Ok(Device::Cpu),
            (Self::Cuda, Some(device)) => Ok(device.clone()),
            (Self::Cuda, None) => {
                let device = Device::new_cuda_with_stream(0)?;
                // As the program does.
                nn::assume_one_stream(&device);
                Ok(CUDA.get_or_init(|| device).clone())
            }
        }
    }
}
