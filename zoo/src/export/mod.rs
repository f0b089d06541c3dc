//! Model folders, made what other programs read.

mod nnunet;
mod onnx;
mod plans;

pub use self::nnunet::{Exported, export_nnunet};
pub use self::onnx::{ExportedOnnx, export_onnx};
