//! Reference cases, computed by implementations that we did not write, and how tests run them.
//!
//! A folder holds, for each group such as `losses`, a manifest `losses.json` and the tensors
//! `losses.safetensors`. The environment variable `SCONCE_GOLDEN_DIR` names a full folder, by its
//! absolute path: then cases come from there alone, and a group that it lacks is reported as
//! skipped. Where it is unset, the compact copy in this crate serves, and every test runs cases of
//! it.
//!
//! ```no_run
//! # fn run_one(case: &sconce_golden::Case) -> anyhow::Result<()> { Ok(()) }
//! use sconce_golden::{Exempt, Group};
//!
//! const EXEMPT: &[Exempt] = &[Exempt {
//!     function: "TopKLoss",
//!     when: |_| true,
//!     reason: "top-k cross entropy is not implemented yet",
//! }];
//! Group::load("losses").check(|case| case.function != "drawn by another crate", EXEMPT, run_one);
//! ```
//!
//! Tests of tensors run on the device that `SCONCE_TEST_DEVICE` names, `cpu`, `cuda` or `metal`: the
//! macros [`device!`] and [`dtype!`].
//!
//! A crate runs every case that is its own. What it does not support is listed as [`Exempt`], by
//! function and a predicate on the parameters; an entry is stale, and fails the test, as soon as
//! one case that it covers passes. A panic is never exempt.

mod case;
mod compare;
mod folders;
mod group;
mod named;
mod tensor;

pub use crate::case::Case;
pub use crate::compare::{Tolerance, close, number};
pub use crate::group::{Exempt, Group};
pub use crate::named::TestDevice;
pub use crate::tensor::Tensor;
