use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use preprocess::Prepared;
use serde::Serialize;

use crate::case::{CachedCase, write_case};
use crate::record::hash;
use crate::{Error, Result};

const MADE: &str = "made.json";
const LOCK: &str = ".lock";
/// Ends the names of cases that are not finished.
const PARTIAL: &str = ".partial";

/// How many cases this process has begun to write.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// A folder of cases that were all prepared in the same way.
///
/// Several processes may use one at the same time: whoever finishes a case first is believed.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Cache {
    /// The folder below `root` of what is made as `settings` say, all of them that decide how; it is made where there is
    /// none. What a process that was killed has left there is removed, unless another works in the folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open(root: &Path, settings: &impl Serialize) -> Result<Self> {
        let mut text = serde_json::to_string_pretty(settings).map_err(Error::write(root))?;
        text.push('\n');
        let root = root.join(&hash(text.as_bytes())[..16]);
        fs::create_dir_all(&root).map_err(Error::io(&root))?;
        let path = root.join(LOCK);
        let lock = File::create(&path).map_err(Error::io(&path))?;
        if lock.try_lock().is_ok() {
            remove_partial(&root)?;
            let path = root.join(MADE);
            fs::write(&path, text).map_err(Error::io(&path))?;
            lock.unlock().map_err(Error::io(&path))?;
        }
        match lock.lock_shared() {
            // Some network file systems know no locks; renaming is safe without.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(Error::io(&path)(error));
            }
            _ => {}
        }
        Ok(Self { root, _lock: lock })
    }

    /// The folder of cases.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The case of that name, where it was made from `source`, what tells one version of its files from another.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], where it is there, but not as it was written.
    pub fn read(&self, name: &str, source: &str) -> Result<Option<CachedCase>> {
        let folder = self.folder(name, source);
        if !folder.exists() {
            return Ok(None);
        }
        CachedCase::open(&folder, source)
    }

    /// Keeps a case, in chunks that suit patches of `patch` voxels, beside those that were made of other versions of its files.
    ///
    /// `name` must be one that a file can have; `content` is a hash of what the case was made from, which is kept with it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Write`]; nothing is left behind then.
    pub fn write(
        &self,
        name: &str,
        source: &str,
        content: &str,
        prepared: &Prepared,
        patch: [usize; 3],
    ) -> Result<CachedCase> {
        let folder = self.folder(name, source);
        let (process, number) = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
        // Processes of other machines may have the same number; they do not begin in the same instant.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let partial = self.root.join(format!(".{name}.{process}.{number}.{time}{PARTIAL}"));
        let written = self.write_as(&partial, &folder, source, content, prepared, patch);
        if written.is_err() {
            // Nothing more can be done about what will not go.
            _ = fs::remove_dir_all(&partial);
        }
        written?;
        // Read from where it is now: what cannot be read is better known at once.
        CachedCase::open(&folder, source)?.ok_or_else(|| {
            let reason = "another process keeps other versions of the same files here";
            Error::Write { path: folder, reason: reason.to_owned() }
        })
    }

    fn write_as(
        &self,
        partial: &Path,
        folder: &Path,
        source: &str,
        content: &str,
        prepared: &Prepared,
        patch: [usize; 3],
    ) -> Result<()> {
        fs::create_dir(partial).map_err(Error::io(partial))?;
        write_case(partial, source, content, prepared, patch)?;
        match fs::rename(partial, folder) {
            Ok(()) => {}
            // Another process was faster; what it has made is the same.
            Err(_) if folder.exists() => {
                fs::remove_dir_all(partial).map_err(Error::io(partial))?;
            }
            Err(error) => return Err(Error::io(folder)(error)),
        }
        if let Ok(root) = File::open(&self.root) {
            _ = root.sync_all();
        }
        Ok(())
    }

    fn folder(&self, name: &str, source: &str) -> PathBuf {
        self.root.join(format!("{name}.{}.zarr", &hash(source.as_bytes())[..8]))
    }
}

fn remove_partial(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).map_err(Error::io(root))? {
        let path = entry.map_err(Error::io(root))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}
