use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, raters};
use crate::{Class, LayoutConfig, Raters};

/// DRIVE: vessels of the retina in photographs of the fundus, 20 to train on and 20 to test, of which two
/// people marked those to test.
///
/// ```text
/// root
/// ├── training/images/21_training.tif
/// ├── training/1st_manual/21_manual1.gif
/// ├── test/images/01_test.tif
/// ├── test/1st_manual/01_manual1.gif
/// └── test/2nd_manual/01_manual2.gif
/// ```
///
/// Raters are `1st` and `2nd`. The masks of the field of view are not used.
///
/// # Source
///
/// Staal et al.: *Ridge-based vessel segmentation in color images of the retina*, IEEE Transactions on
/// Medical Imaging, 2004.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drive {
    /// The classes, background first, and the values that stand for them in masks.
    pub classes: Vec<Class>,
}

impl Default for Drive {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("vessel", [1])] }
    }
}

impl Published for Drive {
    const SOURCE: &'static Source = &Source {
        title: "DRIVE (Digital Retinal Images for Vessel Extraction)",
        page: "https://drive.grand-challenge.org/",
        steps: "register, join the challenge, download training.zip and test.zip, and unpack both below one folder",
        licence: "research and education, see the page",
        file: include_str!("drive.rs"),
        kind: "Drive",
        cases: 40,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = ["training", "test"].map(|part| {
            let image = format!("{part}/images/{{id}}_{part}.tif");
            [image, format!("{part}/{{rater}}_manual/{{id}}_manual?.gif")]
        });
        let (channels, classes) = (colours(), self.classes.clone());
        vec![Raters { channels, classes, threshold: Some(127.0), ..raters(&files) }.into()]
    }
}
