//! What a model is called on the command line: a folder, or a model of the hub.

use std::path::{Path, PathBuf};

use sconce::zoo::{self, HubReference, Reference};

/// The folder of a model, fetched from the hub where its name begins with `hub:`.
pub(crate) fn resolve(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => fetch(&reference),
        Reference::Local(_) => Ok(zoo::resolve(name)?),
    }
}

/// A folder of other things than a sconce model: itself, or a repository of the hub, whole.
pub(crate) fn resolve_folder(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => fetch_folder(&reference),
        Reference::Local(path) => Ok(path),
    }
}

/// A file of weights: itself, or that of a repository of the hub.
pub(crate) fn resolve_weights(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => fetch_weights(&reference),
        Reference::Local(path) => Ok(path),
    }
}

/// The client itself follows `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME` and
/// `HF_HUB_CACHE`, and finds the token that `hf auth login` left; it does not know
/// `HF_HUB_OFFLINE`.
#[cfg(feature = "hub")]
fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    Ok(sconce::zoo::hub::fetch(reference, &options(reference))?)
}

#[cfg(feature = "hub")]
fn fetch_folder(reference: &HubReference) -> anyhow::Result<PathBuf> {
    let files = sconce::text::TextEncoder::FILES;
    Ok(sconce::zoo::hub::fetch_files(reference, &files, &options(reference))?)
}

#[cfg(not(feature = "hub"))]
fn fetch_folder(reference: &HubReference) -> anyhow::Result<PathBuf> {
    anyhow::bail!(
        "cannot get {reference}: this program was built without the hub; build it with --features \
         hub, or download its files and give their folder"
    )
}

#[cfg(feature = "hub")]
fn fetch_weights(reference: &HubReference) -> anyhow::Result<PathBuf> {
    Ok(sconce::zoo::hub::fetch_weights(reference, &options(reference))?)
}

/// Brings a data set of the hub into a folder.
#[cfg(feature = "hub")]
pub(crate) fn fetch_data_set(reference: &HubReference, output: &Path) -> anyhow::Result<()> {
    Ok(sconce::zoo::hub::fetch_data_set(reference, output, &options(reference))?)
}

#[cfg(not(feature = "hub"))]
pub(crate) fn fetch_data_set(reference: &HubReference, _: &Path) -> anyhow::Result<()> {
    anyhow::bail!(
        "cannot get {reference}: this program was built without the hub; build it with --features \
         hub, or download the data set by other means"
    )
}

#[cfg(feature = "hub")]
fn options(reference: &HubReference) -> sconce::zoo::hub::FetchOptions<'static> {
    let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value));
    if !offline {
        crate::progress::inform(&format!("getting {reference}"));
    }
    sconce::zoo::hub::FetchOptions { offline, ..Default::default() }
}

#[cfg(not(feature = "hub"))]
fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    anyhow::bail!(
        "cannot get {reference}: this program was built without the hub; build it with --features \
         hub, or download the model and give its folder"
    )
}

#[cfg(not(feature = "hub"))]
fn fetch_weights(reference: &HubReference) -> anyhow::Result<PathBuf> {
    anyhow::bail!(
        "cannot get {reference}: this program was built without the hub; build it with --features \
         hub, or download its model.safetensors and give the file"
    )
}

/// By the rule of the hub's own tools.
#[cfg(feature = "hub")]
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|known| value.eq_ignore_ascii_case(known))
}
