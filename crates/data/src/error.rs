use std::io;
use std::path::PathBuf;

/// Why a file or data set could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The result of reading or writing.
pub type Result<T, E = Error> = std::result::Result<T, E>;
