use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use candle::Device;
use serde::Serialize;

use crate::golden::{self, GoldenCheck};
use crate::{Result, manifest};

/// What a check of a model folder found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// The folder.
    pub folder: PathBuf,
    /// Every file that is there or should be, by name.
    pub files: Vec<FileCheck>,
    /// Whether the network computes what it computed where it was packed.
    pub golden: GoldenCheck,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// Its path within the folder, with `/` between folders.
    pub name: String,
    /// Whether it is what it should be.
    pub state: FileState,
}

/// Whether a file is what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is the file that was packed.
    Ok,
    /// It is another.
    Wrong {
        /// The SHA-256 hash that it should have.
        expected: String,
        /// The one that it has.
        actual: String,
    },
    /// It is not there.
    Missing,
    /// It was not packed.
    Unlisted,
}

impl FileState {
    /// Of a file, given the hash that is recorded for it.
    pub(crate) fn of(path: &Path, recorded: Option<&String>) -> Result<Self> {
        match (path.exists(), recorded) {
            (false, _) => Ok(Self::Missing),
            (true, None) => Ok(Self::Unlisted),
            (true, Some(expected)) => {
                let actual = manifest::hash(path)?;
                let expected = expected.clone();
                Ok(if actual == expected { Self::Ok } else { Self::Wrong { expected, actual } })
            }
        }
    }
}

/// Checks a model folder: the hash of every file, and what the network computes on `device`.
///
/// What the folder holds beyond the packed files is found, too; only `.git`, `.gitattributes` and
/// `.cache`, which tools of the hub leave, are passed over. It says nothing of who made the model:
/// hashes find damage, not forgery.
///
/// # Errors
///
/// [`Error::NotAModel`](crate::Error::NotAModel), where there is no `SHA256SUMS`;
/// [`Error::File`](crate::Error::File), where that is damaged; [`Error::Io`](crate::Error::Io). All
/// else is a finding, not an error.
pub fn verify(folder: &Path, device: &Device) -> Result<Verification> {
    let recorded = manifest::read(folder)?;
    let mut names: BTreeSet<String> = manifest::files(folder)?.into_iter().collect();
    names.extend(recorded.keys().cloned());
    let mut files = Vec::new();
    for name in names {
        let state = FileState::of(&folder.join(&name), recorded.get(&name))?;
        files.push(FileCheck { name, state });
    }
    let golden = golden::check(folder, device);
    Ok(Verification { folder: folder.to_owned(), files, golden })
}

impl Verification {
    /// Whether all is as it should be.
    pub fn ok(&self) -> bool {
        self.golden.ok() && self.files.iter().all(|file| file.state == FileState::Ok)
    }

    /// What is not as it should be, one line each; nothing where all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> = self.files.iter().filter_map(FileCheck::finding).collect();
        findings.extend(finding(&self.golden));
        findings
    }
}

impl FileCheck {
    fn finding(&self) -> Option<String> {
        let name = &self.name;
        match &self.state {
            FileState::Ok => None,
            FileState::Wrong { expected, actual } => Some(format!(
                "{name} was changed: its hash is {}…, but {}… was packed",
                &actual[..12],
                &expected[..12.min(expected.len())]
            )),
            FileState::Missing => Some(format!("{name} is missing")),
            FileState::Unlisted => Some(format!("{name} was not packed")),
        }
    }
}

fn finding(golden: &GoldenCheck) -> Option<String> {
    match golden {
        golden if golden.ok() => None,
        GoldenCheck::Compared { max_abs_difference: Some(difference), tolerance } => Some(format!(
            "the network computes something else: logits differ by {difference:.3e}, at most \
             {tolerance:.3e} is rounding"
        )),
        GoldenCheck::Compared { max_abs_difference: None, .. } => {
            Some("the network computes something else: logits that are not finite".to_owned())
        }
        GoldenCheck::Failed { reason } => Some(format!("the network cannot be run: {reason}")),
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = self.findings();
        if findings.is_empty() {
            write!(f, "{}: ok, {} files", self.folder.display(), self.files.len())?;
            if let GoldenCheck::Compared { max_abs_difference: Some(difference), tolerance } =
                &self.golden
            {
                write!(f, "; logits differ by {difference:.1e} (at most {tolerance:.1e})")?;
            }
            return Ok(());
        }
        write!(f, "{}: NOT ok", self.folder.display())?;
        for finding in findings {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}
