//! `sconce report`: one HTML file of one or several runs.

use std::fmt;
use std::path::PathBuf;

use sconce::engine::evaluate::Calibration;
use sconce::engine::file;
use sconce::engine::report::{self, ReportInput};
use serde::Serialize;

use crate::output::Output;

/// Write a single-file HTML report of one or several runs, models or evaluations; several are compared
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folders of runs, of models with an evaluation, or what `sconce evaluate --output` wrote
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,
    /// Also write the reliability diagram, before and after calibration, as an SVG file
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    figure: Option<PathBuf>,
    runs: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let input = report::of_folders(&args.runs)?;
    file::write_atomic(&args.output, report::html(&input).as_bytes())?;
    if let Some(figure) = &args.figure {
        file::write_atomic(figure, reliability(&input).as_bytes())?;
    }
    let (output, figure) = (args.output.clone(), args.figure.clone());
    Ok(Output::of(&Report { output, figure, runs: args.runs.len() }))
}

/// The reliability of every run, before calibration where that is known, and after.
fn reliability(input: &ReportInput) -> String {
    let mut named: Vec<(String, &Calibration)> = Vec::new();
    for evaluation in &input.evaluations {
        let before = input.before.iter().filter(|(name, _)| *name == evaluation.name);
        named.extend(before.map(|(name, before)| (format!("{name}, before"), before)));
        if let Some(after) = &evaluation.calibration {
            named.push((format!("{}, calibrated", evaluation.name), after));
        }
    }
    let series: Vec<(&str, &Calibration)> =
        named.iter().map(|(name, calibration)| (name.as_str(), *calibration)).collect();
    report::reliability_svg(&series)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrote {}", self.output.display())?;
        match &self.figure {
            Some(figure) => write!(f, " and {}", figure.display()),
            None => Ok(()),
        }
    }
}
