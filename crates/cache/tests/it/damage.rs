use std::fs;
use std::path::{Path, PathBuf};

use preprocess::Prepared;
use sconce_cache::{Cache, Error, Result};

use crate::fixture::{bare, case};

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn load(cache: &Cache) -> Result<Option<Prepared>> {
    cache.read("case", "1")?.map(|stored| stored.load()).transpose()
}

/// The folder of a case that was made from one version.
pub(crate) fn folder_of(cache: &Cache, name: &str) -> PathBuf {
    let entries = fs::read_dir(cache.root()).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_of_it = |path: &PathBuf| {
        path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&format!("{name}.")))
    };
    paths.into_iter().find(is_of_it).expect("it was written")
}

/// That reading fails, and blames `file`, or the array or list that it belongs to.
fn is_named(cache: &Cache, file: &Path, what: &str) {
    let Err(error) = load(cache) else { panic!("{what}: nothing was found") };
    let Error::Damaged { path, case, .. } = &error else { panic!("{what}: {error}") };
    let is_of_it = file.starts_with(path) || path.ends_with("case.json");
    assert!(is_of_it || path.ends_with("zarr.json"), "{what}: {error}");
    assert!(path.starts_with(case), "{what}: {error}");
    assert!(!error.to_string().contains('\n'), "{what}: {error}");
}

#[test]
fn every_flipped_byte_is_found_and_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = Cache::open(folder.path(), &"settings")?;
    let prepared = case(true);
    cache.write("case", "1", "content", &prepared, [8, 32, 32])?;
    assert_eq!(load(&cache)?.as_ref(), Some(&prepared));
    let all = files(&folder_of(&cache, "case"));
    assert!(all.len() > 12, "{all:?}");
    let mut harmless = 0;
    for file in all {
        let good = fs::read(&file)?;
        let is_chunk = file
            .parent()
            .is_some_and(|folder| !file.ends_with("zarr.json") && folder.ends_with("0"));
        let step = (good.len() / 15).max(1);
        let ends = [0, good.len() - 1];
        for at in ends.into_iter().chain((0..good.len()).step_by(step)) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&file, bad)?;
            // A bit of zstd's frames means nothing.
            if is_chunk && load(&cache).is_ok_and(|found| found.as_ref() == Some(&prepared)) {
                harmless += 1;
                continue;
            }
            is_named(&cache, &file, &format!("{} at {at}", file.display()));
        }
        fs::write(&file, good)?;
    }
    assert!(harmless < 5, "{harmless}");
    assert_eq!(load(&cache)?, Some(prepared));
    Ok(())
}

#[test]
fn files_that_are_short_or_gone_are_found() -> anyhow::Result<()> {
    // Of zeros too, which readers of Zarr make of what is missing.
    for prepared in [case(false), bare()] {
        let folder = tempfile::tempdir()?;
        let cache = Cache::open(folder.path(), &"settings")?;
        cache.write("case", "1", "content", &prepared, [8, 32, 32])?;
        for file in files(&folder_of(&cache, "case")) {
            let good = fs::read(&file)?;
            fs::write(&file, &good[..good.len() / 2])?;
            is_named(&cache, &file, "short");
            fs::remove_file(&file)?;
            is_named(&cache, &file, "gone");
            fs::write(&file, good)?;
        }
        assert_eq!(load(&cache)?, Some(prepared));
    }
    Ok(())
}
