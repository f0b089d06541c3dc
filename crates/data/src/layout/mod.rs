//! Folder conventions: one module for each.

mod dataset_json;
mod index;
mod pattern;
mod reading;
mod spread;
mod values;

pub(crate) mod csv;
pub(crate) mod nnunet_raw;
pub(crate) mod pairs;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
pub(crate) mod partial;
pub(crate) mod published;
pub(crate) mod raters;

use std::path::Path;
use std::{fmt, fs, io};

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::{Class, Error, Result};

pub use self::dataset_json::NnunetDescription;
pub(crate) use self::nnunet_raw::spacing as spacing_beside;
pub use self::pattern::Pattern;
pub use self::published::Source;
pub use self::reading::LabelGeometry;
pub(crate) use self::reading::read_picture;

/// One pattern, or several: written as a string, or as a list of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Several patterns, one, or none.
    pub fn new(patterns: impl Into<Vec<Pattern>>) -> Self {
        Self(patterns.into())
    }

    /// A pattern of this crate's own making.
    fn literal(text: &str) -> Self {
        Self(vec![Pattern::new(text).expect("a pattern in the source is well formed")])
    }

    /// The patterns, in their order.
    pub fn as_slice(&self) -> &[Pattern] {
        &self.0
    }

    /// Whether one of them finds a file.
    fn find_any(&self, root: &Path) -> Result<bool> {
        for pattern in self.as_slice() {
            if !pattern.find(root)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a file that one of them finds may have this name.
    fn is_name(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_name(name))
    }
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern or a list of patterns")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
                Pattern::new(text).map(|one| Patterns(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// What becomes of images that nobody labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlabelled {
    /// They are cases without a label: training refuses them, a check reports them.
    #[default]
    Keep,
    /// They are no cases, as where a challenge keeps the labels of its test images.
    LeaveOut,
}

/// Background and foreground, as most masks hold them.
fn binary() -> Vec<Class> {
    vec![Class::new("background", [0]), Class::new("foreground", [1])]
}

/// Whether an image and a label have such names.
fn finds(root: &Path, images: &Patterns, labels: &Patterns) -> Result<bool> {
    Ok(images.find_any(root)? && labels.find_any(root)?)
}

/// That a data set's folder can be looked into.
pub(crate) fn expect_data_folder(path: &Path) -> Result<()> {
    expect_folder(path, "give the folder that holds the data")
}

/// That there is a folder; `remedy` says what to do where there is none.
fn expect_folder(path: &Path, remedy: &str) -> Result<()> {
    let refused = |is_file| {
        let (path, remedy) = (path.to_owned(), remedy.to_owned());
        Err(Error::NoFolder { path, is_file, remedy })
    };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => refused(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refused(false),
        Err(error) => Err(Error::reading(path)(error)),
    }
}

/// What a data set is called that does not say.
fn name_of(root: &Path) -> String {
    let name = root.canonicalize().ok().and_then(|root| root.file_name().map(ToOwned::to_owned));
    name.map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned())
}
