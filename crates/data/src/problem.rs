use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Something wrong, or suspicious, in a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Whether the data set can be used in spite of it.
    pub severity: Severity,
    /// What it is about.
    pub kind: ProblemKind,
    /// The case, where it is about one.
    pub case: Option<String>,
    /// The file, where it is about one.
    pub path: Option<PathBuf>,
    /// What is wrong and what helps, in one line that names case and file.
    pub message: String,
}

/// Whether a data set can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can, but someone should look at it.
    Warning,
    /// It cannot, or results would be wrong.
    Error,
}

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// A file that a case needs is not there.
    MissingFile,
    /// A file cannot be read.
    Unreadable,
    /// Files of one case do not lie on one grid.
    Geometry,
    /// A label file holds values that stand for no class.
    LabelValues,
    /// Voxels are NaN or infinite.
    NonFinite,
    /// A case has no label.
    NoLabel,
    /// Cases without a label are left out.
    LeftOut,
    /// Not all raters have seen a case.
    MissingRater,
    /// A label has no image.
    NoImage,
    /// An image that the description of the data set does not list.
    Unlisted,
    /// A case is listed twice.
    DuplicateCase,
    /// Two cases of different groups have the same image.
    DuplicateImage,
    /// What is held out is trained on, too: the case, its group, or its image.
    Leakage,
    /// A division into folds is not one of this data set.
    Split,
    /// A label holds nothing but background.
    EmptyLabel,
    /// All voxels of a channel are equal.
    ConstantImage,
    /// A spacing is far from those of the other cases.
    SpacingOutlier,
    /// A class that occurs in no case.
    UnusedClass,
    /// What the description says is not what there is.
    Description,
    /// A file that is read in a way that a user should know of.
    Remark,
}

impl Problem {
    pub(crate) fn new(severity: Severity, kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { severity, kind, case: None, path: None, message: message.into() }
    }

    pub(crate) fn of_case(mut self, id: &str) -> Self {
        self.case = Some(id.to_owned());
        self
    }

    pub(crate) fn of_file(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// What keeps a case from being read.
    pub(crate) fn from_error(id: &str, error: &Error) -> Self {
        let kind = match error {
            Error::Geometry { .. } => ProblemKind::Geometry,
            Error::LabelValues { .. } | Error::NotLabels { .. } => ProblemKind::LabelValues,
            Error::Missing { .. } => ProblemKind::MissingFile,
            Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                ProblemKind::MissingFile
            }
            _ => ProblemKind::Unreadable,
        };
        let problem = Self::new(Severity::Error, kind, error.to_string()).of_case(id);
        match error.path() {
            Some(path) => problem.of_file(path),
            None => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}", self.message)
    }
}
