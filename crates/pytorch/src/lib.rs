//! Files of PyTorch's `torch.save`: tensors, numbers and strings, and nothing else.
//!
//! Such a file is an archive of tensors with a *pickle*: a program for a small machine, which may name any function of
//! Python and have it called. Whoever loads such a file in Python runs it. This crate has no Python: it knows the few
//! functions that make tensors, dictionaries and numbers, and does itself what they would do; every other name is kept
//! as a name ([`Item::opaque`]) that nobody calls.
//!
//! | to do | use |
//! |---|---|
//! | open a file | [`Checkpoint::open`] |
//! | look at what is in it | [`Checkpoint::root`], [`Item`] |
//! | find its tensors | [`Item::tensors`], [`TensorInfo`] |
//! | read one | [`Checkpoint::load`] |
//! | write a file that `torch.load` reads | [`write`](fn@write), [`Value`] |
//! | tell what went wrong | [`Error`], [`Result`] |
//!
//! # What a damaged or hostile file costs
//!
//! An error, and memory that is proportional to the file: nothing that a file announces is believed before it is there.
//!
//! # What it is not
//!
//! It does not read files of PyTorch before 1.6, which are no archives, nor `TorchScript`, nor whole modules: only state
//! dicts and what lies beside them.

mod archive;
mod error;
mod item;
mod known;
mod machine;
mod node;
mod number;
mod reader;
mod tensor;
mod write;

pub use crate::archive::Checkpoint;
pub use crate::error::{Error, Result};
pub use crate::item::Item;
pub use crate::tensor::TensorInfo;
pub use crate::write::{Value, write};
