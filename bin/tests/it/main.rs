//! The program as users meet it: its commands, files, messages and exit codes.

mod damage;
mod hub;
mod labels;
mod predicting;
mod program;
mod readme;
mod training;
mod transcripts;
mod workflow;
