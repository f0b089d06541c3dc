//! What a program promises of its CUDA device.

use candle::Device;

/// Promises that tensors of `device` never meet another CUDA device of candle, not even another one
/// of the same card: a copy from one to the other would have to go through the CPU.
///
/// Candle creates two events for each tensor on a CUDA device, and records one at each use, to find
/// out on which stream a tensor was used last. A program with one device, opened with
/// `Device::new_cuda_with_stream`, has one stream, and does without from now on. On other devices
/// nothing changes.
///
/// # Examples
///
/// ```
/// sconce_nn::assume_one_stream(&candle::Device::Cpu);
/// ```
pub fn assume_one_stream(device: &Device) {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            #[expect(unsafe_code, reason = "the promise is the caller's")]
            // SAFETY: memory is allocated, used and freed on the stream of `device`, in order, by
            // candle, its libraries and this crate alike; copies to pageable memory of the CPU end
            // before they return. No other stream sees the memory, as the caller promises.
            unsafe {
                device.disable_event_tracking();
            }
        }
        _ => {}
    }
}
