use std::io;
use std::path::PathBuf;

/// Why something could not be done with a model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A folder is not a model folder.
    #[error("{} is no model folder: {reason}", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
        /// What it lacks, and what to do about it.
        reason: String,
    },
    /// A file of a model does not hold what it should.
    #[error("{} is not usable: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// A network of another program cannot be had here.
    #[error("cannot import {}: {reason}", path.display())]
    Import {
        /// The file or folder.
        path: PathBuf,
        /// What it is or lacks, and what to do about it.
        reason: String,
    },
    /// Another program has no place for a network of this kind.
    #[error("cannot export {}: {reason}", path.display())]
    Export {
        /// The model.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A checkpoint of PyTorch could not be read.
    #[error(transparent)]
    Checkpoint(#[from] pytorch::Error),
    /// The place for a new model is taken.
    #[error("{} is not empty; remove it, or choose another output folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The place for a new file is taken.
    #[error("{} is there already; remove it, or choose another name", path.display())]
    Taken {
        /// What is there.
        path: PathBuf,
    },
    /// What was asked for cannot go into a model card.
    #[error("{what} {value:?} cannot be used: {reason}")]
    Option {
        /// Which setting.
        what: &'static str,
        /// What it is.
        value: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// A model folder was written, and does not verify; it has been removed.
    #[error("the packed model does not verify: {findings}")]
    Unverified {
        /// What is wrong, one finding after another.
        findings: String,
    },
    /// A name does not say where a model is.
    #[error("{name:?} names no model: {reason}")]
    Reference {
        /// The name.
        name: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// Something could not be done with a model and the hub, or the hub's cache.
    #[error("cannot {what} {reference}{}: {reason}", if *what == "get" { " from the hub" } else { "" })]
    Hub {
        /// What was to be done: `get`, `push to`, `remove`.
        what: &'static str,
        /// The model.
        reference: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// The hub could not be searched.
    #[error("cannot search the hub: {reason}")]
    Search {
        /// Why, and what to do about it.
        reason: String,
    },
    /// A model could not be signed, or has no signature that holds.
    #[error("{}: {reason}", path.display())]
    Signature {
        /// The key, the signature or the model.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// A network could not be read or written.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle::Error),
}

impl Error {
    /// Says which file an [`io::Error`] speaks of.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    /// The error and its causes on one line, a cause that repeats its effect left out: for places
    /// where nobody sees the error itself.
    pub(crate) fn with_causes(&self) -> String {
        with_causes(self)
    }
}

/// As [`Error::with_causes`], of any error.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The result of doing something with a model folder.
pub type Result<T, E = Error> = std::result::Result<T, E>;
