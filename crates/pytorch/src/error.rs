use std::io;
use std::path::PathBuf;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system says no.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// It is no file of PyTorch.
    #[error("{} is no checkpoint of PyTorch: {reason}", path.display())]
    NotPyTorch {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// It is one, but damaged.
    #[error("{} is damaged: {reason}; get it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A tensor is of a kind that this crate does not read.
    #[error("{}: a tensor {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A tensor could not be made.
    #[error(transparent)]
    Candle(#[from] candle::Error),
}

/// What reading comes to.
pub type Result<T> = std::result::Result<T, Error>;
