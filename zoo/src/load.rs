use std::fs;
use std::path::{Path, PathBuf};

use candle::Device;
use engine::Trained;

use crate::verify::FileState;
use crate::{Error, Result, manifest};

/// Where the networks are that speak first, of a cascade.
pub(crate) const PREVIOUS: &str = "previous";

/// What a network is read from.
const READ: [&str; 3] = ["config.json", "model.safetensors", "plan.json"];

/// What an evaluation of it is told by, or is done to its labels, where it is there.
const READ_TOO: [&str; 7] = [
    "calibration.json",
    "postprocess.json",
    "run.toml",
    "split.json",
    "text/config.json",
    "text/model.safetensors",
    "text/tokenizer.json",
];

/// Reads the network of a model folder or of a finished run.
///
/// Strict: in a model folder, each of the three files that are read, and each of those that tell
/// how it was trained, must have the hash that it had when the model was packed; and the weights must be exactly those that the network asks for. A
/// run folder has no hashes, and is read without them. It does not compute anything: that is
/// [`verify`](crate::verify)'s.
///
/// # Errors
///
/// [`Error::File`], where a file is not the one that was packed; [`Error::Engine`], where one is
/// missing or damaged, or the weights do not fit the network.
pub fn load(folder: &Path) -> Result<Trained> {
    if folder.join(manifest::NAME).exists() {
        let recorded = manifest::read(folder)?;
        let too = READ_TOO.into_iter();
        let too = too.filter(|&name| recorded.contains_key(name) || folder.join(name).exists());
        for name in READ.into_iter().chain(too) {
            let path = folder.join(name);
            let reason = match FileState::of(&path, recorded.get(name))? {
                FileState::Ok => continue,
                FileState::Missing => "it is missing; get the model again",
                FileState::Unlisted => "SHA256SUMS does not list it; get the model again",
                FileState::Wrong { .. } => {
                    "it is not the file that was packed, by its SHA-256 hash; get the model again"
                }
            };
            return Err(Error::File { path, reason: reason.to_owned() });
        }
    }
    let trained = Trained::load(folder)?;
    trained.build(&Device::Cpu)?;
    Ok(trained)
}

/// Reads the network of a model folder, or those of a folder that has one for each fold: sub-folders `fold_0`, `fold_1` and so
/// on, as a cross-validation and the import of an ensemble leave them.
///
/// # Errors
///
/// As [`load`], which also says so where there is neither; [`Error::NotAModel`], where a fold is not trained yet.
pub fn load_all(folder: &Path) -> Result<Vec<Trained>> {
    let folds = folds(folder)?;
    if folds.is_empty() {
        return Ok(vec![load(folder)?]);
    }
    folds.iter().map(|fold| load(fold)).collect()
}

/// The networks that speak first, where the folder is one of a cascade: those of its sub-folder `previous`; else none.
///
/// # Errors
///
/// As [`load_all`].
pub fn load_previous(folder: &Path) -> Result<Vec<Trained>> {
    let previous = folder.join(PREVIOUS);
    if previous.is_dir() { load_all(&previous) } else { Ok(Vec::new()) }
}

/// The folder of the network, or that of the first fold.
///
/// # Errors
///
/// As [`load_all`].
pub fn first(folder: &Path) -> Result<PathBuf> {
    Ok(folds(folder)?.into_iter().next().unwrap_or_else(|| folder.to_owned()))
}

/// The folders of the networks that [`load_all`] reads, in its order: the folder itself, or that of each fold.
///
/// # Errors
///
/// As [`load_all`].
pub fn members(folder: &Path) -> Result<Vec<PathBuf>> {
    let folds = folds(folder)?;
    Ok(if folds.is_empty() { vec![folder.to_owned()] } else { folds })
}

/// The folders of the folds, in their order; none where the folder is itself one of a network.
pub(crate) fn folds(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_network = |folder: &Path| folder.join("model.safetensors").exists();
    if is_network(folder) || !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(fold) = name.strip_prefix("fold_").filter(|_| path.is_dir()) {
            found.push((fold.parse().unwrap_or(u32::MAX), path));
        }
    }
    found.sort();
    if let Some((_, path)) = found.iter().find(|(_, path)| !is_network(path)) {
        let reason = "it is one of several folds, and has no model.safetensors yet; finish its training, or name the \
                      folders of those that are done";
        return Err(Error::NotAModel { path: path.clone(), reason: reason.to_owned() });
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
