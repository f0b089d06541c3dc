//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Writes a file under a temporary name in its folder, makes it durable, and renames it.
///
/// # Errors
///
/// [`Error::Io`]; the temporary file is gone then, and a former file of that name untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing more can be done about a temporary file that will not go.
        _ = fs::remove_file(&temporary);
    }
    written.map_err(Error::io(path))?;
    // The rename is durable once its folder is; not every file system lets a folder be synced.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        _ = folder.sync_all();
    }
    Ok(())
}

/// Removes what [`write_atomic`] leaves in a folder where its process is killed.
pub(crate) fn remove_partial(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(".partial") {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Writes a value as indented JSON, atomically.
///
/// # Errors
///
/// [`Error::Io`], and [`Error::File`] where the value has no JSON form.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Reads a value from JSON.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::File`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })
}

/// Makes a folder and all above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied)?;
        fs::write(occupied.join("file"), "")?;

        // A file cannot replace a folder that is not empty.
        assert!(write_atomic(&occupied, b"new").is_err());

        let left: Vec<_> = fs::read_dir(folder.path())?.collect();
        assert_eq!(left.len(), 1);
        Ok(())
    }

    #[test]
    fn a_file_is_replaced_whole() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("value.json");

        write_json(&path, &vec![1, 2, 3])?;
        write_json(&path, &vec![4])?;

        assert_eq!(read_json::<Vec<u32>>(&path)?, [4]);
        Ok(())
    }
}
