use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// CVC-ClinicDB: polyps in frames of colonoscopies, 612 pictures of 31 sequences.
///
/// ```text
/// root
/// ├── Original/1.tif                    or below `TIF` or, as PNG files, below `PNG`
/// └── Ground Truth/1.tif
/// ```
///
/// Masks are what is brighter than 127. Neighbouring frames are much alike; the names do not say which belong
/// together, so that a random division holds out what was nearly trained on.
///
/// # Source
///
/// Bernal et al.: *WM-DOVA maps for accurate polyp highlighting in colonoscopy*, Computerized Medical Imaging and
/// Graphics, 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CvcClinicdb {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for CvcClinicdb {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("polyp", [1])] }
    }
}

impl Published for CvcClinicdb {
    const SOURCE: &'static Source = &Source {
        title: "CVC-ClinicDB",
        page: "https://polyp.grand-challenge.org/CVCClinicDB/",
        steps: "register, download CVC-ClinicDB.rar, and unpack it",
        licence: "research use, see the page",
        file: include_str!("cvc_clinicdb.rs"),
        kind: "CvcClinicdb",
        cases: 612,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let form = |files: [&str; 2]| {
            let (channels, classes) = (colours(), self.classes.clone());
            Pairs { channels, classes, threshold: Some(127.0), ..pairs(&[files]) }.into()
        };
        [
            ["Original/{id}.tif", "Ground Truth/{id}.tif"],
            ["TIF/Original/{id}.tif", "TIF/Ground Truth/{id}.tif"],
            ["PNG/Original/{id}.png", "PNG/Ground Truth/{id}.png"],
            ["Original/{id}.png", "Ground Truth/{id}.png"],
        ]
        .map(form)
        .to_vec()
    }
}
