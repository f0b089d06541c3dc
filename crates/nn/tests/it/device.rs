//! The device that the tests run on: that of `SCONCE_TEST_DEVICE`, else the CPU.

use candle::{Device, Result, Tensor};

/// The device under test.
pub(crate) fn device() -> Device {
    golden::device!()
}

/// The values of `x`, whatever its type.
pub(crate) fn values(x: &Tensor) -> Result<Vec<f64>> {
    x.to_device(&Device::Cpu)?.to_dtype(candle::DType::F64)?.flatten_all()?.to_vec1()
}
