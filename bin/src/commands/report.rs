//! `sconce report`: one HTML file of one or several runs.

use std::fmt;
use std::path::PathBuf;

use sconce::engine::{file, report};
use serde::Serialize;

use crate::output::Output;

/// Write a single-file HTML report of one or several runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run folders, or model folders with an evaluation
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    runs: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let input = report::of_folders(&args.runs)?;
    file::write_atomic(&args.output, report::html(&input).as_bytes())?;
    Ok(Output::of(&Report { output: args.output.clone(), runs: args.runs.len() }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrote {}", self.output.display())
    }
}
