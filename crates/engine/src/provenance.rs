//! What scores come from: which program, command, seed and data.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::file::{Versioned, read_versioned};
use crate::{Error, Result, content};

/// What an evaluation or a page comes from: no time, host or path, so that equal work says equal things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The program and its version.
    pub version: String,
    /// The command that was run, files and folders by their names alone; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The seed of the run that trained what is scored; `None` where predictions came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The hash of all cases of that run, as its `provenance.json` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_data: Option<String>,
    /// The SHA-256 hash of what was scored: of a line for each case, sorted by name, as `sha256sum` writes it,
    /// of the hash of its predicted labels and their reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored_data: Option<String>,
}

impl Provenance {
    /// Of this program, and of a command.
    pub fn of_command(command: &str) -> Self {
        let version = concat!("sconce ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { version, command: command.to_owned(), ..Self::default() }
    }

    /// The same, of what a run trained.
    #[must_use]
    pub fn of_run(self, run: &RunProvenance) -> Self {
        Self { seed: Some(run.seed), training_data: Some(run.data.clone()), ..self }
    }
}

/// What a run comes from: `provenance.json` in its folder, written when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunProvenance {
    /// The version of this format: 1.
    pub schema: u32,
    /// The program and its version.
    pub version: String,
    /// The command that began it, files and folders by their names alone.
    pub command: String,
    /// Where all its randomness comes from.
    pub seed: u64,
    /// The SHA-256 hash of a line for each case, sorted by name, as `sha256sum` writes it.
    pub data: String,
    /// Of each case, of training and held out, the SHA-256 hash of its image and label, whatever its files are
    /// called or compressed by.
    pub cases: BTreeMap<String, String>,
}

impl RunProvenance {
    pub(crate) fn new(command: &str, seed: u64, cases: BTreeMap<String, String>) -> Self {
        let Provenance { version, command, .. } = Provenance::of_command(command);
        let data = content::of_all(&cases);
        Self { schema: Self::SCHEMA, version, command, seed, data, cases }
    }

    /// That of a run, which `path` is of; `None` where there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        if path.exists() { read_versioned(path).map(Some) } else { Ok(None) }
    }

    /// That cases are what they were when the run began.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], which names one that is not.
    pub(crate) fn expect(&self, cases: &BTreeMap<String, String>) -> Result<()> {
        match cases.iter().find(|(id, hash)| self.cases.get(*id).is_some_and(|it| it != *hash)) {
            None => Ok(()),
            Some((id, _)) => Err(Error::Settings(format!(
                "case {id} is not what it was when the run began; give the data that it began with, or begin a new \
                 run in another folder"
            ))),
        }
    }
}

impl Versioned for RunProvenance {
    const SCHEMA: u32 = 1;
}

impl Evaluation {
    /// With the command that made it, without paths of the user, and the run that trained what is scored.
    #[must_use]
    pub fn made_by(mut self, command: &str, run: Option<&RunProvenance>) -> Self {
        let found = self.provenance.unwrap_or_else(|| Provenance::of_command(command));
        let found = Provenance { command: command.to_owned(), ..found };
        self.provenance = Some(match run {
            Some(run) => found.of_run(run),
            None => found,
        });
        self
    }
}
