//! The hub's cache: its folders, and how a file gets there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::HFError;
use sha1::{Digest as _, Sha1};

use super::HubOptions;
use super::client::{self, Listed, Repository, is_commit, is_hexadecimal};
use super::reason::Task;
use crate::{Error, HubReference, Result, manifest};

/// So much of a file is asked for at once: what a broken connection can cost.
const BLOCK: u64 = 32 << 20;

/// So often a block is asked for again after its connection broke.
const ATTEMPTS: u32 = 5;

/// A commit of a model in the cache.
///
/// ```text
/// models--owner--name/
/// ├── blobs/HASH               a file, by what the hub calls it
/// ├── blobs/HASH.incomplete    what has come of it so far
/// ├── refs/REVISION            the commit that it stands for
/// └── snapshots/COMMIT/…       links to the blobs
/// ```
#[derive(Debug)]
pub(super) struct Place<'a> {
    task: Task<'a>,
    /// `models--owner--name`.
    root: PathBuf,
    locks: PathBuf,
    commit: String,
}

/// The folder of a model in the cache.
pub(super) fn root(cache: &Path, reference: &HubReference) -> PathBuf {
    cache.join(folder(reference))
}

fn folder(reference: &HubReference) -> String {
    format!("models--{}--{}", reference.owner(), reference.name())
}

/// The commit that a revision stood for when it was fetched last.
pub(super) fn known_commit(root: &Path, revision: &str) -> Option<String> {
    if is_commit(revision) {
        return Some(revision.to_owned());
    }
    let text = fs::read_to_string(root.join("refs").join(revision)).ok()?;
    Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
}

impl<'a> Place<'a> {
    pub(super) fn new(cache: &Path, task: Task<'a>, commit: &str) -> Self {
        let root = root(cache, task.reference);
        let locks = cache.join(".locks").join(folder(task.reference));
        Self { task, root, locks, commit: commit.to_owned() }
    }

    /// The folder with the files of the commit.
    pub(super) fn snapshot(&self) -> PathBuf {
        self.root.join("snapshots").join(&self.commit)
    }

    /// Brings a file there, unless it is there already and has the hash `expected`; returns its path.
    pub(super) fn bring(
        &self,
        repository: &Repository,
        file: &Listed,
        expected: Option<&str>,
        options: &HubOptions<'_>,
    ) -> Result<PathBuf> {
        let pointer = self.snapshot().join(&file.name);
        let name = self.blob_name(file, expected)?;
        let blob = self.root.join("blobs").join(&name);
        create(blob.parent())?;
        let _lock = self.lock(&name)?;
        for path in [&pointer, &blob] {
            if path.is_file() && !is_right(path, file, expected)? {
                // Another program has left it half or wrong.
                fs::remove_file(path).map_err(Error::io(path))?;
            }
        }
        if !blob.exists() && !pointer.is_file() {
            let came = if file.xet {
                self.in_chunks(file, &blob, options)?
            } else {
                self.in_blocks(repository, file, &blob)?
            };
            if !is_right(&came, file, expected)? {
                fs::remove_file(&came).map_err(Error::io(&came))?;
                return Err(self.task.refused(&format!(
                    "{} is not the file that was packed, by its size or hash, and was removed; try again, or tell \
                     its owner",
                    file.name
                )));
            }
            fs::rename(&came, &blob).map_err(Error::io(&blob))?;
        }
        if !pointer.is_file() {
            self.link(&blob, &pointer)?;
        }
        Ok(pointer)
    }

    /// Removes a file of the commit, and what it is a link to.
    pub(super) fn forget(&self, name: &str) {
        let pointer = self.snapshot().join(name);
        let blobs = self.root.join("blobs");
        let blob = fs::read_link(&pointer).ok();
        let blob = blob.and_then(|target| Some(blobs.join(target.file_name()?)));
        for path in blob.iter().chain([&pointer]) {
            // What cannot be removed is refused again when it is loaded.
            _ = fs::remove_file(path);
        }
    }

    /// Notes down which commit the revision stands for.
    pub(super) fn note(&self, revision: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        create(path.parent())?;
        Ok(engine::file::write_atomic(&path, self.commit.as_bytes())?)
    }

    /// What a file is called among the blobs: by the rule of the hub's own clients.
    fn blob_name(&self, file: &Listed, expected: Option<&str>) -> Result<String> {
        let name = if file.large { expected.unwrap_or_default() } else { &file.oid };
        if matches!(name.len(), 40 | 64) && is_hexadecimal(name) {
            return Ok(name.to_owned());
        }
        let reason = format!("the hub gives no hash of {}; tell the hub's owner", file.name);
        Err(self.task.refused(&reason))
    }

    /// Keeps other processes from bringing the same file.
    fn lock(&self, blob: &str) -> Result<File> {
        let path = self.locks.join(format!("{blob}.lock"));
        create(path.parent())?;
        let file = File::create(&path).map_err(Error::io(&path))?;
        file.lock().map_err(Error::io(&path))?;
        Ok(file)
    }

    /// Makes the file of a snapshot a link to its blob, or a copy where there are none.
    fn link(&self, blob: &Path, pointer: &Path) -> Result<()> {
        create(pointer.parent())?;
        // A link to what is gone.
        if pointer.symlink_metadata().is_ok() {
            fs::remove_file(pointer).map_err(Error::io(pointer))?;
        }
        #[cfg(unix)]
        let made = {
            let below = pointer.strip_prefix(&self.root).unwrap_or(pointer);
            let up = "../".repeat(below.components().count() - 1);
            let name = blob.file_name().unwrap_or_default();
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), pointer)
        };
        #[cfg(not(unix))]
        let made = fs::copy(blob, pointer).map(drop);
        made.map_err(Error::io(pointer))
    }

    /// Fetches a file block by block, from where the last attempt ended.
    fn in_blocks(&self, repository: &Repository, file: &Listed, blob: &Path) -> Result<PathBuf> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let wrong = || Error::io(&path);
        let mut to = OpenOptions::new().create(true).append(true).open(&path).map_err(wrong())?;
        let mut at = to.metadata().map_err(wrong())?.len();
        if at > file.size {
            to.set_len(0).map_err(wrong())?;
            at = 0;
        }
        while at < file.size {
            let end = file.size.min(at + BLOCK);
            let bytes = self.block(repository, file, at..end)?;
            if bytes.len() as u64 == file.size && end - at < file.size {
                // A host that knows no ranges sends the whole file.
                to.set_len(0).map_err(wrong())?;
                at = 0;
            }
            to.write_all(&bytes).map_err(wrong())?;
            at += bytes.len() as u64;
        }
        to.sync_all().map_err(wrong())?;
        Ok(path)
    }

    /// One block, asked for again where the connection breaks.
    fn block(
        &self,
        repository: &Repository,
        file: &Listed,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>> {
        let mut attempt = 0;
        loop {
            let came = repository
                .download_file_to_bytes()
                .filename(&file.name)
                .revision(&self.commit)
                .range(range.clone())
                .send();
            let broke = match came {
                Ok(bytes) => {
                    let length = bytes.len() as u64;
                    if length == range.end - range.start || length == file.size {
                        return Ok(bytes.to_vec());
                    }
                    None
                }
                // The client itself has asked again where no answer came at all.
                Err(HFError::Request { source, url }) if source.is_body() || source.is_decode() => {
                    Some(HFError::Request { source, url })
                }
                Err(error) => return Err(self.task.failed(&error)),
            };
            attempt += 1;
            if attempt >= ATTEMPTS {
                return Err(match broke {
                    Some(cause) => self.task.failed(&cause),
                    None => self.task.refused(&format!(
                        "the hub sends less of {} than it says; try again, or tell its owner",
                        file.name
                    )),
                });
            }
            thread::sleep(Duration::from_millis(100 << attempt));
        }
    }

    /// Fetches a file in chunks, as only the hub's client can: into a cache of its own within this one.
    fn in_chunks(&self, file: &Listed, blob: &Path, options: &HubOptions<'_>) -> Result<PathBuf> {
        let staging = tempfile::Builder::new()
            .prefix(".chunks-")
            .tempdir_in(&self.root)
            .map_err(Error::io(&self.root))?;
        let client = client::client(&HubOptions { cache: Some(staging.path()), ..*options });
        let client = client.map_err(|cause| self.task.failed(&cause))?;
        let reference = self.task.reference;
        let came = client
            .model(reference.owner(), reference.name())
            .download_file()
            .filename(&file.name)
            .revision(&self.commit)
            .send()
            .map_err(|cause| self.task.failed(&cause))?;
        let came = came.canonicalize().map_err(Error::io(&came))?;
        let inside = staging.path().canonicalize().map_err(Error::io(staging.path()))?;
        if !came.starts_with(inside) {
            return Err(self.task.refused("the hub's names lead out of the cache; tell its owner"));
        }
        let path = blob.with_extension("whole");
        fs::rename(&came, &path).map_err(Error::io(&path))?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
        Ok(path)
    }
}

/// Whether a file has the size and the hash that the hub lists, and the SHA-256 hash that is expected.
fn is_right(path: &Path, file: &Listed, expected: Option<&str>) -> Result<bool> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size != file.size || (!file.large && git_oid(path, size)? != file.oid) {
        return Ok(false);
    }
    match expected {
        Some(expected) => Ok(manifest::hash(path)? == expected),
        None => Ok(true),
    }
}

/// What git calls a file.
pub(super) fn git_oid(path: &Path, size: u64) -> Result<String> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {size}\0"));
    let mut from = File::open(path).map_err(Error::io(path))?;
    let mut block = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut block).map_err(Error::io(path))?;
        if length == 0 {
            let digits =
                hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
            return Ok(digits.concat());
        }
        hash.update(&block[..length]);
    }
}

/// Makes a folder.
fn create(folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    fs::create_dir_all(folder).map_err(Error::io(folder))
}
