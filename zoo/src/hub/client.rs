use std::path::PathBuf;

use hf_hub::repository::{RepoTreeEntry, RepoType, RepoTypeModel};
use hf_hub::{HFClient, HFClientBuilder, HFClientSync, HFError, HFRepositorySync};

use super::HubOptions;
use super::reason::Task;
use crate::{HubReference, Result};

/// A model's repository.
pub(super) type Repository = HFRepositorySync<RepoTypeModel>;

/// A file of a repository, as the hub lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its path within the repository: one that stays inside.
    pub(super) name: String,
    /// Its size, bytes.
    pub(super) size: u64,
    /// What git calls it: 40 hexadecimal digits.
    pub(super) oid: String,
    /// Whether it is kept apart from the repository.
    pub(super) large: bool,
    /// Whether it is to be had in chunks.
    pub(super) xet: bool,
}

pub(super) fn builder(options: &HubOptions<'_>) -> HFClientBuilder {
    let mut builder = HFClient::builder().user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")));
    if let Some(endpoint) = options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(token) = options.token {
        builder = builder.token(token);
    }
    if let Some(cache) = options.cache {
        builder = builder.cache_dir(cache);
    }
    builder
}

pub(super) fn client(options: &HubOptions<'_>) -> Result<HFClientSync, HFError> {
    builder(options).build_sync()
}

/// The folder of the hub's cache.
pub(super) fn cache_folder(options: &HubOptions<'_>) -> Result<PathBuf, HFError> {
    match options.cache {
        Some(folder) => Ok(folder.to_owned()),
        None => Ok(builder(options).build()?.cache_dir().to_owned()),
    }
}

/// The commit that a revision stands for.
pub(super) fn resolve(
    repository: &Repository,
    reference: &HubReference,
    task: &Task<'_>,
) -> Result<String> {
    if let Some(commit) = reference.revision().filter(|revision| is_commit(revision)) {
        return Ok(commit.to_owned());
    }
    let revision = reference.revision().unwrap_or("main");
    let info = repository.info().revision(revision).send().map_err(|cause| task.failed(&cause))?;
    let commit = info.sha.filter(|commit| is_commit(commit));
    commit.ok_or_else(|| task.refused("the hub names no commit for it; tell the hub's owner"))
}

/// All files of a commit.
pub(super) fn list<T: RepoType>(
    repository: &HFRepositorySync<T>,
    commit: &str,
    task: &Task<'_>,
) -> Result<Vec<Listed>> {
    let tree = repository.list_tree().revision(commit).recursive(true).send();
    let mut files = Vec::new();
    for entry in tree.map_err(|cause| task.failed(&cause))? {
        let RepoTreeEntry::File { oid, size, path, lfs, xet_hash, .. } = entry else { continue };
        if !crate::manifest::is_inside(&path) {
            let reason = format!("it has a file {path:?}, which would lie outside; tell its owner");
            return Err(task.refused(&reason));
        }
        let (large, xet) = (lfs.is_some(), xet_hash.is_some());
        files.push(Listed { name: path, size, oid, large, xet });
    }
    Ok(files)
}

/// Whether a revision is a commit by its own name.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hexadecimal(revision)
}

/// Whether a text is hexadecimal, as the hub writes it.
pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
