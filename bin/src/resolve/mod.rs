//! What a model is called on the command line: a folder, or a model of the hub.

#[cfg_attr(not(feature = "hub"), path = "no_hub.rs")]
pub(crate) mod hub;

use std::path::PathBuf;

use anyhow::bail;
use sconce::zoo::{self, HubReference, Reference};

/// The folder of a model, fetched from the hub where its name begins with `hub:`.
pub(crate) fn resolve(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => hub::fetch(&reference),
        Reference::Local(_) => Ok(zoo::resolve(name)?),
    }
}

/// A folder with a text encoder: itself, or a repository of the hub.
pub(crate) fn resolve_encoder(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => hub::fetch_encoder(&reference),
        Reference::Local(path) => Ok(path),
    }
}

/// A file of weights: itself, or that of a repository of the hub.
pub(crate) fn resolve_weights(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => hub::fetch_weights(&reference),
        Reference::Local(path) => Ok(path),
    }
}

/// A name that can only be of the hub.
pub(crate) fn of_hub(name: &str) -> anyhow::Result<HubReference> {
    match name.parse()? {
        Reference::Hub(reference) => Ok(reference),
        Reference::Local(_) => bail!("{name:?} is no model of the hub; give hub:OWNER/NAME"),
    }
}
