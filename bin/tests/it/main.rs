//! The program as users meet it: its commands, files, messages and exit codes.

mod clusters;
mod damage;
mod dicom_slices;
mod distilling;
mod folds;
mod hub;
mod importing;
mod labels;
mod lost;
mod memory;
mod outputs;
#[cfg(feature = "hub")]
mod parquet;
mod predicting;
mod privacy;
mod program;
mod prompting;
mod quickstart;
mod readme;
mod rebuilding;
mod scoring;
mod shards;
mod studying;
#[cfg(feature = "mlflow")]
mod tracking;
mod training;
mod transcripts;
mod watching;
mod workflow;
