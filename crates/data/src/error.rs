use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file or data set could not be read or written.
///
/// Every message is one line: what could not be done, to which file, why, and what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}; {}", path.display(), remedy_for(*action, cause))]
    Io {
        /// What was to be done.
        action: Action,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file breaks the rules of its own format.
    #[error("cannot read {}: {cause}; copy or export the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which rule.
        cause: String,
    },
    /// The file may be sound, but holds something that is not read or written here.
    #[error("cannot {action} {}: {cause}; {remedy}", path.display())]
    Unsupported {
        /// What was to be done.
        action: Action,
        /// The file.
        path: PathBuf,
        /// What it holds.
        cause: String,
        /// What helps.
        remedy: String,
    },
    /// A voxel of a label file is no whole number from 0 to 65535.
    #[error(
        "cannot read {} as labels: voxel {voxel:?} (z, y, x) holds {value}; labels are whole \
         numbers from 0 to 65535 (class probabilities need `soft = true`)",
        path.display()
    )]
    NotLabels {
        /// The file.
        path: PathBuf,
        /// The first such voxel, `(z, y, x)`.
        voxel: [usize; 3],
        /// What it holds.
        value: f64,
    },
    /// A label file holds values that stand for no class.
    #[error(
        "cannot read {}: it holds the label values {found:?}, but classes are declared for \
         {declared:?} only; {proposal}",
        path.display()
    )]
    LabelValues {
        /// The file.
        path: PathBuf,
        /// All values in it, ascending.
        found: Vec<u16>,
        /// The values that stand for a class, ascending.
        declared: Vec<u16>,
        /// The classes that would fit, as a setting.
        proposal: String,
    },
    /// Two files of one case do not lie on one grid.
    #[error(
        "cannot use {} for case {id}: its grid is not that of the image ({difference}); {remedy}",
        path.display()
    )]
    Geometry {
        /// The case.
        id: String,
        /// The file that does not fit the case's first image.
        path: PathBuf,
        /// How the grids differ, the image's first.
        difference: String,
        /// What helps.
        remedy: String,
    },
    /// Where a folder should be, there is none.
    #[error(
        "cannot read {}: {}; {remedy}",
        path.display(),
        if *is_file { "it is a file, not a folder" } else { "there is no such folder" }
    )]
    NoFolder {
        /// Where it should be.
        path: PathBuf,
        /// Whether there is a file instead.
        is_file: bool,
        /// What helps.
        remedy: String,
    },
    /// A file that a case needs is not there.
    #[error("cannot read {}: case {id} needs it, but there is no such file; {remedy}", path.display())]
    Missing {
        /// The case.
        id: String,
        /// The file.
        path: PathBuf,
        /// What helps.
        remedy: String,
    },
    /// The data set has no case of that name.
    #[error("there is no case {id} in {dataset}; `sconce dataset summary` counts those it has")]
    UnknownCase {
        /// The name that was asked for.
        id: String,
        /// The data set.
        dataset: String,
    },
    /// A folder holds no case in the layout that the settings describe.
    #[error("cannot find a case in {}: nothing matches `{pattern}`; {remedy}", path.display())]
    NoCases {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        pattern: String,
        /// What helps.
        remedy: String,
    },
    /// Two different files claim to be the same case.
    #[error(
        "two files are case {id}: {} and {}; {remedy}", first.display(), second.display()
    )]
    DuplicateId {
        /// The case.
        id: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What helps.
        remedy: String,
    },
    /// A file that describes a data set or its split does not make sense.
    #[error("cannot read {}: {cause}; {remedy}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What does not.
        cause: String,
        /// What helps.
        remedy: String,
    },
    /// Settings contradict each other.
    #[error("{cause}; {remedy}")]
    Settings {
        /// How.
        cause: String,
        /// What helps.
        remedy: String,
    },
}

/// The result of reading or writing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// To read it.
    Read,
    /// To write it.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl Error {
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { action: Action::Read, path, cause }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { action: Action::Write, path, cause }
    }

    pub(crate) fn settings(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Settings { cause: cause.into(), remedy: remedy.into() }
    }

    /// Two files that a data set's settings give the same name.
    pub(crate) fn duplicate(id: impl Into<String>, first: &Path, second: &Path) -> Self {
        let remedy = "name the cases apart with the setting `id`".to_owned();
        let (first, second) = (first.to_owned(), second.to_owned());
        Self::DuplicateId { id: id.into(), first, second, remedy }
    }

    /// The file that the error is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::Unsupported { path, .. }
            | Self::NotLabels { path, .. }
            | Self::LabelValues { path, .. }
            | Self::Geometry { path, .. }
            | Self::NoFolder { path, .. }
            | Self::Missing { path, .. }
            | Self::NoCases { path, .. }
            | Self::Description { path, .. } => Some(path),
            Self::DuplicateId { second, .. } => Some(second),
            Self::UnknownCase { .. } | Self::Settings { .. } => None,
        }
    }
}

fn remedy_for(action: Action, cause: &io::Error) -> &'static str {
    match (cause.kind(), action) {
        (io::ErrorKind::NotFound, Action::Read) => "check the path",
        (io::ErrorKind::NotFound, Action::Write) => "make its folder first",
        (io::ErrorKind::PermissionDenied, _) => "check its permissions",
        (io::ErrorKind::StorageFull, _) => "free some space",
        (io::ErrorKind::NotADirectory, Action::Read) => "give a folder, not a file",
        (_, Action::Read) => "check that it is a file of its own and can be opened",
        (_, Action::Write) => "check that the folder can be written to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_that_names_file_cause_and_remedy() {
        let io = Error::reading(Path::new("a.nii"))(io::ErrorKind::NotFound.into());
        assert_eq!(io.to_string(), "cannot read a.nii: entity not found; check the path");

        let folder =
            |is_file| Error::NoFolder { path: "a".into(), is_file, remedy: "go on".to_owned() };
        assert_eq!(folder(false).to_string(), "cannot read a: there is no such folder; go on");
        assert_eq!(folder(true).to_string(), "cannot read a: it is a file, not a folder; go on");

        let values = Error::LabelValues {
            path: "mask.png".into(),
            found: vec![0, 255],
            declared: vec![0, 1],
            proposal: "set classes".to_owned(),
        };
        assert_eq!(
            values.to_string(),
            "cannot read mask.png: it holds the label values [0, 255], but classes are declared \
             for [0, 1] only; set classes",
        );
        assert_eq!(values.path(), Some(Path::new("mask.png")));
    }
}
