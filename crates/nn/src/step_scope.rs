//! What one step of work on a device leaves behind.

use candle::{Device, Error};

/// What `run` returns, once `device` has done all that was asked of it.
///
/// A loop of training or prediction calls this for each step. On Metal, what the system would
/// otherwise keep until the thread ends is given back (command buffers, which hold on to the tensors
/// that they use), and buffers become free. Elsewhere it only runs.
///
/// # Errors
///
/// The error of `run`, and that of a device whose work failed.
///
/// # Examples
///
/// ```
/// use candle::{Device, Result, Tensor};
///
/// let device = Device::Cpu;
/// let sum = sconce_nn::step_scope(&device, || -> Result<f32> {
///     Tensor::ones(3, candle::DType::F32, &device)?.sum_all()?.to_scalar()
/// })?;
/// assert_eq!(sum, 3.0);
/// # Ok::<(), candle::Error>(())
/// ```
pub fn step_scope<T, E: From<Error>>(
    device: &Device,
    run: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    match device {
        #[cfg(feature = "metal")]
        Device::Metal(_) => objc2::rc::autoreleasepool(|_| {
            let outcome = run()?;
            device.synchronize()?;
            Ok(outcome)
        }),
        _ => run(),
    }
}
