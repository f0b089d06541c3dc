//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// Writes a file under a temporary name in its folder, makes it durable, and renames it.
///
/// # Errors
///
/// [`Error::Io`]; the temporary file is gone then, and a former file of that name untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, |_| Ok(()))
}

/// The same, with the file read back before it takes the place of a former one: a disk may lose what it said it had.
///
/// # Errors
///
/// As [`write_atomic`]; and where the file does not hold what was written.
pub(crate) fn write_verified(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, |temporary| {
        let mut file = File::open(temporary)?;
        let mut buffer = vec![0; 1 << 20];
        let mut left = bytes;
        loop {
            let count = file.read(&mut buffer)?;
            match left.split_at_checked(count) {
                Some((read, rest)) if *read == buffer[..count] => left = rest,
                _ => return Err(io::Error::other("what was written is not what the disk holds")),
            }
            if count == 0 {
                break;
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(io::Error::other("the disk lost what was written"))
        }
    })
}

fn write(path: &Path, bytes: &[u8], verify: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| verify(&temporary))
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

/// An id as part of a file's name: what may be none is written as `%2f`.
pub(crate) fn file_name(id: &str) -> String {
    let written = |(at, letter): (usize, char)| {
        let is_plain = letter.is_alphanumeric() || "-_ +=,@".contains(letter);
        if is_plain || letter == '.' && at > 0 {
            letter.to_string()
        } else {
            format!("%{:02x}", u32::from(letter))
        }
    };
    id.char_indices().map(written).collect()
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
        .map_err(|error| Error::File { path: path.to_owned(), reason: not_read(&error) })
}

/// Why JSON was not read, and what to do.
fn not_read(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!(
            "it does not hold what it should ({error}); give a file that sconce wrote, as it was written"
        )
    } else {
        format!(
            "it is no JSON, or not all of it ({error}); give a file that sconce wrote, as it was written"
        )
    }
}

/// What is in a file whose format may change: it says its version under the key `schema`.
pub trait Versioned {
    /// The version that this program writes, and the newest that it reads.
    const SCHEMA: u32;
}

/// Reads a value from JSON that says which version of its format it has.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::File`], where the file is damaged or its version is newer than this
/// program.
pub fn read_versioned<T: DeserializeOwned + Versioned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    check_version::<T>(&text).map_err(wrong)?;
    serde_json::from_str(&text).map_err(|error| wrong(not_read(&error)))
}

/// That JSON is of no newer version than this program: before it is parsed, since what a newer
/// version has in addition would be complained of first.
pub(crate) fn check_version<T: Versioned>(json: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u64,
    }
    match serde_json::from_str(json) {
        Ok(Version { schema }) if schema > u64::from(T::SCHEMA) => Err(format!(
            "its schema is {schema}, but this program reads none above {}; use a newer program",
            T::SCHEMA
        )),
        // What has no version at all is for the parser to refuse.
        _ => Ok(()),
    }
}

/// The SHA-256 hash of what a reader gives, in hexadecimal, as `sha256sum` prints it.
///
/// # Errors
///
/// Where reading fails.
pub fn sha256(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
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

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Plain {
        schema: u32,
    }

    impl Versioned for Plain {
        const SCHEMA: u32 = 2;
    }

    #[test]
    fn a_newer_version_is_refused_as_such_whatever_else_it_holds() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("value.json");
        let read = |text: &str| -> anyhow::Result<Result<Plain>> {
            fs::write(&path, text)?;
            Ok(read_versioned(&path))
        };

        for schema in [1, 2] {
            assert_eq!(read(&format!("{{\"schema\": {schema}}}"))??, Plain { schema });
        }
        let error = read("{\"schema\": 3, \"more\": []}")?.unwrap_err().to_string();
        let reason = "is not usable: its schema is 3, but this program reads none above 2; use a \
                      newer program";
        assert_eq!(error, format!("{} {reason}", path.display()));
        let error = read("{\"more\": []}")?.unwrap_err().to_string();
        assert!(error.contains("unknown field `more`"), "{error}");
        assert!(read("[]")?.is_err());
        Ok(())
    }

    #[test]
    fn a_hash_is_that_of_the_standard() -> anyhow::Result<()> {
        // FIPS 180-4, the example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

        assert_eq!(sha256(&b"abc"[..])?, expected);
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
