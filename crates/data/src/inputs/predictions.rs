use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::names::{self, name, split};
use super::{every_file, images_in};
use crate::{Error, Result};

/// What names of files of probabilities end in, before their ending.
const PROBABILITIES: &str = "_probabilities";

/// What was predicted of one case: one of the two at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PredictionFiles {
    /// The label map.
    pub labels: Option<PathBuf>,
    /// The probability of each class: `ID_probabilities` with the ending of an image, or nnU-Net's `ID.npz`.
    pub probabilities: Option<PathBuf>,
}

impl PredictionFiles {
    /// One of them, by which to name the case.
    pub fn any(&self) -> Option<&Path> {
        self.labels.as_deref().or(self.probabilities.as_deref())
    }
}

/// The predictions in a folder, by the name of their case.
///
/// # Errors
///
/// Where the folder cannot be listed; [`Error::NoCases`], where it holds none.
pub fn prediction_files(folder: &Path) -> Result<BTreeMap<String, PredictionFiles>> {
    let mut found: BTreeMap<String, PredictionFiles> = BTreeMap::new();
    for file in images_in(folder)? {
        let Some((id, _)) = split(&file) else { continue };
        match id.strip_suffix(PROBABILITIES) {
            Some(id) => found.entry(id.to_owned()).or_default().probabilities = Some(file),
            None => found.entry(id).or_default().labels = Some(file),
        }
    }
    for file in every_file(folder)? {
        if let Some(id) = name(&file).strip_suffix(".npz") {
            let files = found.entry(id.to_owned()).or_default();
            files.probabilities.get_or_insert(file.clone());
        }
    }
    if found.is_empty() {
        return Err(none(folder, "give the folder that the predictions are in"));
    }
    Ok(found)
}

/// The label maps in a folder, by the name of their case.
///
/// # Errors
///
/// Where the folder cannot be listed; [`Error::NoCases`], where it holds none.
pub fn label_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = images_in(folder)?;
    let named = files.into_iter().filter_map(|file| split(&file).map(|it| (it.0, file)));
    let found: BTreeMap<String, PathBuf> =
        named.filter(|(id, _)| !id.ends_with(PROBABILITIES)).collect();
    if found.is_empty() {
        return Err(none(folder, "give the folder that the reference label files are in"));
    }
    Ok(found)
}

fn none(folder: &Path, remedy: &str) -> Error {
    Error::NoCases {
        path: folder.to_owned(),
        pattern: names::any_image(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn labels_and_probabilities_of_one_case_belong_together() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let names =
            ["a.nii.gz", "a_probabilities.nii.gz", "b.npz", "b.nii.gz", "c.npz", "notes.txt"];
        for name in names {
            fs::write(folder.path().join(name), "")?;
        }
        let at = |name: &str| Some(folder.path().join(name));

        let found = prediction_files(folder.path())?;

        let ids: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        let a =
            PredictionFiles { labels: at("a.nii.gz"), probabilities: at("a_probabilities.nii.gz") };
        assert_eq!(found["a"], a);
        assert_eq!(found["b"].probabilities, at("b.npz"));
        assert_eq!((&found["c"].labels, found["c"].any()), (&None, at("c.npz").as_deref()));
        let labels: Vec<String> = label_files(folder.path())?.into_keys().collect();
        assert_eq!(labels, ["a", "b"]);
        let empty = tempfile::tempdir()?;
        assert!(prediction_files(empty.path()).is_err() && label_files(empty.path()).is_err());
        Ok(())
    }
}
