//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::{Error, Result};

/// Lets `write` fill a new file beside `path`, whose name ends in `ending`, and moves it to
/// `path` once it is safely stored. Where `write` fails, what was at `path` stays.
pub(crate) fn replace(
    path: &Path,
    ending: &str,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let temporary = Temporary(beside(path, ending));
    write(&temporary.0)?;
    let stored = File::open(&temporary.0).and_then(|file| file.sync_all());
    stored.and_then(|()| fs::rename(&temporary.0, path)).map_err(Error::writing(path))?;
    // The new name is stored with its folder; where folders cannot be opened, it is in good hands.
    if let Ok(folder) = File::open(parent(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes bytes in the same way.
pub(crate) fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, "", |temporary| fs::write(temporary, bytes).map_err(Error::writing(path)))
}

/// Writes JSON in the same way; `value` must be such that it can be.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).expect("keys are texts");
    text.push(b'\n');
    replace_bytes(path, &text)
}

/// A file that is gone once nobody needs it.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove, which is what is wanted.
        let _ = fs::remove_file(&self.0);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    parent(path).join(format!(".sconce-{}-{number}{ending}", process::id()))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.txt");
        replace_bytes(&path, b"old")?;

        let refused = replace(&path, "", |temporary| {
            fs::write(temporary, b"ne").map_err(Error::writing(&path))?;
            Err(Error::settings("full", "stop"))
        });

        assert!(refused.is_err());
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
