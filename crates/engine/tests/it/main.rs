//! The engine on data small enough to learn in seconds.

extern crate sconce_engine as engine;

mod checkpoints;
mod context;
mod data_set_page;
mod distillation;
mod door;
mod fixture;
mod golden;
#[cfg(feature = "mlflow")]
mod mlflow;
mod opinions;
mod parts;
mod plans;
mod prediction;
mod pretrained;
mod preview;
mod prompts;
mod ranks;
mod refusals;
mod regions;
mod robustness;
mod run_file;
mod scores;
mod slices;
mod soft_path;
mod storage;
mod supervision;
mod training;
mod truth;
mod watching;
