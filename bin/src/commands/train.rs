//! `sconce train`: from a run file and a data folder to a trained, scored network.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::data::Layout as _;
use sconce::engine::evaluate::Evaluation;
use sconce::engine::observe::Log;
use sconce::engine::{DeviceChoice, Observer, Run, RunConfig, RunFolder, train, validate};
use serde::Serialize;

use crate::output::Output;
use crate::progress::{Progress, note};

/// Train a network as a run file says, and score it on the cases that it never saw
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run file (see zoo/recipes)
    run: PathBuf,
    /// The data folder, laid out as the run file's [data] says
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to put the run
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Go on from the last checkpoint in the output folder
    #[arg(long)]
    resume: bool,
    /// Another value for a setting of the run file, such as train.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    epochs: usize,
    stopped: bool,
    held_out: usize,
    evaluation: Option<Evaluation>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let config = RunConfig::read_with(&args.run, &args.settings)?;
    let dataset = config.data.open(&args.data)?;
    let device = open(args.device)?;
    let name = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = RunFolder::create(&args.output, args.resume)?;
    let run = Run {
        config: &config,
        dataset: dataset.as_ref(),
        folder: &folder,
        device: &device,
        resume: args.resume,
    };

    let mut progress = Progress::new(&name);
    let mut log = Log::open(&folder.log())?;
    let mut observers: [&mut dyn Observer; 2] = [&mut progress, &mut log];
    let outcome = train(&run, &mut observers).context("training stopped")?;
    let evaluation = if outcome.stopped {
        None
    } else {
        Some(validate(&run, &outcome, &mut observers)?.calibrated)
    };
    progress.finish();
    Ok(Output::of(&Report {
        output: args.output.clone(),
        epochs: outcome.history.len(),
        stopped: outcome.stopped,
        held_out: outcome.held_out.len(),
        evaluation,
    }))
}

/// Opens a device, and says so where `auto` fell back to the CPU.
pub(super) fn open(choice: DeviceChoice) -> anyhow::Result<sconce::Device> {
    let opened = choice.open()?;
    if let Some(reason) = &opened.fallback {
        note(reason);
    }
    Ok(opened.device)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = self.output.display();
        if self.stopped {
            return write!(
                f,
                "stopped after {} epochs; go on with --resume --output {output}",
                self.epochs
            );
        }
        if let Some(evaluation) = &self.evaluation {
            write_scores(f, evaluation)?;
        }
        writeln!(f, "run      {output}")?;
        writeln!(f, "report   sconce report {output} --output report.html")?;
        write!(f, "predict  sconce predict -m {output} -i IMAGE -o FOLDER")
    }
}

/// The scores of an evaluation as a small table.
pub(super) fn write_scores(f: &mut fmt::Formatter<'_>, evaluation: &Evaluation) -> fmt::Result {
    let metrics: Vec<&String> = evaluation
        .definitions
        .keys()
        .filter(|name| evaluation.masks.values().any(|scores| scores.contains_key(*name)))
        .collect();
    write!(f, "{:<16}", format!("{} cases", evaluation.cases.len()))?;
    for metric in &metrics {
        write!(f, " {metric:>10}")?;
    }
    writeln!(f)?;
    for (class, scores) in &evaluation.masks {
        write!(f, "{class:<16}")?;
        for metric in &metrics {
            let mean = scores.get(*metric).and_then(|aggregate| aggregate.mean);
            write!(f, " {:>10}", mean.map_or("–".to_owned(), |mean| format!("{mean:.4}")))?;
        }
        writeln!(f)?;
    }
    if !evaluation.probabilities.is_empty() {
        let each = evaluation.probabilities.iter().map(|(name, aggregate)| {
            let mean = aggregate.mean.map_or("–".to_owned(), |mean| format!("{mean:.4}"));
            format!("{name} {mean}")
        });
        writeln!(f, "{}", each.collect::<Vec<_>>().join("  "))?;
    }
    if let Some(calibration) = &evaluation.calibration {
        writeln!(f, "calibration ({}): ECE {:.4}", calibration.voxels, calibration.ece)?;
    }
    Ok(())
}

/// The folder's own name, for titles.
pub(super) fn title(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
