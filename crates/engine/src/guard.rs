use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

/// What `work` on a case comes to; where it panics, an error that names the case. A defect in one
/// case must neither take down the threads that work on others, nor end an epoch early.
pub(crate) fn guarded<T>(id: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(panicked(payload.as_ref()).in_case(id)))
}

/// The error that a panic is, on one line. Where it happened is not known here: the program prints
/// that only where it is asked to.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let words = text.unwrap_or("it did not say why").split_whitespace();
    let text = words.collect::<Vec<_>>().join(" ");
    Error::Panicked { reason: format!("{text}; RUST_BACKTRACE=1 shows where") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_names_the_case() {
        let number = 7;

        let error = guarded::<()>("case_7", || panic!("voxel {number}\n  is odd")).unwrap_err();

        let expected = "case case_7: this program has a defect (voxel 7 is odd; RUST_BACKTRACE=1 \
                        shows where); report it, and leave the case out for now";
        assert_eq!(error.to_string(), expected);
    }
}
