//! `sconce zoo schema`: what the JSON files look like.

use std::fmt;

use anyhow::bail;
use sconce::engine::{SCHEMAS, Schema};
use serde::Serialize;

use crate::output::{Output, Usage};

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind of file, such as config; default: a list of them
    name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Text(serde_json::Value);

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    version: u32,
    found: &'static str,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        let Some(name) = &self.name else {
            let row = |it: &Schema| Row { name: it.name, version: it.version, found: it.found };
            return Ok(Output::of(&List(SCHEMAS.iter().map(row).collect())));
        };
        let Some(schema) = Schema::named(name) else {
            let names: Vec<&str> = SCHEMAS.iter().map(|schema| schema.name).collect();
            bail!(Usage(format!("there is no schema {name}; there are {}", names.join(", "))));
        };
        Ok(Output::of(&Text(serde_json::from_str(&schema.text())?)))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { name, version, found } in &self.0 {
            writeln!(f, "{name:<12} {version}   {found}")?;
        }
        Ok(())
    }
}
