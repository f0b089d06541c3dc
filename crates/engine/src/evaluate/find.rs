//! Where an evaluation lies.

use std::path::{Path, PathBuf};

use crate::{Error, Result, RunFolder};

/// The file of an evaluation: of a finished run, of a model that was packed with one, of a folder that
/// `sconce evaluate --output` wrote, or the file itself.
///
/// # Errors
///
/// [`Error::File`], where there is none.
pub fn evaluation_file(path: &Path) -> Result<PathBuf> {
    let candidates = [
        path.to_owned(),
        RunFolder::at(path).validation().join("summary.json"),
        path.join("eval/summary.json"),
        path.join("summary.json"),
    ];
    let reason = if path.exists() {
        "it holds no evaluation; give a run that was trained to its end, a model that was packed with \
         one, or what `sconce evaluate --output` wrote"
    } else {
        "it is not there; give the folder of a run or a model, or what `sconce evaluate --output` wrote"
    };
    let none = || Error::File { path: path.to_owned(), reason: reason.to_owned() };
    candidates.into_iter().find(|file| file.is_file()).ok_or_else(none)
}
