use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::HubOptions;
use super::cache::{self, Place, known_commit};
use super::client::{self, Listed, cache_folder, client, list, resolve};
use super::reason::Task;
use crate::{HubReference, Result, header, manifest, sign};

/// Brings a model of the hub into the hub's cache, and returns its folder there.
///
/// Files that are there already are not fetched again, and half of one is prolonged. Of each file that `SHA256SUMS` lists, the
/// hash is checked: what has another is removed, and an error. Whatever else the repository holds stays there, but for a
/// signature. [`verify`](crate::verify) says whether the network computes here what it computed where it was packed.
///
/// # Errors
///
/// [`Error::Hub`](crate::Error::Hub), where the hub cannot be reached, does not have the model, refuses it, or sends something else; and,
/// offline, where it is not in the cache. [`Error::NotAModel`](crate::Error::NotAModel), where the repository is no model of
/// ours; [`Error::File`](crate::Error::File), where its list of files or its weights are not usable; [`Error::Io`](crate::Error::Io), where the cache is not.
pub fn fetch(reference: &HubReference, options: &HubOptions<'_>) -> Result<PathBuf> {
    let task = Task::get(reference, options);
    let cache = cache_folder(options).map_err(|cause| task.failed(&cause))?;
    if options.offline {
        return in_cache(&cache, &task);
    }
    let client = client(options).map_err(|cause| task.failed(&cause))?;
    let repository = client.model(reference.owner(), reference.name());
    let commit = resolve(&repository, reference, &task)?;
    let listed: BTreeMap<String, Listed> = list(&repository, &commit, &task)?
        .into_iter()
        .map(|file| (file.name.clone(), file))
        .collect();
    let place = Place::new(&cache, task, &commit);
    let Some(sums) = listed.get(manifest::NAME) else {
        let reason = "it has no SHA256SUMS, so it was not made by `sconce zoo pack`; name another";
        return Err(task.refused(reason));
    };
    place.bring(&repository, sums, None, options)?;
    let recorded =
        manifest::read(&place.snapshot()).inspect_err(|_| place.forget(manifest::NAME))?;
    for (name, hash) in &recorded {
        let Some(file) = listed.get(name) else {
            return Err(task.refused(&format!("{name} is missing from it; tell its owner")));
        };
        let path = place.bring(&repository, file, Some(hash), options)?;
        if name.ends_with(".safetensors") {
            // Its hash says that it is the owner's; not that the owner means well.
            header::parameters(&path).inspect_err(|_| place.forget(name))?;
        }
    }
    if let Some(signature) = listed.get(sign::SIGNATURE).filter(|file| !file.large) {
        place.bring(&repository, signature, None, options)?;
    }
    place.note(reference.revision().unwrap_or("main"))?;
    Ok(place.snapshot())
}

/// The commit of a folder that [`fetch`] has returned.
pub fn commit(folder: &Path) -> Option<&str> {
    folder.file_name()?.to_str().filter(|name| client::is_commit(name))
}

/// The folder of a model that is in the cache, with all its files.
fn in_cache(cache: &Path, task: &Task<'_>) -> Result<PathBuf> {
    let root = cache::root(cache, task.reference);
    let commit = known_commit(&root, task.reference.revision().unwrap_or("main"));
    let folder = commit.map(|commit| root.join("snapshots").join(commit));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        return Err(task.refused("it is not in the cache; go online once, or give a folder"));
    };
    for name in manifest::read(&folder)?.keys() {
        if !folder.join(name).is_file() {
            return Err(task.refused(&format!("{name} is missing from it; fetch it online")));
        }
    }
    Ok(folder)
}
