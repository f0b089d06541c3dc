use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Why a case could not be kept, or not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{}: {reason}; remove {}, and it will be made anew", path.display(), case.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The folder of its case.
        case: PathBuf,
    },
    /// A case has no form in which it could be written.
    #[error("{}: {reason}", path.display())]
    Write {
        /// The folder of the case.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// The result of keeping or reading.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn write<E: Display>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::Write { path, reason: error.to_string() }
    }

    pub(crate) fn damaged(case: &Path, file: &str, reason: impl Display) -> Self {
        let (path, reason) = (case.join(file), reason.to_string());
        Self::Damaged { path, reason, case: case.to_owned() }
    }
}
