//! What a case is beside its arrays, and whether its files are those that were written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use preprocess::{Prepared, Restore, Truth};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

const RECORD: &str = "case.json";
const HASHES: &str = "case.json.sha256";

/// The version of the format.
const SCHEMA: u32 = 1;

/// The file `case.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    schema: u32,
    /// What it was made from: names and times of files, say.
    pub(crate) source: String,
    /// A hash of what that held.
    pub(crate) content: String,
    /// mm, `(z, y, x)`.
    pub(crate) spacing: [f64; 3],
    pub(crate) restore: Restore,
    pub(crate) truth: Option<Kind>,
    pub(crate) further: Vec<Kind>,
    /// The channels that are 0 outside the patient, where that is known.
    pub(crate) outside: Option<Vec<usize>>,
    /// How many places of each class there are.
    pub(crate) classes: Vec<usize>,
    /// How many places of annotated voxels, where not all are.
    pub(crate) annotated: Option<usize>,
    /// The length of every other file, bytes.
    files: BTreeMap<String, u64>,
}

/// How a truth is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Hard,
    Soft,
}

impl Kind {
    pub(crate) fn of(truth: &Truth) -> Self {
        match truth {
            Truth::Hard(_) => Self::Hard,
            Truth::Soft(_) => Self::Soft,
        }
    }
}

impl Record {
    pub(crate) fn of(prepared: &Prepared, source: &str, content: &str) -> Self {
        Self {
            schema: SCHEMA,
            source: source.to_owned(),
            content: content.to_owned(),
            spacing: prepared.spacing,
            restore: prepared.restore.clone(),
            truth: prepared.truth.as_ref().map(Kind::of),
            further: prepared.further.iter().map(Kind::of).collect(),
            outside: prepared.outside.as_ref().map(|outside| outside.channels.clone()),
            classes: prepared.locations.classes.iter().map(Vec::len).collect(),
            annotated: prepared.locations.annotated.as_ref().map(Vec::len),
            files: BTreeMap::new(),
        }
    }

    /// Writes it beside the arrays of a case that lie in `folder`, and makes all of them durable.
    pub(crate) fn seal(mut self, folder: &Path) -> Result<()> {
        let mut names = Vec::new();
        list(folder, "", &mut names)?;
        let mut hashes = String::new();
        for name in names {
            let path = folder.join(&name);
            let file = File::open(&path).map_err(Error::io(&path))?;
            file.sync_all().map_err(Error::io(&path))?;
            let length = file.metadata().map_err(Error::io(&path))?.len();
            if is_metadata(&name) {
                let text = fs::read(&path).map_err(Error::io(&path))?;
                _ = writeln!(hashes, "{}  {name}", hash(&text));
            }
            self.files.insert(name, length);
        }
        let mut text = serde_json::to_string_pretty(&self).map_err(Error::write(folder))?;
        text.push('\n');
        let hashes = format!("{}  {RECORD}\n{hashes}", hash(text.as_bytes()));
        for (name, text) in [(RECORD, text), (HASHES, hashes)] {
            let path = folder.join(name);
            fs::write(&path, text)
                .and_then(|()| File::open(&path)?.sync_all())
                .map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// That of the case in `folder`, whose files are all there and as long as they were, and whose descriptions are
    /// those that were written.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| Error::damaged(folder, name, error))
        };
        let text = read(RECORD)?;
        let hashes = read(HASHES)?;
        let hashes = String::from_utf8_lossy(&hashes);
        let listed: BTreeMap<&str, &str> =
            hashes.lines().filter_map(|line| line.split_once("  ")).map(|(a, b)| (b, a)).collect();
        let check = |name: &str, text: &[u8]| {
            if listed.get(name).is_some_and(|&listed| listed == hash(text)) {
                return Ok(());
            }
            let reason = format!("its SHA-256 is not what {HASHES} says");
            Err(Error::damaged(folder, name, reason))
        };
        check(RECORD, &text)?;
        let record: Self =
            serde_json::from_slice(&text).map_err(|error| Error::damaged(folder, RECORD, error))?;
        if record.schema != SCHEMA {
            let reason =
                format!("its schema is {}, and this program reads {SCHEMA}", record.schema);
            return Err(Error::damaged(folder, RECORD, reason));
        }
        for (name, &length) in &record.files {
            let path = folder.join(name);
            let found = fs::metadata(&path).map_err(|error| Error::damaged(folder, name, error))?;
            if found.len() != length {
                let reason = format!("it has {} bytes, but {length} were written", found.len());
                return Err(Error::damaged(folder, name, reason));
            }
            if is_metadata(name) {
                check(name, &read(name)?)?;
            }
        }
        Ok(record)
    }
}

/// Whether a file describes an array; the others have checksums of their own.
fn is_metadata(name: &str) -> bool {
    name.ends_with("zarr.json")
}

/// The hash of some bytes, as `sha256sum` prints it.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// All files below a folder, by their names relative to it; folders are made durable on the way.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            list(&path, &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    // Not every file system lets a folder be synced.
    if let Ok(folder) = File::open(folder) {
        _ = folder.sync_all();
    }
    Ok(())
}
