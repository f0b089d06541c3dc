//! Loops over slices of f32, without a tensor in sight.
//!
//! Work is cut into tasks by shape alone, never by the number of threads, and sums are taken in a
//! fixed order: results have the same bits on one thread and on many. This folder alone may hold
//! `unsafe` code.

#![allow(
    clippy::inline_always,
    reason = "what is not inlined into a function of an instruction set is compiled without it"
)]

pub(crate) mod act;
pub(crate) mod amx;
pub(crate) mod axis;
pub(crate) mod channels;
pub(crate) mod class_sums;
pub(crate) mod direct;
pub(crate) mod element;
mod fresh;
mod gemm;
pub(crate) mod norm;
pub(crate) mod pool;
mod product;
pub(crate) mod reading;
mod scratch;
pub(crate) mod softmax;
mod tile;
pub(crate) mod transpose;
pub(crate) mod update;
mod vectors;
pub(crate) mod winograd;
