//! Models and data sets of the Hugging Face hub.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{HFClient, HFClientSync, HFError};

use crate::{Error, HubReference, Result, error, manifest};

/// What a model folder is made of; whatever else a repository holds stays there.
const FILES: &[&str] = &[
    manifest::NAME,
    "LICENSE",
    "README.md",
    "calibration.json",
    "config.json",
    "eval/raw.json",
    "eval/summary.json",
    "golden.safetensors",
    "model.safetensors",
    "plan.json",
    "postprocess.json",
    "run.toml",
    "split.json",
    "text/config.json",
    "text/model.safetensors",
    "text/tokenizer.json",
];

/// How to reach the hub. Where a field is `None`, the hub's client decides, by its own variables
/// and files (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, …).
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchOptions<'a> {
    /// Whether only what is in the cache may be used, without a single request.
    pub offline: bool,
    /// The hub's address, such as that of a mirror.
    pub endpoint: Option<&'a str>,
    /// Who asks, for models that are not public.
    pub token: Option<&'a str>,
    /// The cache's folder.
    pub cache: Option<&'a Path>,
}

/// Brings a model of the hub into the hub's cache, and returns its folder there.
///
/// Files that are there already are not fetched again. The folder is complete when this returns:
/// every file that its `SHA256SUMS` lists is there; [`verify`](crate::verify) says whether they are
/// the right ones, and [`load`](crate::load) refuses wrong ones.
///
/// # Errors
///
/// [`Error::Hub`], where the hub cannot be reached, does not have the model, or refuses it; and,
/// offline, where it is not in the cache. [`Error::NotAModel`], where the repository is no model of
/// ours.
pub fn fetch(reference: &HubReference, options: &FetchOptions<'_>) -> Result<PathBuf> {
    let folder = snapshot(reference, options, FILES)?;
    for name in manifest::read(&folder)?.keys() {
        if !folder.join(name).is_file() {
            let remedy = if options.offline { "fetch it online" } else { "tell its owner" };
            return Err(Error::Hub {
                reference: reference.to_string(),
                reason: format!("{name} is missing from it; {remedy}"),
            });
        }
    }
    Ok(folder)
}

/// Brings the weights of any repository, its `model.safetensors`, into the hub's cache, and returns the
/// file there: those of timm's encoders, for one.
///
/// # Errors
///
/// As [`fetch`]; [`Error::Hub`], where the repository has no such file.
pub fn fetch_weights(reference: &HubReference, options: &FetchOptions<'_>) -> Result<PathBuf> {
    let file = snapshot(reference, options, &[WEIGHTS])?.join(WEIGHTS);
    if file.is_file() {
        return Ok(file);
    }
    let reason = if options.offline {
        format!("its {WEIGHTS} is not in the cache; go online once, or give a file")
    } else {
        format!("it has no {WEIGHTS}; give one that has, or a file")
    };
    Err(Error::Hub { reference: reference.to_string(), reason })
}

/// Brings some files of any repository into the hub's cache, and returns their folder there: those of a text encoder, for one.
/// One that the repository does not have is not in it.
///
/// # Errors
///
/// As [`fetch`].
pub fn fetch_files(
    reference: &HubReference,
    names: &[&str],
    options: &FetchOptions<'_>,
) -> Result<PathBuf> {
    snapshot(reference, options, names)
}

/// Brings a data set of the hub, with all of its files, into the folder `output`, which is there whole or not at all.
///
/// # Errors
///
/// As [`fetch`]; [`Error::Hub`], where `output` holds something already; [`Error::Io`], where it cannot be made.
pub fn fetch_data_set(
    reference: &HubReference,
    output: &Path,
    options: &FetchOptions<'_>,
) -> Result<()> {
    let refuse = |reason: &str| {
        Err(Error::Hub { reference: reference.to_string(), reason: reason.to_owned() })
    };
    if output.is_file() || output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let there = output.display();
        return refuse(&format!(
            "{there} is there already; name a folder that is not with --output"
        ));
    }
    if options.offline {
        return refuse("data sets are not kept in the hub's cache; go online");
    }
    let Some(name) = output.file_name().map(|name| name.to_string_lossy()) else {
        return refuse("its folder has no name of its own; give one that is not there yet");
    };
    let partial = output.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let fetched = client(options).and_then(|client| {
        client
            .dataset(reference.owner(), reference.name())
            .snapshot_download()
            .maybe_revision(reference.revision())
            .local_dir(partial.clone())
            .send()
    });
    let fetched = fetched.map_err(|error| Error::Hub {
        reference: reference.to_string(),
        reason: reason(&error, reference, options),
    });
    let placed = fetched.and_then(|_| {
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

/// The weights of a repository.
const WEIGHTS: &str = "model.safetensors";

fn snapshot(
    reference: &HubReference,
    options: &FetchOptions<'_>,
    files: &[&str],
) -> Result<PathBuf> {
    download(reference, options, files).map_err(|error| Error::Hub {
        reference: reference.to_string(),
        reason: reason(&error, reference, options),
    })
}

fn download(
    reference: &HubReference,
    options: &FetchOptions<'_>,
    files: &[&str],
) -> Result<PathBuf, HFError> {
    client(options)?
        .model(reference.owner(), reference.name())
        .snapshot_download()
        .maybe_revision(reference.revision())
        .allow_patterns(files.iter().map(|name| (*name).to_owned()).collect())
        .local_files_only(options.offline)
        .send()
}

fn client(options: &FetchOptions<'_>) -> Result<HFClientSync, HFError> {
    let mut builder = HFClient::builder().user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")));
    if let Some(endpoint) = options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(token) = options.token {
        builder = builder.token(token);
    }
    if let Some(cache) = options.cache {
        builder = builder.cache_dir(cache);
    }
    builder.build_sync()
}

const NO_MODEL: &str =
    "there is nothing of that name, or it is not public; check the name, or log in to the hub";

/// Why, and what to do about it.
fn reason(cause: &HFError, reference: &HubReference, options: &FetchOptions<'_>) -> String {
    // The client asks for a revision, and takes any "not found" for an answer about that; the hub
    // says which of the two is not there, and a model always has the revision of no name.
    let no_model = |code: Option<&str>| {
        code == Some("RepoNotFound") || code.is_none() && reference.revision().is_none()
    };
    match cause {
        HFError::LocalEntryNotFound { .. } if options.offline => {
            "it is not in the cache; go online once, or give a folder".to_owned()
        }
        HFError::RepoNotFound { .. } | HFError::AuthRequired { .. } | HFError::Forbidden { .. } => {
            NO_MODEL.to_owned()
        }
        HFError::RevisionNotFound { context, .. }
            if no_model(context.as_ref().and_then(|context| context.error_code.as_deref())) =>
        {
            NO_MODEL.to_owned()
        }
        HFError::RevisionNotFound { revision, .. } => {
            format!("it has no revision {revision}; check the name")
        }
        other => {
            format!("{}; check the network, or work from the cache", error::with_causes(other))
        }
    }
}
