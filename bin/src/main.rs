//! Medical image segmentation from image files to a calibrated model.

mod backend;
mod commands;
mod output;
mod progress;
mod threads;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::output::Format;

// Training allocates and frees a hundred large tensors a step; the system's allocator gives their
// pages back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Medical image segmentation: train, predict, evaluate, publish
///
/// Research software, not a medical device.
#[derive(Debug, Parser)]
#[command(name = "sconce", version, max_term_width = 100)]
struct Cli {
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    /// Threads for everything; default: one for each core
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    #[command(subcommand)]
    command: Command,
}

/// 0: done. 1: the command failed. 2: the command line itself is wrong.
fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = threads::bind(cli.threads.map(usize::from))
        .and_then(|()| backend::choose())
        .and_then(|()| cli.command.run())
        .and_then(|report| Ok((report.text(cli.format)?, report.code())));
    match outcome {
        Ok((text, code)) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => code,
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            // Nothing is left to do where even this cannot be written.
            _ = writeln!(io::stderr(), "error: {}", output::one_line(&error));
            output::exit_code(&error)
        }
    }
}
