//! `sconce zoo search`, `pull`, `push` and `rm`: models of the hub, and of its cache.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::output::Output;
use crate::resolve::{self, hub};

/// Find models on the hub
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// What the name, or the card, is to hold
    text: String,
}

/// Bring a model from the hub into the hub's cache, once and for all
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// hub:owner/name[@revision]
    model: String,
    /// Also copy it to this folder
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Publish a model folder on the hub, in one commit
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The model folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// hub:owner/name[@branch]; what is not there is made
    model: String,
    /// Make the repository private, where it has to be made
    #[arg(long)]
    private: bool,
    /// What the commit is called
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Tag the commit
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
}

/// Remove a model of the hub from this machine's cache
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// hub:owner/name, or one revision of it with @revision
    model: String,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct List<T>(Vec<T>);

impl Search {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        Ok(Output::of(&List(hub::search(&self.text)?)))
    }
}

impl Pull {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        let pulled = hub::pull(&resolve::of_hub(&self.model)?, self.output.as_deref())?;
        Ok(Output::of(&pulled))
    }
}

impl Push {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        let model = resolve::of_hub(&self.model)?;
        let (message, tag) = (self.message.as_deref(), self.tag.as_deref());
        Ok(Output::of(&hub::push(&self.folder, &model, self.private, message, tag)?))
    }
}

impl Rm {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        Ok(Output::of(&hub::remove(&resolve::of_hub(&self.model)?)?))
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "no models there");
        }
        self.0.iter().try_for_each(|found| writeln!(f, "{found}"))
    }
}
