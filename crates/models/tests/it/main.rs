//! The networks: what they compute, what their parameters are called, and what they refuse.

mod checkpoint;
mod config;
mod device;
mod encoders;
mod generated;
mod golden;
mod golden_forward;
mod heads;
mod miscnn;
mod names;
mod onnx;
mod prompts;
mod references;
mod refusals;
mod shapes;
mod small;
