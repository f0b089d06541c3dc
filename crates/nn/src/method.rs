use std::cell::Cell;
use std::str::FromStr;

use crate::choice::Choice;

/// How native convolutions on the CPU multiply.
///
/// Chosen when a layer runs, through [`set_method`] or [`with_method`]. Results differ in rounding
/// alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// With fewer multiplications where kernels are 3 wide along at least two axes and strides are 1
    /// (Winograd's F(2, 3) along each axis, or F(4, 3) along the last one), else directly. Rounding
    /// errors are those of a direct convolution.
    #[default]
    Auto,
    /// As a convolution is defined.
    Direct,
    /// As [`Auto`](Self::Auto), with fewer multiplications still (F(4, 3) along the last two axes)
    /// where that pays. Rounding errors are about twice those of a direct convolution.
    Fast,
}

thread_local! {
    static SCOPE: Cell<Option<u8>> = const { Cell::new(None) };
}

static METHOD: Choice = Choice::new(Method::Auto as u8, &SCOPE);

/// Sets the method of this process, and returns the one that it replaces.
pub fn set_method(method: Method) -> Method {
    Method::from_code(METHOD.set(method as u8))
}

/// The method that convolutions use now, on this thread.
pub fn method() -> Method {
    Method::from_code(METHOD.get())
}

/// What `run` returns, its convolutions computed by `method`, on this thread alone; a backward pass
/// uses what is set when it runs.
pub fn with_method<T>(method: Method, run: impl FnOnce() -> T) -> T {
    METHOD.with(method as u8, run)
}

impl Method {
    fn from_code(code: u8) -> Self {
        [Self::Auto, Self::Direct, Self::Fast][usize::from(code)]
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "direct" => Ok(Self::Direct),
            "fast" => Ok(Self::Fast),
            _ => Err(format!("{text:?} is no method; use auto, direct or fast")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_where_it_was_opened() {
        let outer = method();

        let inner = with_method(Method::Direct, method);

        assert_eq!((inner, method()), (Method::Direct, outer));
        assert_eq!("direct".parse(), Ok(Method::Direct));
        assert!("winograd".parse::<Method>().is_err());
    }
}
