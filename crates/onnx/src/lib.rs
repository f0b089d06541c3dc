//! ONNX files: a graph of operators with its weights, built node by node and written without protoc.
//!
//! A [`Graph`] hands out a [`Value`] for what is given ([`Graph::input`]), for parameters and constants
//! ([`Graph::parameter`], [`Graph::numbers`], [`Graph::integers`]) and for what each node gives: any
//! operator by [`Graph::node`] with its [`Attribute`]s, and those with many settings by methods of their own,
//! such as [`Graph::conv`], which takes a [`Window`], or [`Graph::resize`], which takes a [`Size`] and a
//! [`ResizeMode`]. [`Graph::encode`] makes the bytes of a file. Tensors are `(N, C, *S)`.
//!
//! Operators are those of ONNX's own opset [`OPSET`], of 2022; none is of a runtime's own. [`proto`] has the messages of the file format. [`Error`] says what cannot be written.
//!
//! It does not know what a network is, checks no shapes, and reads no files: `onnx.checker` and a runtime do.
//!
//! # Examples
//!
//! ```
//! use prost::Message as _;
//! use sconce_onnx::{Extent, Graph, proto::ModelProto};
//!
//! let mut graph = Graph::new("double");
//! let x = graph.input("x", &[Extent::Named("n".to_owned())])?;
//! let two = graph.numbers(&[2.0], &[1])?;
//! let y = graph.node("Mul", &[&x, &two], &[]);
//! graph.output("y", &y, &[Extent::Named("n".to_owned())])?;
//! let bytes = graph.encode("sconce", "0.1.0", [("purpose", "an example")])?;
//!
//! let model = ModelProto::decode(&bytes[..]).expect("what was encoded");
//! assert_eq!(model.metadata_props[0].value(), "an example");
//! # Ok::<(), sconce_onnx::Error>(())
//! ```

mod error;
mod graph;
mod operators;
pub mod proto;

pub use crate::error::{Error, Result};
pub use crate::graph::{Attribute, Extent, Graph, OPSET, Value};
pub use crate::operators::{ResizeMode, Size, Window};
