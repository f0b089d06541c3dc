use std::cell::Cell;
use std::str::FromStr;

use candle::{DType, Device, Result, Tensor};

use crate::choice::Choice;
use crate::{Error, native};

/// Which implementation computes a layer.
///
/// Both give the same values up to rounding. Set once, by the program, through [`set_backend`], or
/// for a comparison through [`with_backend`]; a layer that was applied under one backend keeps it
/// for its backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Backend {
    /// The native kernel where the device has one for the type, else the reference.
    #[default]
    Auto,
    /// Candle's own operations alone: slow, but on every device, and the oracle for the others.
    Reference,
    /// The native kernel, and an error where the type or the device has none. Layers that are
    /// candle operations everywhere (layer norm, pixel shuffle, grid sampling), and optimizers, run as
    /// ever.
    Native,
}

thread_local! {
    /// The backend of the innermost [`with_backend`] on this thread.
    static SCOPE: Cell<Option<u8>> = const { Cell::new(None) };
}

static BACKEND: Choice = Choice::new(Backend::Auto as u8, &SCOPE);

/// Sets the backend of this process, and returns the one that it replaces.
pub fn set_backend(backend: Backend) -> Backend {
    Backend::from_code(BACKEND.set(backend as u8))
}

/// The backend that layers use now, on this thread.
pub fn backend() -> Backend {
    Backend::from_code(BACKEND.get())
}

/// What `run` returns, its layers computed by `backend`, on this thread alone.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_nn::{Act, Backend, instance_norm, with_backend};
///
/// let x = Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((1, 3, 4, 2))?;
/// let norm = || instance_norm(&x, None, None, 1e-5, Act::Relu);
/// let difference = (norm()? - with_backend(Backend::Reference, norm)?)?.abs()?.max_all()?;
/// assert!(difference.to_scalar::<f32>()? < 1e-6);
/// # Ok::<(), candle::Error>(())
/// ```
pub fn with_backend<T>(backend: Backend, run: impl FnOnce() -> T) -> T {
    BACKEND.with(backend as u8, run)
}

impl Backend {
    fn from_code(code: u8) -> Self {
        [Self::Auto, Self::Reference, Self::Native][usize::from(code)]
    }

    /// Whether `op` on such a tensor is computed by a native kernel.
    fn is_native(self, op: &'static str, dtype: DType, device: &Device) -> Result<bool> {
        let exists = native::exists(dtype, device);
        match self {
            Self::Auto => Ok(exists),
            Self::Reference => Ok(false),
            Self::Native if exists => Ok(true),
            Self::Native => {
                Err(Error::NoNative { op, dtype, device: format!("{:?}", device.location()) }
                    .into())
            }
        }
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "reference" => Ok(Self::Reference),
            "native" => Ok(Self::Native),
            _ => Err(format!("{text:?} is no backend; use auto, reference or native")),
        }
    }
}

/// Whether `op` on `x` is computed by a native kernel in this process.
pub(crate) fn is_native(op: &'static str, x: &Tensor) -> Result<bool> {
    backend().is_native(op, x.dtype(), x.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_f32_on_the_cpu_is_native() -> Result<()> {
        let cpu = Device::Cpu;

        assert!(Backend::Auto.is_native("conv", DType::F32, &cpu)?);
        assert!(!Backend::Auto.is_native("conv", DType::F64, &cpu)?);
        assert!(!Backend::Reference.is_native("conv", DType::F32, &cpu)?);
        assert!(Backend::Native.is_native("conv", DType::F32, &cpu)?);
        let error = Backend::Native.is_native("conv", DType::F64, &cpu).unwrap_err().to_string();
        assert!(error.starts_with("conv has no native kernel for F64 on Cpu"), "{error}");
        Ok(())
    }

    #[test]
    fn a_scope_ends_where_it_was_opened() {
        let outer = backend();

        let inner = with_backend(Backend::Native, || {
            (backend(), with_backend(Backend::Reference, backend), backend())
        });

        assert_eq!(inner, (Backend::Native, Backend::Reference, Backend::Native));
        assert_eq!(backend(), outer);
    }

    #[test]
    fn names_are_read() {
        assert_eq!("native".parse(), Ok(Backend::Native));
        assert!("fast".parse::<Backend>().is_err());
    }
}
