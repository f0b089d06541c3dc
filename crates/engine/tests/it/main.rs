//! The engine on data small enough to learn in seconds.

extern crate sconce_engine as engine;

mod fixture;
mod golden;
mod refusals;
mod training;
