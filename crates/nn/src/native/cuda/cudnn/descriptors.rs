//! What cuDNN is told of tensors, filters and convolutions.

use std::ffi::c_int;

use candle::Result;
use candle::cuda_backend::cudarc::cudnn::{result, sys};

use super::plan::Math;
use crate::native::cuda::launch::Kind;

/// A descriptor, which ends with its owner.
macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $create:path, $destroy:path) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name($raw);

        impl $name {
            fn create() -> Result<Self> {
                $create().map(Self).map_err(candle::Error::wrap)
            }

            pub(super) fn get(&self) -> $raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                #[expect(unsafe_code, reason = "cudarc has no safe call for it")]
                // SAFETY: it was created once, and is destroyed once.
                let _ = unsafe { $destroy(self.0) };
            }
        }
    };
}

descriptor! {
    /// Of a tensor `(N, C, *S)` that lies as `(N, *S, C)`.
    Tensor, sys::cudnnTensorDescriptor_t,
    result::create_tensor_descriptor, result::destroy_tensor_descriptor
}

descriptor! {
    /// Of a weight `(coarse channels, fine channels / groups, *K)` that lies with channels last.
    Filter, sys::cudnnFilterDescriptor_t,
    result::create_filter_descriptor, result::destroy_filter_descriptor
}

descriptor! {
    /// Of a convolution.
    Convolution, sys::cudnnConvolutionDescriptor_t,
    result::create_convolution_descriptor, result::destroy_convolution_descriptor
}

fn data_type(kind: Kind) -> sys::cudnnDataType_t {
    match kind {
        Kind::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        Kind::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        Kind::F16 => sys::cudnnDataType_t::CUDNN_DATA_HALF,
        Kind::I32 => sys::cudnnDataType_t::CUDNN_DATA_INT32,
    }
}

impl Tensor {
    pub(super) fn new(
        kind: Kind,
        samples: c_int,
        channels: c_int,
        space: &[c_int],
    ) -> Result<Self> {
        let descriptor = Self::create()?;
        let dims = [&[samples, channels], space].concat();
        let mut strides = vec![1; dims.len()];
        let mut stride = channels;
        for axis in (2..dims.len()).rev() {
            strides[axis] = stride;
            stride *= dims[axis];
        }
        strides[0] = stride;
        let (count, kind) = (rank(&dims)?, data_type(kind));
        #[expect(unsafe_code, reason = "cudarc has no safe call for types known at run time")]
        // SAFETY: the descriptor lives, and both lists have `count` entries.
        let set = unsafe {
            result::set_tensornd_descriptor(
                descriptor.0,
                kind,
                count,
                dims.as_ptr(),
                strides.as_ptr(),
            )
        };
        set.map_err(candle::Error::wrap)?;
        Ok(descriptor)
    }
}

impl Filter {
    pub(super) fn new(kind: Kind, outputs: c_int, inputs: c_int, space: &[c_int]) -> Result<Self> {
        let descriptor = Self::create()?;
        let dims = [&[outputs, inputs], space].concat();
        let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let (count, kind) = (rank(&dims)?, data_type(kind));
        #[expect(unsafe_code, reason = "cudarc has no safe call for types known at run time")]
        // SAFETY: the descriptor lives, and the list has `count` entries.
        let set = unsafe {
            result::set_filternd_descriptor(descriptor.0, kind, format, count, dims.as_ptr())
        };
        set.map_err(candle::Error::wrap)?;
        Ok(descriptor)
    }
}

impl Convolution {
    /// Computes in f32.
    pub(super) fn new(
        padding: &[c_int],
        stride: &[c_int],
        dilation: &[c_int],
        groups: c_int,
    ) -> Result<Self> {
        let descriptor = Self::create()?;
        let count = rank(padding)?;
        #[expect(unsafe_code, reason = "cudarc has no safe call for types known at run time")]
        // SAFETY: the descriptor lives, and all lists have `count` entries.
        let set = unsafe {
            result::set_convolutionnd_descriptor(
                descriptor.0,
                count,
                padding.as_ptr(),
                stride.as_ptr(),
                dilation.as_ptr(),
                sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            )
            .and_then(|()| result::set_convolution_group_count(descriptor.0, groups))
        };
        set.map_err(candle::Error::wrap)?;
        Ok(descriptor)
    }

    /// Which units of the device may multiply.
    pub(super) fn set_math(&mut self, math: Math) -> Result<()> {
        #[expect(unsafe_code, reason = "cudarc has no safe call for types known at run time")]
        // SAFETY: the descriptor lives.
        unsafe { result::set_convolution_math_type(self.0, math) }.map_err(candle::Error::wrap)
    }
}

fn rank(extents: &[c_int]) -> Result<c_int> {
    c_int::try_from(extents.len()).map_err(candle::Error::wrap)
}
