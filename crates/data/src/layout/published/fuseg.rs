use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// FUSeg: foot ulcers in photographs, 810 pictures to train on and 200 to validate.
///
/// ```text
/// root                                  such as `Foot Ulcer Segmentation Challenge`
/// ├── train/images/0011.png             and `validation`
/// └── train/labels/0011.png
/// ```
///
/// The test pictures have no public label, and are not listed. The names are not its own, so that the layout must be
/// named.
///
/// # Source
///
/// Wang et al.: *FUSeg: The Foot Ulcer Segmentation Challenge*, 2022, [arXiv:2201.00414](https://arxiv.org/abs/2201.00414).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fuseg {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Fuseg {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("ulcer", [1])] }
    }
}

impl Published for Fuseg {
    const SOURCE: &'static Source = &Source {
        title: "FUSeg (Foot Ulcer Segmentation Challenge)",
        page: "https://github.com/uwm-bigdata/wound-segmentation",
        steps: "clone the repository; the set is below `data`",
        licence: "see the repository",
        file: include_str!("fuseg.rs"),
        kind: "Fuseg",
        cases: 1010,
    };

    const TELLING: bool = false;

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [["{part}/images/{name}.png", "{part}/labels/{name}.png"]];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
