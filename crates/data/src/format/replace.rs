//! Files that are there whole or not at all.

use std::fs::{self, File};
#[cfg(feature = "nifti")]
use std::io;
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
    let temporary = Temporary(with_ending(beside(path), ending));
    write(&temporary.0)?;
    temporary.store(path)?;
    temporary.rename(path)
}

/// The same for a header and the voxels that it describes: `write` is given two names that differ
/// in their `endings` alone. At no time is there a header with the voxels of another.
#[cfg(feature = "nifti")]
pub(crate) fn replace_pair(
    [header, voxels]: [&Path; 2],
    endings: [&str; 2],
    write: impl FnOnce([&Path; 2]) -> Result<()>,
) -> Result<()> {
    let stem = beside(header);
    let [new_header, new_voxels] =
        endings.map(|ending| Temporary(with_ending(stem.clone(), ending)));
    write([&new_header.0, &new_voxels.0])?;
    new_header.store(header)?;
    new_voxels.store(voxels)?;
    // Two files cannot be renamed at once: the old header goes first, the new one comes last.
    match fs::remove_file(header) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::writing(header)(error));
        }
        _ => new_voxels.rename(voxels)?,
    }
    new_header.rename(header)
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

impl Temporary {
    /// Waits until the content is on the disk.
    fn store(&self, path: &Path) -> Result<()> {
        let stored = File::open(&self.0).and_then(|file| file.sync_all());
        stored.map_err(Error::writing(path))
    }

    /// Gives the file its name.
    fn rename(&self, path: &Path) -> Result<()> {
        fs::rename(&self.0, path).map_err(Error::writing(path))?;
        // The name is stored with its folder; where folders cannot be opened, it is in good hands.
        if let Ok(folder) = File::open(parent(path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove, which is what is wanted.
        let _ = fs::remove_file(&self.0);
    }
}

/// A name in the same folder that nothing else has, without an ending.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    parent(path).join(format!(".sconce-{}-{number}", process::id()))
}

fn with_ending(path: PathBuf, ending: &str) -> PathBuf {
    let mut path = path.into_os_string();
    path.push(ending);
    path.into()
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

    #[cfg(feature = "nifti")]
    #[test]
    fn a_pair_is_there_as_a_whole_and_a_failed_one_leaves_the_old() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let [header, voxels] = ["a.hdr", "a.img"].map(|name| folder.path().join(name));
        let write = |content: &'static str, fails: bool| {
            replace_pair([&header, &voxels], [".hdr", ".img"], |temporary| {
                for path in temporary {
                    fs::write(path, content).map_err(Error::writing(path))?;
                }
                if fails { Err(Error::settings("full", "stop")) } else { Ok(()) }
            })
        };

        write("old", false)?;
        assert!(write("new", true).is_err());

        assert_eq!((fs::read(&header)?, fs::read(&voxels)?), (b"old".to_vec(), b"old".to_vec()));
        write("new", false)?;
        assert_eq!((fs::read(&header)?, fs::read(&voxels)?), (b"new".to_vec(), b"new".to_vec()));
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Ok(())
    }
}
