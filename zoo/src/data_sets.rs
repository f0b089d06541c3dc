//! What a model was made of: `datasets.json`, a list of data sets and their licenses.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use engine::file::{read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::license::License;
use crate::{Error, PackOptions, Result, card};

/// The file's name.
pub(crate) const NAME: &str = "datasets.json";

/// A data set that a model was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// What it is called; `owner/name`, where the hub has it.
    pub name: String,
    /// Its license, as the hub names it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where it is to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The version of this format.
    schema: u32,
    /// The license of the weights, as the hub names it.
    license: String,
    /// What they were trained on.
    data_sets: Vec<DataSet>,
}

/// The version of the format that is written.
const SCHEMA: u32 = 1;

/// Writes the file, where data sets are named.
pub(crate) fn write(folder: &Path, options: &PackOptions, license: License) -> Result<()> {
    if options.datasets.is_empty() {
        return Ok(());
    }
    let (license, data_sets) = (license.id.to_owned(), options.datasets.clone());
    Ok(write_json(&folder.join(NAME), &Listing { schema: SCHEMA, license, data_sets })?)
}

impl FromStr for DataSet {
    type Err = Error;

    /// `NAME[,LICENSE[,SOURCE]]`.
    ///
    /// # Errors
    ///
    /// [`Error::Option`], where there is no name, or a part holds more than one line.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Option {
            what: "the data set",
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.chars().any(char::is_control) {
            return Err(wrong("it has more than one line or control characters"));
        }
        let mut parts = text.splitn(3, ',').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("it has no name; give NAME,LICENSE,SOURCE"))?;
        let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        Ok(Self { name: name.to_owned(), license: part(), source: part() })
    }
}

impl DataSet {
    /// One of which only the name is known.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), license: None, source: None }
    }

    /// Whether the hub can have a data set of that name.
    pub(crate) fn is_of_hub(&self) -> bool {
        format!("hub:{}", self.name).parse::<crate::Reference>().is_ok()
    }
}

/// What has to be said before a model is used for money: which of its licenses, or of its data's, forbids that. `None` where none is
/// known to.
///
/// The card's license is read, and `datasets.json` where there is one; what cannot be read says nothing.
pub fn license_warning(folder: &Path) -> Option<String> {
    let card = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let mut found = Vec::new();
    let (_, license) = card::name_and_license(&card);
    found.extend(license.filter(|it| forbids_commerce(it)).map(|it| format!("its license, {it}")));
    let data_sets = read_json::<Listing>(&folder.join(NAME)).ok();
    for data in data_sets.into_iter().flat_map(|it| it.data_sets) {
        if let Some(license) = data.license.filter(|it| forbids_commerce(it)) {
            found.push(format!("that of its data set {}, {license}", data.name));
        }
    }
    if found.is_empty() {
        return None;
    }
    let found = found.join("; ");
    let plain = found.chars().filter(|character| !character.is_control());
    Some(format!("not for commercial use, by {}", plain.collect::<String>()))
}

/// Whether a license, by its name at the hub, is one of those that forbid commercial use.
fn forbids_commerce(id: &str) -> bool {
    let id = id.to_ascii_lowercase().replace([' ', '_'], "-");
    id.split('-').any(|word| word == "nc")
        || ["noncommercial", "non-commercial", "research"].iter().any(|it| id.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_that_forbid_commerce_are_known_by_their_names() {
        for id in [
            "cc-by-nc-4.0",
            "CC BY-NC-SA 4.0",
            "cc-by-nc-nd-3.0",
            "intel-research",
            "fair-noncommercial-research-license",
        ] {
            assert!(forbids_commerce(id), "{id}");
        }
        for id in ["cc-by-4.0", "mit", "apache-2.0", "other", "cc-by-nd-4.0", "ncsa"] {
            assert!(!forbids_commerce(id), "{id}");
        }
    }

    #[test]
    fn data_sets_are_read_from_one_word() -> anyhow::Result<()> {
        let full: DataSet = "MSD Task04, cc-by-sa-4.0, http://medicaldecathlon.com/?a,b".parse()?;
        assert_eq!(full.license.as_deref(), Some("cc-by-sa-4.0"));
        assert_eq!(full.source.as_deref(), Some("http://medicaldecathlon.com/?a,b"));
        assert!(!full.is_of_hub());
        let short: DataSet = "owner/name".parse()?;
        assert_eq!(short, DataSet::named("owner/name"));
        assert!(short.is_of_hub());
        assert!(",mit".parse::<DataSet>().is_err());
        assert!("a\nb".parse::<DataSet>().is_err());
        Ok(())
    }
}
