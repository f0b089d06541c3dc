//! Model folders, made what other programs read.

mod nnunet;
mod plans;

pub use self::nnunet::{Exported, export_nnunet};
