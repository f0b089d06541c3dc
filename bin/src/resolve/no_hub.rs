//! What a program that was built without the hub says of it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use sconce::zoo::HubReference;
use serde::Serialize;

/// What is never returned.
#[derive(Debug, Serialize)]
pub(crate) enum Nothing {}

impl fmt::Display for Nothing {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

fn without(doing: &str, instead: &str) -> anyhow::Error {
    anyhow!(
        "cannot {doing}: this program was built without the hub; build it with --features hub{instead}"
    )
}

pub(crate) fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let doing = format!("get {reference}");
    Err(without(&doing, ", or download the model and give its folder"))
}

pub(crate) fn fetch_weights(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let doing = format!("get {reference}");
    Err(without(&doing, ", or download its model.safetensors and give the file"))
}

pub(crate) fn fetch_encoder(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let doing = format!("get {reference}");
    Err(without(&doing, ", or download its files and give their folder"))
}

/// Brings a data set of the hub into a folder.
pub(crate) fn fetch_data_set(reference: &HubReference, _: &Path) -> anyhow::Result<()> {
    let doing = format!("get {reference}");
    Err(without(&doing, ", or download the data set by other means"))
}

pub(crate) fn pull(reference: &HubReference, _: Option<&Path>) -> anyhow::Result<Nothing> {
    fetch(reference)?;
    bail!("nothing was pulled")
}

pub(crate) fn push(
    folder: &Path,
    reference: &HubReference,
    _private: bool,
    _message: Option<&str>,
    _tag: Option<&str>,
) -> anyhow::Result<Nothing> {
    Err(without(&format!("push {} to {reference}", folder.display()), ""))
}

pub(crate) fn search(text: &str) -> anyhow::Result<Vec<Nothing>> {
    Err(without(&format!("search for {text:?}"), ""))
}

pub(crate) fn remove(reference: &HubReference) -> anyhow::Result<Nothing> {
    Err(without(&format!("remove {reference}"), ""))
}
