//! The hub, as the environment says where it is.
//!
//! The client itself follows `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME` and
//! `HF_HUB_CACHE`, and finds the token that `hf auth login` left; it does not know
//! `HF_HUB_OFFLINE`.

use std::path::{Path, PathBuf};

use sconce::zoo::hub::{self, Found, HubOptions, Pulled, PushOptions, Pushed, Removed};
use sconce::zoo::{self, HubReference};

use crate::progress::{inform, note};

pub(crate) fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let folder = hub::fetch(reference, &options("getting", reference))?;
    warn(reference, &folder);
    Ok(folder)
}

pub(crate) fn fetch_weights(reference: &HubReference) -> anyhow::Result<PathBuf> {
    Ok(hub::fetch_weights(reference, &options("getting", reference))?)
}

/// Brings a text encoder into the hub's cache.
pub(crate) fn fetch_encoder(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let files = sconce::text::TextEncoder::FILES;
    Ok(hub::fetch_files(reference, &files, &options("getting", reference))?)
}

/// Brings a data set of the hub into a folder.
pub(crate) fn fetch_data_set(reference: &HubReference, output: &Path) -> anyhow::Result<()> {
    Ok(hub::fetch_data_set(reference, output, &options("getting", reference))?)
}

pub(crate) fn pull(reference: &HubReference, output: Option<&Path>) -> anyhow::Result<Pulled> {
    let pulled = hub::pull(reference, output, &options("getting", reference))?;
    warn(reference, &pulled.folder);
    Ok(pulled)
}

pub(crate) fn push(
    folder: &Path,
    reference: &HubReference,
    private: bool,
    message: Option<&str>,
    tag: Option<&str>,
) -> anyhow::Result<Pushed> {
    let hub = options("checking and pushing", reference);
    Ok(hub::push(folder, reference, &PushOptions { hub, private, message, tag })?)
}

pub(crate) fn search(text: &str) -> anyhow::Result<Vec<Found>> {
    Ok(hub::search(text, &HubOptions { offline: is_offline(), ..HubOptions::default() })?)
}

pub(crate) fn remove(reference: &HubReference) -> anyhow::Result<Removed> {
    Ok(hub::remove(reference, &HubOptions::default())?)
}

/// Says what its license forbids.
fn warn(reference: &HubReference, folder: &Path) {
    if let Some(warning) = zoo::license_warning(folder) {
        note(&format!("warning: {reference} is {warning}"));
    }
}

fn options(doing: &str, reference: &HubReference) -> HubOptions<'static> {
    let offline = is_offline();
    if !offline {
        inform(&format!("{doing} {reference}"));
    }
    HubOptions { offline, ..HubOptions::default() }
}

/// By the rule of the hub's own tools.
fn is_offline() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    ["1", "on", "yes", "true"].iter().any(|known| value.eq_ignore_ascii_case(known))
}
