//! Guessing how a folder is laid out.

use std::fs;
use std::path::Path;

use crate::layout::expect_data_folder;
use crate::{Error, Layout as _, LayoutConfig, Result};

/// The layout of a folder that says so itself: by a `layout.json`, as generated sets have it, by
/// nnU-Net's `dataset.json`, by Parquet files where the hub has them (feature `parquet`), or by names that no
/// other data set has ([`Layout::knows`](crate::Layout::knows)).
///
/// # Errors
///
/// [`Error::NoFolder`]; [`Error::Description`], where the folder says nothing, or what it says makes
/// no sense.
pub fn recognize(root: &Path) -> Result<LayoutConfig> {
    let own = root.join("layout.json");
    if own.is_file() {
        let text = fs::read_to_string(&own).map_err(Error::reading(&own))?;
        return serde_json::from_str(&text).map_err(|error| Error::Description {
            path: own,
            cause: error.to_string(),
            remedy: "name the layout, or give a run file".to_owned(),
        });
    }
    expect_data_folder(root)?;
    if root.join("dataset.json").is_file() {
        let named = |layout: &LayoutConfig| layout.name() == "nnunet_raw";
        if let Some(layout) = LayoutConfig::defaults().into_iter().find(named) {
            return Ok(layout);
        }
    }
    #[cfg(feature = "parquet")]
    if let Some(layout) = parquet(root)? {
        return Ok(layout);
    }
    for layout in LayoutConfig::defaults() {
        if layout.source().is_some() && layout.knows(root)? {
            return Ok(layout);
        }
    }
    Err(Error::Description {
        path: root.to_owned(),
        cause: "nothing in it says how it is laid out".to_owned(),
        remedy: format!(
            "name the layout ({}) with --layout, or give a run file with --run",
            LayoutConfig::NAMES.join(", ")
        ),
    })
}

/// The layout of the hub, where its files are in place.
#[cfg(feature = "parquet")]
fn parquet(root: &Path) -> Result<Option<LayoutConfig>> {
    let layout = crate::Parquet::default();
    for pattern in layout.files.as_slice() {
        if !pattern.find(root)?.is_empty() {
            return Ok(Some(layout.into()));
        }
    }
    Ok(None)
}
