//! `sconce dataset check`: all cases at once, or by shards.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, anyhow};
use sconce::data::{self, Dataset, Fold, Looked, Report};
use sconce::engine::file;

use super::{Source, shared};
use crate::job::Job;
use crate::output::Output;
use crate::progress::{Progress, note};
use crate::shard::Shard;

/// What the files of shards are called.
const KIND: &str = "facts";

/// How machines share a check.
#[derive(Debug, clap::Args)]
pub(crate) struct Part {
    /// Look at every Nth case alone, from the Ith on, and say what is wrong with these by themselves
    #[arg(long, value_name = "I/N", conflicts_with = "splits")]
    shard: Option<Shard>,
    /// With --shard, keep in this folder what was seen; without, read it from there and no image: what is wrong with all
    /// cases, as one command says it
    #[arg(long, value_name = "DIR")]
    facts: Option<PathBuf>,
}

pub(super) fn run(source: &Source, splits: Option<&Path>, part: &Part) -> anyhow::Result<Output> {
    let job = Job::sharing(part.shard)?;
    let output = job.run(|| of_process(source, splits, part, &job))?;
    job.finish()?;
    Ok(output)
}

fn of_process(
    source: &Source,
    splits: Option<&Path>,
    part: &Part,
    job: &Job,
) -> anyhow::Result<Output> {
    let (dataset, remark) = source.open()?;
    let dataset = dataset.as_ref();
    let folds = splits.map(data::read_splits).transpose()?.unwrap_or_default();
    let mut report = match (part.shard, &part.facts, job.shard()) {
        (Some(shard), facts, _) => return of_shard(dataset, shard, facts.as_deref()),
        (None, Some(facts), _) => of_facts(dataset, &folds, facts)?,
        (None, None, Some(shard)) => match of_job(dataset, &folds, shard, job)? {
            Some(report) => report,
            None => return Ok(Job::silent(false)),
        },
        (None, None, None) => {
            let progress = Mutex::new(Progress::new("check"));
            let report = data::check_with_folds(dataset, &folds, &|done, total| {
                shared(&progress).count("cases", done, total);
            });
            shared(&progress).finish();
            report
        }
    };
    if !job.is_first() {
        return Ok(Job::silent(false));
    }
    report.problems.extend(remark);
    let failed = report.errors() > 0;
    Ok(Output::of(&report).failing_if(failed))
}

/// What is wrong with the cases of a shard by themselves.
fn of_shard(dataset: &dyn Dataset, shard: Shard, facts: Option<&Path>) -> anyhow::Result<Output> {
    let looked = look(dataset, shard);
    match facts {
        None => note(
            "what compares cases, such as images that there are twice, is not looked at; keep what all shards see with \
             --facts, or check without --shard",
        ),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            file::write_json(&shard.file(folder, KIND), &looked)?;
        }
    }
    let report = looked.report(dataset);
    let failed = report.errors() > 0;
    Ok(Output::of(&report).failing_if(failed))
}

fn look(dataset: &dyn Dataset, shard: Shard) -> Looked {
    let ids: Vec<&str> =
        shard.places(dataset.ids().len()).map(|at| dataset.ids()[at].as_str()).collect();
    let progress = Mutex::new(Progress::new("check"));
    let looked = data::look(dataset, &ids, &|done, total| {
        shared(&progress).count("cases", done, total);
    });
    shared(&progress).finish();
    looked
}

/// What is wrong with all cases, of which each process looks at some; for the first one.
fn of_job(
    dataset: &dyn Dataset,
    folds: &[Fold],
    shard: Shard,
    job: &Job,
) -> anyhow::Result<Option<Report>> {
    let looked = job.gather(look(dataset, shard))?;
    let report = looked.map(|looked| data::check_looked(dataset, folds, looked)).transpose();
    report.map_err(|reason| anyhow!("the processes do not see the same data set: {reason}"))
}

/// What is wrong with all cases, of what shards saw.
fn of_facts(dataset: &dyn Dataset, folds: &[Fold], folder: &Path) -> anyhow::Result<Report> {
    let looked = Shard::files(folder, KIND)?;
    let looked = looked.iter().map(|path| file::read_json::<Looked>(path));
    let looked = looked.collect::<Result<Vec<_>, _>>()?;
    data::check_looked(dataset, folds, looked).map_err(|reason| {
        let folder = folder.display();
        anyhow!("the facts in {folder} are not of these cases: {reason}; run all shards again")
    })
}
