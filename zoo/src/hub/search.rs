use std::fmt;

use serde::Serialize;

use super::HubOptions;
use super::client::client;
use super::reason;
use crate::{Error, Result};

/// What the hub's library of our models is called.
const LIBRARY: &str = "sconce";

/// More than anyone reads.
const MOST: usize = 100;

/// A model that the hub has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// `owner/name`.
    pub id: String,
    /// The license, as the hub names it, where the card says one.
    pub license: Option<String>,
    /// How often it was downloaded in the last month.
    pub downloads: u64,
    /// When it was changed last.
    pub last_modified: Option<String>,
    /// What else the card says of it, such as `3d` and `ct`.
    pub tags: Vec<String>,
}

/// The models of this program whose name, or card, holds the text; at most a hundred.
///
/// # Errors
///
/// [`Error::Search`], where the hub cannot be asked.
pub fn search(text: &str, options: &HubOptions<'_>) -> Result<Vec<Found>> {
    let failed = |reason: String| Error::Search { reason };
    if options.offline {
        return Err(failed("HF_HUB_OFFLINE is set; go online".to_owned()));
    }
    let asked = client(options).and_then(|client| {
        client.list_models().search(text).filter(LIBRARY).full(true).limit(MOST).send()
    });
    let models = asked.map_err(|cause| failed(reason::in_general(&cause)))?;
    let found = models.into_iter().map(|model| {
        let tags = model.tags.unwrap_or_default();
        let license = tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(plain);
        let mut tags: Vec<String> = tags.iter().map(|tag| plain(tag)).collect();
        tags.retain(|tag| !tag.contains(':') && tag != LIBRARY);
        Found {
            id: plain(&model.id),
            license,
            downloads: model.downloads.unwrap_or(0),
            last_modified: model.last_modified.as_deref().map(plain),
            tags,
        }
    });
    Ok(found.collect())
}

/// A text of strangers, without what a terminal would take for a command.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let license = self.license.as_deref().unwrap_or("no license");
        write!(f, "hub:{}  {license}  {} downloads", self.id, self.downloads)?;
        if self.tags.is_empty() { Ok(()) } else { write!(f, "  {}", self.tags.join(", ")) }
    }
}
