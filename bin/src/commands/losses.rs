//! `sconce losses`: the table of losses.

use std::fmt;

use sconce::losses::{Documentation, Loss as _, LossConfig};
use serde::Serialize;

use crate::output::{Output, Usage};

/// List the losses, or show the settings of one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One loss, as run files name it
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    soft_label_ready: bool,
    paper: Option<String>,
    defaults: serde_json::Value,
    #[serde(skip)]
    snippet: String,
    #[serde(skip)]
    documentation: Documentation,
}

/// The part of a run file that names the loss.
#[derive(Serialize)]
struct RunFile<'a> {
    loss: &'a LossConfig,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report {
    rows: Vec<Row>,
    #[serde(skip)]
    detail: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let mut rows = Vec::new();
    for config in LossConfig::defaults() {
        let name = config.name();
        if args.name.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let json = serde_json::to_value(&config)?;
        let defaults = json.get(name).cloned().unwrap_or_default();
        let snippet = toml::to_string(&RunFile { loss: &config })?;
        let soft_label_ready = config.soft_label_ready();
        let documentation = config.documentation();
        let paper = documentation.preprint().map(str::to_owned);
        rows.push(Row { name, soft_label_ready, paper, defaults, snippet, documentation });
    }
    if rows.is_empty() {
        let name = args.name.as_deref().unwrap_or_default();
        let names = LossConfig::NAMES.join(", ");
        return Err(Usage(format!("{name} is not a loss; there are {names}")).into());
    }
    Ok(Output::of(&Report { rows, detail: args.name.is_some() }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail {
            for row in &self.rows {
                let Documentation { text, source, settings } = &row.documentation;
                writeln!(f, "{}\n\n{text}\n", row.name)?;
                if !source.is_empty() {
                    writeln!(f, "source: {}\n", source.replace('\n', " "))?;
                }
                let width = settings.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
                for (name, meaning) in settings {
                    writeln!(f, "  {name:<width$}  {meaning}")?;
                }
                writeln!(f)?;
                let answer =
                    if row.soft_label_ready { "yes" } else { "no: refused unless allow_soft" };
                writeln!(f, "soft labels: {answer}\n\nin a run file, with its defaults:\n")?;
                writeln!(f, "{}", row.snippet)?;
            }
            return Ok(());
        }
        writeln!(f, "{:<22} {:<12} {:<17} defaults", "name", "soft labels", "paper")?;
        for row in &self.rows {
            let soft = if row.soft_label_ready { "yes" } else { "no" };
            let paper = row.paper.as_deref().unwrap_or("-");
            let defaults = one_line(&row.defaults);
            writeln!(f, "{:<22} {soft:<12} {paper:<17} {defaults}", row.name)?;
        }
        Ok(())
    }
}

/// `key=value` pairs of the scalars of an object.
pub(super) fn one_line(value: &serde_json::Value) -> String {
    let Some(object) = value.as_object() else { return String::new() };
    let scalar = |(key, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Null => format!("{key}=none"),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => format!("{key}=…"),
        serde_json::Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    object.iter().map(scalar).collect::<Vec<_>>().join(" ")
}
