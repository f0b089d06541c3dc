use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::HubOptions;
use super::fetch::{commit, fetch};
use crate::pack::{Workshop, check_vacant};
use crate::{Error, HubReference, Result, manifest, show, sign};

/// A model that was brought from the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The model.
    pub reference: String,
    /// Its commit: `hub:owner/name@COMMIT` is this very model for good.
    pub commit: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Its files, sorted, `SHA256SUMS` left out.
    pub files: Vec<String>,
    /// The size of all of them, bytes.
    pub bytes: u64,
}

/// Brings a model into the hub's cache, as [`fetch`], and copies it to `output` where that is given: a folder of its own, there
/// whole or not at all.
///
/// # Errors
///
/// As [`fetch`]; [`Error::Occupied`], where `output` is there and not empty; [`Error::Io`], where it cannot be written.
pub fn pull(
    reference: &HubReference,
    output: Option<&Path>,
    options: &HubOptions<'_>,
) -> Result<Pulled> {
    if let Some(output) = output {
        check_vacant(output)?;
    }
    let folder = fetch(reference, options)?;
    let files: Vec<String> = manifest::read(&folder)?.into_keys().collect();
    let mut bytes = 0;
    for name in &files {
        let path = folder.join(name);
        bytes += fs::metadata(&path).map_err(Error::io(&path))?.len();
    }
    let commit = commit(&folder).unwrap_or_default().to_owned();
    if let Some(output) = output {
        copy(&folder, &files, output)?;
    }
    let folder = output.map_or(folder, Path::to_owned);
    Ok(Pulled { reference: reference.to_string(), commit, folder, files, bytes })
}

fn copy(folder: &Path, files: &[String], output: &Path) -> Result<()> {
    let workshop = Workshop::beside(output)?;
    let signature = folder.join(sign::SIGNATURE).is_file().then_some(sign::SIGNATURE);
    let names = files.iter().map(String::as_str).chain([manifest::NAME]).chain(signature);
    for name in names {
        let to = workshop.0.join(name);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        // The file itself, and not the link to it.
        fs::copy(folder.join(name), &to).map_err(Error::io(&to))?;
        fs::File::open(&to).and_then(|file| file.sync_all()).map_err(Error::io(&to))?;
    }
    workshop.rename(output)
}

impl fmt::Display for Pulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, files) = (self.folder.display(), self.files.len());
        writeln!(f, "{}: {files} files, {}", self.reference, show::size(self.bytes))?;
        write!(f, "commit  {}\nfolder  {folder}", self.commit)
    }
}
