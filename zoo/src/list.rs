use std::fs;
use std::path::Path;

use crate::{Content, Error, Result, Summary, manifest, show};

/// Folders below the root that are looked into: enough for `snapshots` of the hub's cache.
const DEPTH: usize = 4;

/// What tells a folder that holds a model, or is meant to.
const SIGNS: [&str; 3] = [manifest::NAME, "model.safetensors", "golden.safetensors"];

/// The models in a folder, itself included, and below it, by path.
///
/// A folder that looks like a model and cannot be shown is listed with the reason, not passed over.
/// Folders inside a model, hidden ones, and those behind links are not looked into. Where there are
/// no models, the list is empty.
///
/// # Errors
///
/// [`Error::Io`], where the root cannot be read.
pub fn list(root: &Path) -> Result<Vec<Summary>> {
    let mut found = Vec::new();
    collect(root, DEPTH, &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<Summary>) -> Result<()> {
    if SIGNS.iter().any(|sign| folder.join(sign).exists()) {
        found.push(show(folder).unwrap_or_else(|error| Summary {
            folder: folder.to_owned(),
            content: Content::Problem(reason(&error)),
        }));
        return Ok(());
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.file_type().map_err(Error::io(entry.path()))?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    for folder in folders.iter().filter(|_| depth > 0) {
        collect(folder, depth - 1, found)?;
    }
    Ok(())
}

/// The error and its cause on one line; the folder is said elsewhere.
fn reason(error: &Error) -> String {
    if let Error::NotAModel { reason, .. } = error {
        return reason.clone();
    }
    error.with_causes()
}
