use std::fs;
use std::path::Path;

use super::HubOptions;
use super::client::{client, list};
use super::reason::Task;
use crate::{Error, HubReference, Result};

/// Brings a data set of the hub, with all of its files, into the folder `output`, which is there whole or not at all.
///
/// # Errors
///
/// As [`fetch`](fn@super::fetch); [`Error::Hub`], where `output` holds something already; [`Error::Io`], where it cannot be made.
pub fn fetch_data_set(
    reference: &HubReference,
    output: &Path,
    options: &HubOptions<'_>,
) -> Result<()> {
    let task = Task::get(reference, options);
    if output.is_file() || output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let there = output.display();
        return Err(task.refused(&format!(
            "{there} is there already; name a folder that is not with --output"
        )));
    }
    if options.offline {
        return Err(task.refused("data sets are not kept in the hub's cache; go online"));
    }
    let Some(name) = output.file_name().map(|name| name.to_string_lossy()) else {
        let reason = "its folder has no name of its own; give one that is not there yet";
        return Err(task.refused(reason));
    };
    let partial = output.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let client = client(options).map_err(|cause| task.failed(&cause))?;
    let repository = client.dataset(reference.owner(), reference.name());
    let info = repository.info().maybe_revision(reference.revision()).send();
    let commit = info.map_err(|cause| task.failed(&cause))?.sha.unwrap_or_default();
    // The client joins names to the folder as they come: those that lead out of it are refused here.
    list(&repository, &commit, &task)?;
    let fetched = repository.snapshot_download().revision(commit).local_dir(partial.clone()).send();
    let placed = fetched.map_err(|cause| task.failed(&cause)).and_then(|_| {
        // What the client notes down for itself.
        _ = fs::remove_dir_all(partial.join(".cache"));
        _ = fs::remove_dir(output);
        fs::rename(&partial, output).map_err(Error::io(output))
    });
    if placed.is_err() {
        // Nothing more can be done about what will not go.
        _ = fs::remove_dir_all(&partial);
    }
    placed
}
