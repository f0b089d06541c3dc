//! Where prepared cases are kept: as many as fit in memory, the others on disk.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cache::{Cache, CachedCase};
use data::{Dataset, Description, LayoutConfig};
use preprocess::{Fusion, Plan, Prepared};
use serde::Serialize;

use crate::config::LabelConfig;
use crate::opinions::{OpinionRecord, Opinions};
use crate::spare_memory::spare_memory;
use crate::{Error, Result, content};

/// Raised when the same case would be prepared otherwise than before.
const VERSION: u32 = 2;

/// Where the prepared cases of a run are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// A folder that keeps them, for other runs too; absent, those that do not fit into memory lie in the run's folder
    /// until it ends.
    pub cache: Option<PathBuf>,
    /// Bytes of them that are held in memory; absent, half of what the machine has to spare.
    pub memory: Option<u64>,
}

/// How much is held where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Cases in memory.
    pub in_memory: usize,
    /// Their bytes.
    pub in_memory_bytes: u64,
    /// Cases that are read from disk, patch by patch.
    pub on_disk: usize,
    /// What those would take in memory, bytes.
    pub on_disk_bytes: u64,
    /// Bytes of memory that there are for cases.
    pub memory: u64,
    /// Where those on disk lie.
    pub folder: Option<PathBuf>,
}

/// All that decides how a case is prepared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Made<'a> {
    version: u32,
    program: &'static str,
    data: &'a Description,
    /// How files are read, where that is known.
    layout: Option<&'a LayoutConfig>,
    plan: &'a Plan,
    labels: &'a LabelConfig,
    opinions: Option<&'a OpinionRecord>,
    /// What a rater is drawn by, where one is drawn once and for all.
    seed: Option<u64>,
}

impl<'a> Made<'a> {
    pub(crate) fn new(
        data: &'a Description,
        plan: &'a Plan,
        labels: &'a LabelConfig,
        opinions: Option<&'a Opinions>,
        seed: u64,
    ) -> Self {
        Self {
            seed: matches!(labels.fusion, Fusion::FixedRater).then_some(seed),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION"),
            data,
            layout: None,
            plan,
            labels,
            opinions: opinions.map(Opinions::record),
        }
    }

    /// The same, of files that are read so.
    pub(crate) fn of_layout(self, layout: &'a LayoutConfig) -> Self {
        Self { layout: Some(layout), ..self }
    }
}

/// Deals out the memory of a run, and opens its cache when there is something to keep.
#[derive(Debug)]
pub(crate) struct Shelf<'a> {
    root: PathBuf,
    made: Made<'a>,
    cache: Option<Cache>,
    held: Held,
}

impl<'a> Shelf<'a> {
    /// For cases made in one way; those for which there is no memory go to `spill` where `storage` names no folder.
    pub(crate) fn new(storage: &Storage, spill: &Path, made: Made<'a>) -> Result<Self> {
        let root = storage.cache.clone().unwrap_or_else(|| spill.to_owned());
        let memory = storage.memory.unwrap_or_else(|| spare_memory() / 2);
        let held = Held { memory, ..Held::default() };
        let mut shelf = Self { root, made, cache: None, held };
        if storage.cache.is_some() || spill.exists() {
            shelf.open()?;
        }
        Ok(shelf)
    }

    /// Where there is always room.
    pub(crate) fn in_memory(made: Made<'a>) -> Self {
        let held = Held { memory: u64::MAX, ..Held::default() };
        Self { root: PathBuf::new(), made, cache: None, held }
    }

    /// The cache, where one is in use.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// The cache, which is made where none has been in use.
    pub(crate) fn open(&mut self) -> Result<&Cache> {
        let cache = match self.cache.take() {
            Some(cache) => cache,
            None => Cache::open(&self.root, &self.made)?,
        };
        self.held.folder = Some(cache.root().to_owned());
        Ok(self.cache.insert(cache))
    }

    /// Whether there is memory for so many bytes of a case, which are taken then.
    pub(crate) fn takes(&mut self, bytes: u64) -> bool {
        let held = &mut self.held;
        let fits = held.in_memory_bytes.saturating_add(bytes) <= held.memory;
        if fits {
            held.in_memory += 1;
            held.in_memory_bytes += bytes;
        } else {
            held.on_disk += 1;
            held.on_disk_bytes += bytes;
        }
        fits
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// How many cases may be prepared at a time, where the largest so far takes so many bytes: what is worked on must not
    /// take more memory than what is kept may. One, where none has been seen.
    pub(crate) fn portion(&self, largest: Option<u64>) -> usize {
        let Some(largest) = largest else { return 1 };
        // Preparing takes the image, its copy, and the result.
        let count = self.held.memory / largest.saturating_mul(4).max(1);
        usize::try_from(count).unwrap_or(usize::MAX).clamp(1, 2 * rayon::current_num_threads())
    }
}

/// What tells one version of a case's files from another: their names, lengths and times; of cases that are made, not
/// read, what they hold.
pub(crate) fn version(
    dataset: &dyn Dataset,
    id: &str,
    opinions: Option<&Opinions>,
) -> Result<String> {
    let files = dataset.files(id);
    let mut text = String::new();
    if files.is_empty() {
        text = content::of_case(&dataset.read(id)?);
    }
    let opinion = opinions.map(|opinions| opinions.file(id));
    for path in files.into_iter().chain(opinion) {
        for path in with_parts(&path).map_err(Error::io(&path))? {
            let data = fs::metadata(&path).map_err(Error::io(&path))?;
            let time = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let nanoseconds = time.map_or(0, |time| time.as_nanos());
            _ = writeln!(text, "{name} {} {nanoseconds}", data.len());
        }
    }
    Ok(text)
}

/// The files that a path stands for: those of a folder of slices, a header with its voxels, or itself.
fn with_parts(path: &Path) -> io::Result<Vec<PathBuf>> {
    let detached = ["hdr", "img", "mhd", "nhdr", "raw"];
    let is_detached = path.extension().is_some_and(|it| detached.iter().any(|&other| it == other));
    let folder = match path.parent() {
        _ if path.is_dir() => path,
        Some(folder) if is_detached => folder,
        _ => return Ok(vec![path.to_owned()]),
    };
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let part = entry?.path();
        if part.is_file() && (path.is_dir() || part.file_stem() == path.file_stem()) {
            parts.push(part);
        }
    }
    parts.sort();
    Ok(parts)
}

/// A case that has been prepared, now or before.
pub(crate) enum Kept {
    /// With the hash of what it was made from.
    Fresh(Box<Prepared>, String),
    OnDisk(Box<CachedCase>),
}

impl Kept {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Fresh(prepared, _) => prepared.bytes(),
            Self::OnDisk(case) => case.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_slices_and_a_header_for_its_voxels() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in ["a.mhd", "a.raw", "b.raw", "c.nii.gz"] {
            fs::write(folder.path().join(name), name)?;
        }
        let names = |path: &Path| -> io::Result<Vec<String>> {
            let parts = with_parts(path)?;
            let name =
                |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into();
            Ok(parts.iter().map(name).collect())
        };

        assert_eq!(names(folder.path())?, ["a.mhd", "a.raw", "b.raw", "c.nii.gz"]);
        assert_eq!(names(&folder.path().join("a.mhd"))?, ["a.mhd", "a.raw"]);
        assert_eq!(names(&folder.path().join("c.nii.gz"))?, ["c.nii.gz"]);
        Ok(())
    }
}
