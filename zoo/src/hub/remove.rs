use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::HubOptions;
use super::cache::{self, known_commit};
use super::client::{cache_folder, is_commit};
use super::reason::Task;
use crate::{Error, HubReference, Result, show};

/// What was removed from the hub's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The model.
    pub reference: String,
    /// The commits that are gone.
    pub commits: Vec<String>,
    /// The commits of the model that are still there.
    pub kept: Vec<String>,
    /// How many bytes are free now.
    pub bytes: u64,
}

/// Removes a model from the hub's cache: the revision that is named, or all. What another revision uses stays. At the hub
/// itself, nothing changes.
///
/// # Errors
///
/// [`Error::Hub`], where it is not in the cache, or where it lies there as a link, whose target is somebody else's;
/// [`Error::Io`], where something will not go.
pub fn remove(reference: &HubReference, options: &HubOptions<'_>) -> Result<Removed> {
    let task = Task { what: "remove", reference, offline: true };
    let cache = cache_folder(options).map_err(|cause| task.failed(&cause))?;
    let root = cache::root(&cache, reference);
    check_folder(&root, &task)?;
    for part in ["snapshots", "blobs", "refs"] {
        let path = root.join(part);
        if path.symlink_metadata().is_ok() {
            check_folder(&path, &task)?;
        }
    }
    let there = commits(&root)?;
    let (commits, kept) = match reference.revision() {
        None => (there, Vec::new()),
        Some(revision) => {
            let commit = known_commit(&root, revision).filter(|commit| there.contains(commit));
            let commit = commit.ok_or_else(|| task.refused("this revision is not in the cache"))?;
            there.into_iter().partition(|other| *other == commit)
        }
    };
    let mut bytes = 0;
    if kept.is_empty() {
        bytes = size(&root)?;
        fs::remove_dir_all(&root).map_err(Error::io(&root))?;
    } else {
        for commit in &commits {
            let path = root.join("snapshots").join(commit);
            fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
        forget(&root.join("refs"), &commits)?;
        bytes += free(&root, &kept)?;
    }
    Ok(Removed { reference: reference.to_string(), commits, kept, bytes })
}

/// Refuses what is no folder of its own.
fn check_folder(path: &Path, task: &Task<'_>) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(task.refused(&format!(
            "{} is no folder of the cache, but a link or a file; remove it yourself",
            path.display()
        ))),
        Err(_) => Err(task.refused("it is not in the cache")),
    }
}

/// The commits in the cache.
fn commits(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("snapshots");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let entry = entry.map_err(Error::io(&folder))?;
        let is_folder = entry.file_type().map_err(Error::io(entry.path()))?.is_dir();
        found.extend(entry.file_name().into_string().ok().filter(|it| is_folder && is_commit(it)));
    }
    found.sort();
    Ok(found)
}

/// Removes the names of commits that are gone.
fn forget(refs: &Path, commits: &[String]) -> Result<()> {
    for path in files(refs)? {
        let commit = fs::read_to_string(&path).unwrap_or_default();
        if commits.iter().any(|gone| gone == commit.trim()) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Removes the blobs that no commit uses; how many bytes they had.
fn free(root: &Path, kept: &[String]) -> Result<u64> {
    let mut used: BTreeSet<OsString> = BTreeSet::new();
    for commit in kept {
        for path in files(&root.join("snapshots").join(commit))? {
            let target = fs::read_link(&path).ok();
            used.extend(target.and_then(|target| target.file_name().map(OsString::from)));
        }
    }
    let mut bytes = 0;
    for path in files(&root.join("blobs"))? {
        let name = path.file_name().unwrap_or_default();
        if !used.contains(name) {
            bytes += fs::symlink_metadata(&path).map_err(Error::io(&path))?.len();
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(bytes)
}

/// How many bytes the files of a folder have, links not followed.
fn size(folder: &Path) -> Result<u64> {
    let lengths = files(folder)?.into_iter().map(|path| {
        let found = fs::symlink_metadata(&path).map_err(Error::io(&path))?;
        Ok(if found.is_file() { found.len() } else { 0 })
    });
    lengths.sum()
}

/// All that is no folder, below one; links are not followed.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let is_folder = entry.file_type().map_err(Error::io(entry.path()))?.is_dir();
            if is_folder { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    Ok(found)
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gone, kept) = (self.commits.len(), self.kept.len());
        write!(f, "removed {} from the cache: {gone} revisions, {kept} kept", self.reference)?;
        write!(f, ", {} free", show::size(self.bytes))
    }
}
