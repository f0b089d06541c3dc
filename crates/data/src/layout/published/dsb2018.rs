use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// Data Science Bowl 2018: nuclei in microscopy, 670 pictures.
///
/// ```text
/// root
/// └── stage1_train/00ae65c1
///     ├── images/00ae65c1.png
///     └── masks/*.png                   one for each nucleus
/// ```
///
/// The masks of single nuclei are merged; opacity is left out.
///
/// # Source
///
/// Caicedo et al.: *Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl*, Nature Methods, 2019.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dsb2018 {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Dsb2018 {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("nucleus", [1])] }
    }
}

impl Published for Dsb2018 {
    const SOURCE: &'static Source = &Source {
        title: "Data Science Bowl 2018 (BBBC038)",
        page: "https://bbbc.broadinstitute.org/BBBC038",
        steps: "download the archive `stage1_train`, and unpack it into a folder of that name",
        licence: "CC0",
        file: include_str!("dsb2018.rs"),
        kind: "Dsb2018",
        cases: 670,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [
            ["stage1_train/{id}/images/{id}.png", "stage1_train/{id}/masks/*.png"],
            ["{id}/images/{id}.png", "{id}/masks/*.png"],
        ];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
