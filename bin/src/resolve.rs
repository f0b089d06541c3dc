//! What a model is called on the command line: a folder, or a model of the hub.

use std::path::PathBuf;

use sconce::zoo::{self, HubReference, Reference};

/// The folder of a model, fetched from the hub where its name begins with `hub:`.
pub(crate) fn resolve(name: &str) -> anyhow::Result<PathBuf> {
    match name.parse()? {
        Reference::Hub(reference) => fetch(&reference),
        Reference::Local(_) => Ok(zoo::resolve(name)?),
    }
}

/// The client itself follows `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME` and
/// `HF_HUB_CACHE`, and finds the token that `hf auth login` left; it does not know
/// `HF_HUB_OFFLINE`.
#[cfg(feature = "hub")]
fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    use sconce::zoo::hub::{self, FetchOptions};

    let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value));
    if !offline {
        crate::progress::note(&format!("getting {reference}"));
    }
    Ok(hub::fetch(reference, &FetchOptions { offline, ..FetchOptions::default() })?)
}

#[cfg(not(feature = "hub"))]
fn fetch(reference: &HubReference) -> anyhow::Result<PathBuf> {
    anyhow::bail!(
        "cannot get {reference}: this program was built without the hub; build it with --features \
         hub, or download the model and give its folder"
    )
}

/// By the rule of the hub's own tools.
#[cfg(feature = "hub")]
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|known| value.eq_ignore_ascii_case(known))
}
