//! Single files of any repository, a sconce model or not.

use std::fs;
use std::path::{Path, PathBuf};

use super::HubOptions;
use super::client::{self, client};
use super::reason::Task;
use crate::error::{Error, Result};
use crate::{HubReference, manifest};

/// What weights are called nearly everywhere.
const WEIGHTS: &str = "model.safetensors";

/// Brings the weights of any repository, its `model.safetensors`, into the hub's cache, and returns the
/// file there: those of timm's encoders, for one.
///
/// # Errors
///
/// As [`fetch_files`].
pub fn fetch_weights(reference: &HubReference, options: &HubOptions<'_>) -> Result<PathBuf> {
    Ok(fetch_files(reference, &[WEIGHTS], options)?.join(WEIGHTS))
}

/// Brings some files of any repository into the hub's cache, and returns the folder where they all are: those of a text
/// encoder, for one.
///
/// # Errors
///
/// As [`fetch`](super::fetch()); [`Error::Hub`], where the repository does not have one of them.
pub fn fetch_files(
    reference: &HubReference,
    names: &[&str],
    options: &HubOptions<'_>,
) -> Result<PathBuf> {
    let task = Task::get(reference, options);
    let client = client(options).map_err(|cause| task.failed(&cause))?;
    let folder = client
        .model(reference.owner(), reference.name())
        .snapshot_download()
        .maybe_revision(reference.revision())
        .allow_patterns(names.iter().map(|&name| name.to_owned()).collect())
        .local_files_only(options.offline)
        .send()
        .map_err(|cause| task.failed(&cause))?;
    for name in names {
        let file = folder.join(name);
        if !file.is_file() {
            return Err(task.refused(&if options.offline {
                format!("its {name} is not in the cache; go online once, or give a file")
            } else {
                format!("it has no {name}; give one that has, or a file")
            }));
        }
        if is_damaged(&file)? {
            let blob = fs::canonicalize(&file).map_err(Error::io(&file))?;
            for path in [&blob, &file] {
                fs::remove_file(path).map_err(Error::io(path))?;
            }
            return Err(task.refused(&format!(
                "{name} came damaged, by its SHA-256 hash, and was removed; try again"
            )));
        }
    }
    Ok(folder)
}

/// Whether a file of the cache is not what its name there says. Large files are called by their hash, and the client does not
/// look whether it is theirs; small ones are called otherwise.
fn is_damaged(file: &Path) -> Result<bool> {
    let blob = fs::canonicalize(file).map_err(Error::io(file))?;
    let name = blob.file_name().map(|name| name.to_string_lossy().into_owned());
    match name.filter(|name| name.len() == 64 && client::is_hexadecimal(name)) {
        Some(hash) => Ok(manifest::hash(&blob)? != hash),
        None => Ok(false),
    }
}
