//! Medical image segmentation from image files to a calibrated model.

mod allocator;
mod backend;
mod command_line;
mod commands;
mod dashboard;
mod defect;
mod interrupt;
mod invocation;
mod job;
mod memory_size;
mod output;
mod progress;
mod resolve;
mod shard;
mod threads;
mod tracking;
mod workers;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

use sconce::ranks::Launch;

use crate::commands::Command;
use crate::output::Format;
use crate::progress::note;

/// Medical image segmentation: train, predict, evaluate, publish
#[derive(Debug, Parser)]
#[command(name = "sconce", version, after_help = "Research software, not a medical device.")]
struct Cli {
    /// Print for people or for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(display_order = 900)]
    format: Format,

    /// Threads for everything, at most 1024; default: one for each core
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(threads::MOST)))]
    #[arg(display_order = 901)]
    threads: Option<u16>,

    /// Say nothing on standard error but errors and warnings: no progress, no notes
    #[arg(long, short, global = true, display_order = 902)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

/// 0: done. 1: the command failed. 2: the command line itself is wrong.
fn main() -> ExitCode {
    allocator::keep_pages();
    workers::follow_parent();
    defect::guarded(run).unwrap_or_else(|line| {
        note(&line);
        ExitCode::FAILURE
    })
}

fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) if error.kind() == DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        Err(error) => {
            note(&output::usage_line(&error));
            return ExitCode::from(2);
        }
    };
    if cli.quiet {
        progress::be_quiet();
    }
    let launch = Launch::detect(|name| std::env::var(name).ok());
    let outcome = threads::bind(cli.threads.map(usize::from), launch.as_ref())
        .and_then(|()| backend::choose())
        .and_then(|()| cli.command.run())
        .and_then(|report| Ok((report.text(cli.format)?, report.code())));
    match outcome {
        Ok((text, code)) if text.is_empty() => code,
        Ok((text, code)) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => code,
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
            Err(error) => {
                let error = anyhow::Error::from(error).context("cannot write the result");
                note(&format!("error: {}", output::one_line(&error)));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            note(&format!("error: {}", output::one_line(&error)));
            output::exit_code(&error)
        }
    }
}
