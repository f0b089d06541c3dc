//! The files of a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::super::source::unpack;
use super::yaml;
use crate::{Error, Result};

/// The largest configuration, bytes: a page of text is 3,000.
const MOST: u64 = 4 << 20;

/// Folders within folders that a ZIP archive may have around a bundle.
const DEPTH: usize = 3;

/// A bundle, which is there as long as this.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) folder: PathBuf,
    /// What the user calls it.
    pub(super) named: PathBuf,
    /// What an archive was unpacked into.
    _unpacked: Option<TempDir>,
}

impl Bundle {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (root, unpacked) = if path.is_dir() {
            (path.to_owned(), None)
        } else {
            let unpacked = unpack(path, is_needed)?;
            (unpacked.path().to_owned(), Some(unpacked))
        };
        let mut found = Vec::new();
        collect(&root, DEPTH, &mut found)?;
        found.sort();
        let wrong = |reason: String| Error::Import { path: path.to_owned(), reason };
        match found.as_slice() {
            [folder] => {
                let folder = folder.clone();
                Ok(Self { folder, named: path.to_owned(), _unpacked: unpacked })
            }
            [] => Err(wrong(
                "there is no folder configs in it; give a bundle of MONAI, or a ZIP archive of one"
                    .to_owned(),
            )),
            several => Err(wrong(format!("there are {} bundles in it; give one", several.len()))),
        }
    }

    /// The path of a file, and a name for messages that is the user's own.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The configuration of inference: `configs/inference.json`, `.yaml` or `.yml`, or another that is named.
    pub(super) fn config(&self, name: Option<&str>) -> Result<(PathBuf, Json)> {
        let names: Vec<String> = match name {
            Some(name) => vec![name.to_owned(), format!("configs/{name}")],
            None => ["json", "yaml", "yml"].map(|end| format!("configs/inference.{end}")).into(),
        };
        let Some(path) = names.iter().map(|name| self.path(name)).find(|path| path.is_file())
        else {
            return Err(Error::Import {
                path: self.named.clone(),
                reason: format!("there is no {}; name the file with --config", names.join(", no ")),
            });
        };
        let value = read(&path)?;
        Ok((path, value))
    }

    /// `configs/metadata.json`, where it is there.
    pub(super) fn metadata(&self) -> Result<Option<Json>> {
        let path = self.path("configs/metadata.json");
        path.is_file().then(|| read(&path)).transpose()
    }

    /// The file of weights: the one that is named, `models/model.pt` or `.safetensors`, or the only one.
    pub(super) fn weights(&self, name: Option<&str>) -> Result<PathBuf> {
        let wrong = |reason: String| Error::Import { path: self.named.clone(), reason };
        if let Some(name) = name {
            let inside = self.path(name);
            return Ok(if inside.is_file() { inside } else { PathBuf::from(name) });
        }
        let folder = self.path("models");
        let mut found = Vec::new();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
                found.push(entry.map_err(Error::io(&folder))?.path());
            }
        }
        found.sort();
        let first = ["model.safetensors", "model.pt", "model.pth"].map(|name| folder.join(name));
        if let Some(path) = first.into_iter().find(|path| path.is_file()) {
            return Ok(path);
        }
        let fits = |path: &&PathBuf| {
            path.extension().is_some_and(|it| it == "pt" || it == "pth" || it == "safetensors")
        };
        let fitting: Vec<&PathBuf> = found.iter().filter(fits).collect();
        match fitting.as_slice() {
            [one] => Ok((*one).clone()),
            [] if found.iter().any(|path| path.extension().is_some_and(|it| it == "ts")) => {
                Err(wrong(
                    "its weights are a TorchScript archive alone, a program; give the state dict with --checkpoint"
                        .to_owned(),
                ))
            }
            [] => Err(wrong(
                "there are no weights in models; if large_files.yml names them, get them with python -m \
                 monai.bundle download, or give the file with --checkpoint"
                    .to_owned(),
            )),
            several => {
                let names = several.iter().filter_map(|path| path.file_name());
                let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
                Err(wrong(format!(
                    "there are several files of weights, {}; name one with --checkpoint models/NAME",
                    names.join(", ")
                )))
            }
        }
    }
}

/// The folders that have `configs`.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if folder.join("configs").is_dir() {
        found.push(folder.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        // Not what a link leads to: it may lead back.
        if entry.file_type().map_err(Error::io(folder))?.is_dir() {
            collect(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

/// Configurations and weights: neither scripts nor documents.
fn is_needed(name: &Path) -> bool {
    let parent = name.parent().and_then(Path::file_name);
    let ending = name.extension().and_then(|it| it.to_str()).unwrap_or_default();
    match parent.and_then(|it| it.to_str()) {
        Some("configs") => ["json", "yaml", "yml"].contains(&ending),
        Some("models") => ["pt", "pth", "safetensors"].contains(&ending),
        _ => false,
    }
}

fn read(path: &Path) -> Result<Json> {
    let wrong = |reason: String| Error::Import { path: path.to_owned(), reason };
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MOST {
        return Err(wrong(format!("it has {size} bytes, as no configuration has")));
    }
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let value = match path.extension() {
        Some(ending) if ending == "json" => {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        }
        _ => yaml::parse(&text),
    };
    let value: Json = value.map_err(wrong)?;
    if value.is_object() { Ok(value) } else { Err(wrong("it is no mapping".to_owned())) }
}
