//! The device that golden and conformance tests run on: that of `SCONCE_TEST_DEVICE`, else the CPU.

use candle::{DType, Device, Result, Tensor};

/// The device under test.
pub(crate) fn device() -> Device {
    golden::device!()
}

/// Its most precise floats.
pub(crate) fn dtype() -> DType {
    golden::dtype!()
}

/// Floats in the precision of the device.
pub(crate) fn floats(values: &[f64], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(dtype())?.to_device(&device())
}

/// The values of a tensor, whatever its type.
pub(crate) fn values(x: &Tensor) -> Result<Vec<f64>> {
    x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The one value of a tensor, whatever its type.
pub(crate) fn value(x: &Tensor) -> Result<f64> {
    x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar()
}
