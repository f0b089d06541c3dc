//! `sconce train --explain`: what a run would do, and who says so.

use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use sconce::data::Layout as _;
use sconce::engine::{RunConfig, plan_run};
use sconce::models::Summary;
use serde::Serialize;

use super::read_traced;
use crate::output::Output;

/// The settings as a run file with remarks, which is one itself.
#[derive(Debug, Serialize)]
struct Explained {
    /// What a program reads: the settings alone.
    settings: RunConfig,
    #[serde(skip)]
    text: String,
}

pub(super) fn run(path: &Path, settings: &[String], data: Option<&Path>) -> anyhow::Result<Output> {
    let (config, sources) = read_traced(path, settings)?;
    let mut text = config.explained(&sources)?;
    if let Some(data) = data {
        text.push_str(&planned(&config, data).with_context(|| path.display().to_string())?);
    }
    Ok(Output::of(&Explained { settings: config, text }))
}

/// What is planned from the data, as remarks.
fn planned(config: &RunConfig, data: &Path) -> anyhow::Result<String> {
    /// What a run writes into `plan.json` and `config.json`.
    #[derive(Serialize)]
    struct Planned<'a> {
        plan: &'a sconce::preprocess::Plan,
        model: &'a sconce::models::ModelConfig,
    }
    let dataset = config.data.open(data)?;
    let (plan, network, split) = plan_run(config, dataset.as_ref())?;
    let summary = Summary::of(network.architecture.as_dyn(), network.interface)?;
    let mut text = format!(
        "\n# Planned from {} cases of {}, with {} held out; {} parameters:\n",
        split.train.len(),
        dataset.description().name,
        split.val.len(),
        summary.parameters,
    );
    let planned = Planned { plan: &plan, model: &network.architecture };
    for line in toml::to_string(&planned)?.lines() {
        _ = writeln!(text, "{}", format!("# {line}").trim_end());
    }
    Ok(text)
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
