//! What a model is called on a command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, Result};

/// Where a model is: `DIR`, or `hub:OWNER/NAME[@REVISION]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In a folder.
    Local(PathBuf),
    /// On the Hugging Face hub.
    Hub(HubReference),
}

/// A model of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubReference {
    owner: String,
    name: String,
    revision: Option<String>,
}

const PREFIX: &str = "hub:";

/// The folder that a name stands for, which must be there already.
///
/// # Errors
///
/// [`Error::Reference`], where there is no such folder, or the name is of a model of the hub, which
/// has to be fetched first.
pub fn resolve(name: &str) -> Result<PathBuf> {
    let wrong = |reason: String| Error::Reference { name: name.to_owned(), reason };
    match name.parse()? {
        Reference::Local(path) if path.is_dir() => Ok(path),
        Reference::Local(path) if path.exists() => {
            Err(wrong("it is a file; give the folder that it is in".to_owned()))
        }
        Reference::Local(_) => Err(wrong(
            "there is no such folder; give that of a model or of a finished run".to_owned(),
        )),
        Reference::Hub(reference) => Err(wrong(format!(
            "it is on the hub, not on this machine; download {}/{} and give the folder",
            reference.owner, reference.name
        ))),
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Reference`], where the name is empty, or begins with `hub:` and does not go on as the
    /// hub's names do.
    fn from_str(name: &str) -> Result<Self> {
        if name.is_empty() {
            let reason = "it is empty; give the folder of a model".to_owned();
            return Err(Error::Reference { name: String::new(), reason });
        }
        match name.strip_prefix(PREFIX) {
            Some(rest) => parse(rest)
                .map(Self::Hub)
                .map_err(|reason| Error::Reference { name: name.to_owned(), reason }),
            None => Ok(Self::Local(PathBuf::from(name))),
        }
    }
}

fn parse(text: &str) -> Result<HubReference, String> {
    let (model, revision) = match text.split_once('@') {
        Some((model, revision)) => (model, Some(revision)),
        None => (text, None),
    };
    let Some((owner, name)) = model.split_once('/') else {
        return Err("it has no owner; give hub:OWNER/NAME, or hub:OWNER/NAME@REVISION".to_owned());
    };
    for part in [owner, name] {
        if !is_name(part) {
            return Err(format!(
                "{part:?} is no name of the hub: up to 96 letters, digits, '-', '_' and '.', \
                 neither '--' nor '..', and neither '-' nor '.' at its ends"
            ));
        }
    }
    if let Some(revision) = revision.filter(|revision| !is_revision(revision)) {
        return Err(format!("{revision:?} is no revision: give a branch, a tag or a commit"));
    }
    let revision = revision.map(str::to_owned);
    Ok(HubReference { owner: owner.to_owned(), name: name.to_owned(), revision })
}

/// By the hub's rules for names of owners and repositories.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=96).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("--")
        && !name.contains("..")
        && !name.to_ascii_lowercase().ends_with(".git")
}

/// A branch, tag or commit, in a narrower form than git allows.
fn is_revision(revision: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    (1..=255).contains(&revision.len())
        && revision.bytes().all(allowed)
        && !revision.starts_with(['-', '/', '.'])
        && !revision.ends_with(['/', '.'])
        && !revision.contains("..")
        && !revision.contains("//")
}

impl HubReference {
    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit that is asked for; `None` stands for the branch `main`.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }
}

impl fmt::Display for HubReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}", self.owner, self.name)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_back_as_they_were_written() -> anyhow::Result<()> {
        for text in ["hub:sconce/kidney-3d", "hub:a/b@v1.0", "hub:a.b/c_d@refs/pr/1"] {
            let Reference::Hub(reference) = text.parse()? else { panic!("{text} is of the hub") };
            assert_eq!(reference.to_string(), text);
        }
        assert_eq!("models/x".parse::<Reference>()?, Reference::Local("models/x".into()));
        Ok(())
    }

    #[test]
    fn names_that_the_hub_does_not_know_are_refused() {
        for text in [
            "hub:",
            "hub:kidney",
            "hub:a/",
            "hub:/b",
            "hub:a/b/c",
            "hub:../b",
            "hub:a/b..c",
            "hub:a/-b",
            "hub:a/b.git",
            "hub:a/b c",
            "hub:a/b@",
            "hub:a/b@../x",
            "hub:a/b@x y",
            "hub:a/b%2f",
            "",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        let error = "hub:kidney".parse::<Reference>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"hub:kidney\" names no model: it has no owner; give hub:OWNER/NAME, or \
             hub:OWNER/NAME@REVISION"
        );
    }

    #[test]
    fn only_folders_that_are_there_are_resolved() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_str().expect("a temporary folder has a plain name");

        assert_eq!(resolve(path)?, folder.path());
        let error = resolve("no/such/folder").unwrap_err().to_string();
        assert_eq!(
            error,
            "\"no/such/folder\" names no model: there is no such folder; give that of a model or of \
             a finished run"
        );
        assert!(resolve("hub:a/b").unwrap_err().to_string().contains("download a/b"));
        Ok(())
    }
}
