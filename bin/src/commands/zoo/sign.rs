//! `sconce zoo keygen` and `sign`: who made a model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sconce::zoo;

use crate::output::Output;
use crate::resolve::resolve;

/// Make a pair of keys to sign models with, as minisign and rsign use them
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// The file of the secret key; the public one goes beside it, as KEY.pub
    key: PathBuf,
    #[arg(
        long,
        value_name = "FILE",
        help = "A file with the secret key's password; default: SCONCE_KEY_PASSWORD, and else none"
    )]
    password_file: Option<PathBuf>,
}

/// Sign a model folder
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The model folder
    model: String,
    /// The file of the secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[arg(
        long,
        value_name = "FILE",
        help = "A file with the secret key's password; default: SCONCE_KEY_PASSWORD"
    )]
    password_file: Option<PathBuf>,
}

impl Keygen {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        let password = password(self.password_file.as_deref())?;
        Ok(Output::of(&zoo::generate_keys(&self.key, password)?))
    }
}

impl Sign {
    pub(crate) fn run(&self) -> anyhow::Result<Output> {
        ensure!(
            !self.model.starts_with("hub:"),
            "{} is the hub's cache; sign the folder that you push",
            self.model
        );
        let password = password(self.password_file.as_deref())?;
        Ok(Output::of(&zoo::sign(&resolve(&self.model)?, &self.key, password)?))
    }
}

/// The first line of the file; else what the environment says. Neither is ever an argument, which all users of a machine see.
fn password(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(std::env::var("SCONCE_KEY_PASSWORD").ok()) };
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "{} holds no password; write one in its first line", file.display());
    Ok(Some(line.to_owned()))
}
