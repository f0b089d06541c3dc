//! `sconce models`: the table of networks.

use std::fmt;

use anyhow::Context as _;
use sconce::models::{Interface, ModelConfig, Summary};
use serde::Serialize;

use super::losses::one_line;
use crate::output::{Output, Usage};

/// List the networks, or show the settings and layers of one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One network, as run files name it
    name: Option<String>,
    /// Image channels
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    channels: u16,
    /// Classes, background included
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    classes: u16,
    /// Spatial axes
    #[arg(long, default_value_t = 3, value_name = "2|3", value_parser = clap::value_parser!(u8).range(2..=3))]
    rank: u8,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    parameters: usize,
    defaults: serde_json::Value,
    #[serde(skip)]
    detail: Option<String>,
}

/// The part of a run file that names the network.
#[derive(Serialize)]
struct RunFile<'a> {
    model: &'a ModelConfig,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Row>);

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let interface = Interface {
        channels: usize::from(args.channels),
        classes: usize::from(args.classes),
        rank: usize::from(args.rank),
    };
    let mut rows = Vec::new();
    for config in ModelConfig::defaults() {
        let name = config.name();
        if args.name.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let summary = Summary::of(config.as_dyn(), interface)
            .with_context(|| format!("cannot build {name}"))?;
        let json = serde_json::to_value(&config)?;
        let detail = if args.name.is_some() {
            let snippet = toml::to_string(&RunFile { model: &config })?;
            Some(format!("{summary}\n\nin a run file, with its defaults:\n\n{snippet}"))
        } else {
            None
        };
        let defaults = json.get(name).cloned().unwrap_or_default();
        rows.push(Row { name, parameters: summary.parameters, defaults, detail });
    }
    if rows.is_empty() {
        let name = args.name.as_deref().unwrap_or_default();
        let names = ModelConfig::NAMES.join(", ");
        return Err(Usage(format!("{name} is not a network; there are {names}")).into());
    }
    Ok(Output::of(&Report(rows)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [Row { name, detail: Some(detail), .. }] = self.0.as_slice() {
            return writeln!(f, "{name}\n\n{detail}");
        }
        writeln!(f, "{:<18} {:>12}  defaults", "name", "parameters")?;
        for row in &self.0 {
            writeln!(f, "{:<18} {:>12}  {}", row.name, row.parameters, one_line(&row.defaults))?;
        }
        Ok(())
    }
}
