use std::io;
use std::path::PathBuf;

/// Why words could not be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot open {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of a text encoder makes no sense, or does not fit the others.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Words that nothing can be made of.
    #[error("the prompt {prompt:?} {reason}")]
    Prompt {
        /// The words.
        prompt: String,
        /// What is wrong with them, and what to do.
        reason: String,
    },
    /// Words that stand for none of the classes that are known.
    #[error("{prompt:?} is not among what this model knows; nearest: {}", listed(nearest))]
    Unknown {
        /// The words.
        prompt: String,
        /// Classes and their similarity, the most similar first.
        nearest: Vec<(String, f64)>,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle::Error),
}

/// What embedding words comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn file(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
}

fn listed(nearest: &[(String, f64)]) -> String {
    let each = nearest.iter().map(|(name, similarity)| format!("{name} ({similarity:.2})"));
    each.collect::<Vec<_>>().join(", ")
}
