//! The program as users meet it: its commands, files, messages and exit codes.

mod damage;
mod distilling;
mod hub;
mod labels;
#[cfg(feature = "hub")]
mod parquet;
mod predicting;
mod privacy;
mod program;
mod quickstart;
mod readme;
mod scoring;
mod training;
mod transcripts;
mod watching;
mod workflow;
