//! Where the folder of a network is: by itself, below others, or in an archive.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zip::ZipArchive;

use crate::{Error, Result};

/// A folder `TRAINER__PLANS__CONFIGURATION`, which is there as long as this.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    /// What an archive was unpacked into.
    _unpacked: Option<TempDir>,
}

impl Source {
    /// Finds it at or below `path`; `configuration` chooses among several.
    pub(super) fn find(path: &Path, configuration: Option<&str>) -> Result<Self> {
        if path.is_dir() {
            let folder = choose(path, path, configuration)?;
            return Ok(Self { folder, _unpacked: None });
        }
        let unpacked = unpack(path, is_needed)?;
        let folder = choose(unpacked.path(), path, configuration)?;
        Ok(Self { folder, _unpacked: Some(unpacked) })
    }
}

/// No deeper than a results folder: data set, then configuration.
const DEPTH: usize = 4;

fn choose(root: &Path, named: &Path, configuration: Option<&str>) -> Result<PathBuf> {
    let mut found = Vec::new();
    collect(root, DEPTH, &mut found)?;
    found.sort();
    let ends = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        configuration.is_none_or(|it| name.ends_with(&format!("__{it}")) || name == it)
    };
    // A folder that was given by itself is the one, whatever it is called.
    let whole = found == [root.to_path_buf()];
    let fitting: Vec<PathBuf> = found.iter().filter(|&it| whole || ends(it)).cloned().collect();
    let shown = |folders: &[PathBuf]| {
        let below = folders.iter().map(|it| it.strip_prefix(root).unwrap_or(it));
        below.map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let wrong = |reason: String| Error::Import { path: named.to_owned(), reason };
    match fitting.as_slice() {
        [one] => Ok(one.clone()),
        [] if found.is_empty() => Err(wrong(
            "there is no plans.json with fold_0 or another fold beside it; give a folder \
             TRAINER__PLANS__CONFIGURATION of nnU-Net v2, or a ZIP archive of one"
                .to_owned(),
        )),
        [] => Err(wrong(format!("there is no such configuration; there are {}", shown(&found)))),
        several => Err(wrong(format!(
            "there are several networks, {}; give the folder of one, or its --configuration",
            shown(several)
        ))),
    }
}

/// The folders that hold plans and folds.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut folders = Vec::new();
    let mut folds = false;
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() {
            folds |= is_fold(&path);
            folders.push(path);
        }
    }
    if folds && folder.join("plans.json").is_file() {
        found.push(folder.to_owned());
    } else if depth > 0 {
        for folder in folders {
            collect(&folder, depth - 1, found)?;
        }
    }
    Ok(())
}

fn is_fold(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("fold_"))
}

/// Unpacks what is needed of an archive, and nothing that leads out of the folder.
pub(super) fn unpack(path: &Path, is_needed: fn(&Path) -> bool) -> Result<TempDir> {
    let wrong = |reason: String| Error::Import { path: path.to_owned(), reason };
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = ZipArchive::new(file).map_err(|_| {
        wrong(
            "it is neither a folder nor a ZIP archive of a whole network; get it again".to_owned(),
        )
    })?;
    let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    for index in 0..archive.len() {
        let mut entry =
            archive.by_index(index).map_err(|error| wrong(format!("it is damaged: {error}")))?;
        let Some(name) = entry.enclosed_name().filter(|name| is_needed(name)) else { continue };
        let target = folder.path().join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        let mut out = File::create(&target).map_err(Error::io(&target))?;
        // Weights are hardly compressed: what unfolds to much more was made to fill the disk.
        let most = entry.compressed_size().saturating_mul(20).saturating_add(1 << 20);
        let copied = io::copy(&mut entry.by_ref().take(most + 1), &mut out);
        let copied = copied
            .map_err(|error| wrong(format!("{} cannot be unpacked: {error}", target.display())))?;
        if copied > most {
            return Err(wrong(format!(
                "{} unfolds to more than 20 times its size, as no network does",
                target.file_name().unwrap_or_default().display()
            )));
        }
    }
    Ok(folder)
}

/// Plans, labels and checkpoints: neither logs nor predictions of training cases.
fn is_needed(name: &Path) -> bool {
    let file = name.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    file == "plans.json"
        || file == "dataset.json"
        || name.extension().is_some_and(|it| it == "pth") && name.parent().is_some_and(is_fold)
}
