//! The hub: one of our own on this machine, that fails where it is told to.

/// What the cache holds, and how it is freed.
mod cache;
/// What goes wrong, and is said in one line.
mod faults;
/// What is fetched, once, whole and as it was.
mod fetching;
/// What means harm.
mod harm;
/// What is published.
mod pushing;

use std::fs;
use std::path::{Path, PathBuf};

use sconce_zoo::hub::HubOptions;
use sconce_zoo::{HubReference, Reference};
use tempfile::TempDir;
use test_hub::Hub;

use crate::fixture::packed;

/// A repository of the tests, and what it is called on a command line.
const MODEL: &str = "models/owner/model";
const NAME: &str = "hub:owner/model";

/// A token of the one who asks.
const TOKEN: &str = "secret-token-of-the-tests";

/// A hub, and a folder to work in.
struct Scene {
    hub: Hub,
    folder: TempDir,
    cache: PathBuf,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let hub = Hub::start()?;
        hub.add_user(TOKEN, "owner");
        let folder = tempfile::tempdir()?;
        let cache = folder.path().join("cache");
        Ok(Self { hub, folder, cache })
    }

    /// With a model at the hub, and its folder.
    fn with_model() -> anyhow::Result<(Self, PathBuf)> {
        let scene = Self::new()?;
        let model = packed(scene.folder.path(), 1, "model")?;
        scene.publish(&model)?;
        Ok((scene, model))
    }

    /// Puts the files of a folder there, as a commit; its name.
    fn publish(&self, model: &Path) -> anyhow::Result<String> {
        let files = contents(model)?;
        let files: Vec<_> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        Ok(self.hub.put(MODEL, &files))
    }

    fn options(&self) -> HubOptions<'_> {
        HubOptions {
            offline: false,
            endpoint: Some(self.hub.endpoint()),
            token: Some(TOKEN),
            cache: Some(&self.cache),
        }
    }

    fn offline(&self) -> HubOptions<'_> {
        HubOptions { offline: true, ..self.options() }
    }

    /// The model's folder in the cache.
    fn root(&self) -> PathBuf {
        self.cache.join("models--owner--model")
    }

    /// Everything in the folder but the cache: nothing may be added there.
    fn outside(&self) -> anyhow::Result<Vec<String>> {
        let mut names = contents(self.folder.path())?;
        names.retain(|(name, _)| !name.starts_with("cache/"));
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }
}

fn reference(text: &str) -> HubReference {
    match text.parse() {
        Ok(Reference::Hub(reference)) => reference,
        other => panic!("{text}: {other:?}"),
    }
}

/// The files below a folder, sorted, with what they hold.
fn contents(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                found.push((name, fs::read(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}
