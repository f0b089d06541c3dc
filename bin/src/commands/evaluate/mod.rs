//! `sconce evaluate`: how good predictions are, in overlap, distance and calibration.

mod files;
mod model;
mod parts;
mod show;
mod wishes;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::engine::calibrate::Calibration;
use sconce::engine::evaluate::{self, Evaluation, Part};
use sconce::engine::{DeviceChoice, file};
use serde::Serialize;

use self::wishes::Wishes;
use super::train::write_scores;
use crate::job::Job;
use crate::output::{Output, Usage, one_line};
use crate::shard::Shard;

/// Score a trained network on a data set, or predictions in files against references
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Give --model and --data, or --predictions with --references or --data.\n\
                  Several folders of references are several raters; cases are matched by the names of files, or of a data set's cases.")]
pub(crate) struct Args {
    #[command(subcommand)]
    merge: Option<Merge>,
    /// A run folder, a model folder, or hub:owner/name[@revision]
    #[arg(long, short, value_name = "MODEL", requires = "data", conflicts_with = "predictions")]
    model: Option<String>,
    /// The data folder to predict and score, or to hold predictions against
    #[arg(long, value_name = "DIR", conflicts_with = "references")]
    data: Option<PathBuf>,
    /// The run file whose [data] says how the folder is laid out; default: the model's own, or what the folder's names say
    #[arg(long, value_name = "FILE", requires = "data")]
    run: Option<PathBuf>,
    /// Score every case, not the held-out ones alone
    #[arg(long, requires = "model")]
    all: bool,
    /// none, temperature or vector: what is done to logits; default: as the model was scored
    #[arg(long, value_name = "CALIBRATION", requires = "model")]
    calibration: Option<Calibration>,
    /// A folder of predicted label files, files of probabilities, or nnU-Net's NPZ files
    #[arg(long, value_name = "DIR")]
    predictions: Option<PathBuf>,
    /// A folder of reference label files with the same names; several, one for each rater
    #[arg(long, value_name = "DIR", num_args = 1.., requires = "predictions")]
    references: Vec<PathBuf>,
    /// References are probabilities, one channel for each class
    #[arg(long, requires = "references")]
    soft: bool,
    /// Further predictions of the same cases, such as those of other folds: how far they are apart is noted
    #[arg(long, value_name = "DIR", num_args = 1.., requires = "predictions")]
    members: Vec<PathBuf>,
    /// Names of label values, such as 1=liver,2=tumour; default: the values found in either folder
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "references")]
    classes: Vec<String>,
    /// Move predictions to the grid of their reference where they lie on another
    #[arg(long, requires = "predictions")]
    resample: bool,
    /// Score what there is of both, where predictions or references are missing
    #[arg(long, requires = "predictions")]
    allow_missing: bool,
    #[command(flatten)]
    wishes: Wishes,
    /// Also write the evaluation to this folder, as summary.json, cases.csv and cases.parquet; or to this file, if its name ends in .json
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Score every Nth case alone, from the Ith on, into a file of the output folder that names both; `sconce evaluate merge` puts all N together
    #[arg(long, value_name = "I/N", requires = "output")]
    shard: Option<Shard>,
    /// auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t, value_name = "DEVICE")]
    device: DeviceChoice,
}

#[derive(Debug, clap::Subcommand)]
enum Merge {
    /// Put together what shards have scored: the same files, to the byte, that one command without --shard writes
    Merge {
        /// The output folder of the shards
        folder: PathBuf,
    },
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Evaluation);

/// What was scored: all cases, or those of a shard.
enum Scored {
    All(Box<Evaluation>),
    Part(Box<Part>),
}

impl Scored {
    /// With more that is to be said of all cases together.
    fn with(self, more: impl FnOnce(Evaluation) -> Evaluation) -> Self {
        match self {
            Self::All(evaluation) => Self::All(Box::new(more(*evaluation))),
            Self::Part(part) => Self::Part(Box::new(part.framed(more))),
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    if let Some(Merge::Merge { folder }) = &args.merge {
        let evaluation = parts::merged(folder)?;
        write(folder, &evaluation)?;
        return Ok(Output::of(&Report(evaluation)));
    }
    let job = Job::sharing(args.shard)?;
    let output = job.run(|| of_process(args, &job))?;
    job.finish()?;
    Ok(output)
}

fn of_process(args: &Args, job: &Job) -> anyhow::Result<Output> {
    if let (Some(_), Some(output)) = (args.shard, &args.output) {
        parts::check(output)?;
    }
    let settings = args.wishes.settings().map_err(|error| Usage(one_line(&error)))?;
    let scored = match (&args.model, &args.data, &args.predictions) {
        (Some(model), Some(data), None) => {
            model::evaluate((args, job.shard()), model, data, &settings)?
        }
        (None, data, Some(predictions)) if data.is_some() || !args.references.is_empty() => {
            files::evaluate((args, job.shard()), predictions, &settings)?
        }
        _ => {
            let usage = "give --model and --data, or --predictions with --references or --data";
            return Err(Usage(usage.to_owned()).into());
        }
    };
    let evaluation = match (scored, &args.output, args.shard) {
        (Scored::All(evaluation), ..) => *evaluation,
        (Scored::Part(part), Some(folder), Some(shard)) => {
            return parts::write(folder, shard, &part);
        }
        (Scored::Part(_), None, Some(_)) => {
            return Err(Usage("--shard needs --output".to_owned()).into());
        }
        (Scored::Part(part), _, None) => match job.gather(*part)? {
            Some(parts) => evaluate::merge(parts)?,
            None => return Ok(Job::silent(false)),
        },
    };
    if let Some(path) = &args.output {
        write(path, &evaluation)?;
    }
    Ok(Output::of(&Report(evaluation)))
}

/// Writes the evaluation, and its tables where `path` is a folder.
fn write(path: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
    if path.extension().is_some_and(|it| it == "json") {
        return Ok(file::write_json(path, evaluation)?);
    }
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    file::write_json(&path.join("summary.json"), evaluation)?;
    let mut table = Vec::new();
    evaluate::csv(evaluation, &mut table)?;
    file::write_atomic(&path.join("cases.csv"), &table)?;
    #[cfg(feature = "hub")]
    file::write_atomic(&path.join("cases.parquet"), &evaluate::parquet(evaluation)?)?;
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scores(f, &self.0)?;
        show::write_more(f, &self.0)
    }
}
