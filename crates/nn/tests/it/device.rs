//! The device that the tests run on: that of `SCONCE_TEST_DEVICE`, else the CPU.

use candle::{Device, Result, Tensor};

/// The device under test.
pub(crate) fn device() -> Device {
    match std::env::var("SCONCE_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => Device::Cpu,
        Ok("cuda") => Device::new_cuda_with_stream(0).expect("a CUDA device"),
        Ok("metal") => Device::new_metal(0).expect("a Metal device"),
        Ok(other) => panic!("SCONCE_TEST_DEVICE is {other:?}; use cpu, cuda or metal"),
    }
}

/// The values of `x`, whatever its type.
pub(crate) fn values(x: &Tensor) -> Result<Vec<f64>> {
    x.to_device(&Device::Cpu)?.to_dtype(candle::DType::F64)?.flatten_all()?.to_vec1()
}
