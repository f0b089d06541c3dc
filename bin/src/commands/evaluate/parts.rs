//! What shards of an evaluation leave in its folder, and what becomes of it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::engine::evaluate::{self, Evaluation, Part};
use sconce::engine::file;
use serde::Serialize;

use crate::output::{Output, Usage};
use crate::shard::Shard;

/// What their files are called.
const KIND: &str = "part";

/// That shards write into a folder.
pub(super) fn check(output: &Path) -> Result<(), Usage> {
    if output.extension().is_none_or(|it| it != "json") {
        return Ok(());
    }
    let output = output.display();
    Err(Usage(format!("with --shard, {output} is to be a folder, for what each shard scored")))
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    part: PathBuf,
    shard: Shard,
    cases: Vec<String>,
    /// How many cases all shards have.
    total: usize,
}

/// Writes the part of a shard, under a name of its own: the others may write at the same time.
pub(super) fn write(folder: &Path, shard: Shard, part: &Part) -> anyhow::Result<Output> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let path = shard.file(folder, KIND);
    let text = serde_json::to_vec(part).with_context(|| path.display().to_string())?;
    file::write_atomic(&path, &text)?;
    let cases = part.ids().map(str::to_owned).collect();
    let output = folder.to_owned();
    Ok(Output::of(&Report { output, part: path, shard, cases, total: part.total() }))
}

/// All parts of a folder, put together.
pub(super) fn merged(folder: &Path) -> anyhow::Result<Evaluation> {
    let parts = Shard::files(folder, KIND)?;
    let parts = parts.iter().map(|path| file::read_versioned::<Part>(path));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    evaluate::merge(parts).with_context(|| format!("cannot merge {}", folder.display()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cases, total, output) = (self.cases.len(), self.total, self.output.display());
        writeln!(f, "scored {cases} of {total} cases: {}", self.part.display())?;
        write!(f, "when all shards are done: sconce evaluate merge {output}")
    }
}
