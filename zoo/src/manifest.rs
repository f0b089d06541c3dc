//! `SHA256SUMS`: the hash of every file of a model folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use engine::file::sha256;

use crate::sign::SIGNATURE;
use crate::{Error, Result};

/// The manifest's own name.
pub(crate) const NAME: &str = "SHA256SUMS";

/// What tools put beside a model: it is none of it, and no finding either.
pub(crate) const TOOLS: &[&str] = &[".git", ".gitattributes", ".cache"];

/// Relative path, with `/` between folders → hash in hexadecimal.
pub(crate) type Hashes = BTreeMap<String, String>;

/// Hashes every file below `folder`, but for the manifest, its signature and what tools put there.
pub(crate) fn hash_all(folder: &Path) -> Result<Hashes> {
    let mut hashes = Hashes::new();
    for name in files(folder)? {
        let hash = hash(&folder.join(&name))?;
        hashes.insert(name, hash);
    }
    Ok(hashes)
}

/// The files below `folder`, sorted, but for the manifest, its signature and what tools put there.
///
/// Links to files count as files, as they do in the hub's cache; links to folders are not followed.
pub(crate) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    found.retain(|name| name != NAME && name != SIGNATURE);
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && TOOLS.contains(&name.as_str()) {
            continue;
        }
        let name = format!("{prefix}{name}");
        if entry.file_type().map_err(Error::io(entry.path()))?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

/// The hash of a file.
pub(crate) fn hash(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    sha256(file).map_err(Error::io(path))
}

/// The manifest's text, as `sha256sum` writes it.
pub(crate) fn write(hashes: &Hashes) -> String {
    hashes.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect::<Vec<_>>().concat()
}

/// The manifest of a model folder.
pub(crate) fn read(folder: &Path) -> Result<Hashes> {
    let path = folder.join(NAME);
    if !path.is_file() {
        return Err(Error::NotAModel { path: folder.to_owned(), reason: missing(folder) });
    }
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    parse(&text).map_err(|reason| Error::File { path, reason })
}

/// Why a folder without manifest is no model folder, and what to do.
fn missing(folder: &Path) -> String {
    let (lack, remedy) = if !folder.exists() {
        ("it does not exist", "check the path")
    } else if engine_files(folder) {
        ("it has no SHA256SUMS", "it looks like a run: pack it with `sconce zoo pack`")
    } else {
        ("it has no SHA256SUMS", "give a folder that `sconce zoo pack` made")
    };
    format!("{lack}; {remedy}")
}

/// Whether a folder holds a finished run.
fn engine_files(folder: &Path) -> bool {
    ["model.safetensors", "config.json", "plan.json"].iter().all(|name| folder.join(name).exists())
}

pub(crate) fn parse(text: &str) -> Result<Hashes, String> {
    let mut hashes = Hashes::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {} {what}; get the model again", index + 1);
        let (hash, name) = line.split_once("  ").ok_or_else(|| wrong("is no hash and name"))?;
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hash.len() != 64 || !hash.bytes().all(hexadecimal) {
            return Err(wrong("does not begin with a SHA-256 hash"));
        }
        if !is_inside(name) {
            return Err(wrong("names a file outside the folder"));
        }
        if hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
            return Err(wrong("names a file for the second time"));
        }
    }
    if hashes.is_empty() {
        return Err("it is empty; get the model again".to_owned());
    }
    Ok(hashes)
}

/// Whether a name is that of a file in a folder, or below it, on every system.
pub(crate) fn is_inside(name: &str) -> bool {
    let inside = |part: &str| !matches!(part, "" | "." | "..");
    !name.contains(['\\', ':', '\0']) && name.split('/').all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_hash_is_that_of_the_standard() -> anyhow::Result<()> {
        // FIPS 180-4, the example "abc".
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("abc");
        fs::write(&path, "abc")?;

        assert_eq!(hash(&path)?, HASH);
        Ok(())
    }

    #[test]
    fn a_manifest_comes_back_as_it_was() {
        let hashes = Hashes::from([
            ("eval/summary.json".to_owned(), HASH.to_owned()),
            ("config.json".to_owned(), HASH.to_owned()),
        ]);

        assert_eq!(parse(&write(&hashes)), Ok(hashes));
    }

    #[test]
    fn lines_that_lead_out_of_the_folder_or_are_no_hash_are_refused() {
        for (text, reason) in [
            (String::new(), "it is empty"),
            ("abc  config.json\n".to_owned(), "line 1 does not begin with a SHA-256 hash"),
            (format!("{HASH} config.json\n"), "line 1 is no hash and name"),
            (format!("{HASH}  ../secret\n"), "line 1 names a file outside the folder"),
            (format!("{HASH}  /etc/passwd\n"), "line 1 names a file outside the folder"),
            (format!("{HASH}  c:\\file\n"), "line 1 names a file outside the folder"),
            (format!("{HASH}  a\n{HASH}  a\n"), "line 2 names a file for the second time"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn tools_may_leave_their_files_at_the_top() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in [".gitattributes", "SHA256SUMS", "b", "a/.gitattributes"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("below the folder"))?;
            fs::write(path, "")?;
        }

        assert_eq!(files(folder.path())?, ["a/.gitattributes", "b"]);
        Ok(())
    }
}
