//! Image files and data set folders, read into cases.
//!
//! The only crate that opens image files. It reads local files, and nothing else: no cache, no
//! sampling, no augmentation, no network.

mod case;
mod error;

pub use crate::case::{Case, Class, Dataset, Description};
pub use crate::error::{Error, Result};
