use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// BUSI: breast ultrasound, 780 pictures: 437 benign, 210 malignant, 133 normal ones with an empty mask.
///
/// ```text
/// root                                  such as `Dataset_BUSI_with_GT`
/// └── benign                            and `malignant` and `normal`
///     ├── benign (1).png
///     ├── benign (1)_mask.png
///     └── benign (1)_mask_1.png         some have several
/// ```
///
/// Several masks of one picture are merged. Some pictures are of the same woman, and some are there twice:
/// `sconce dataset check` names those.
///
/// # Source
///
/// Al-Dhabyani et al.: *Dataset of breast ultrasound images*, Data in Brief, 2020.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Busi {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Busi {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("lesion", [1])] }
    }
}

impl Published for Busi {
    const SOURCE: &'static Source = &Source {
        title: "BUSI (Breast Ultrasound Images)",
        page: "https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        steps: "download the archive `Dataset_BUSI`, and unpack it",
        licence: "CC0 as republished, see the page",
        file: include_str!("busi.rs"),
        kind: "Busi",
        cases: 780,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [["{kind}/{kind} ({number}).png", "{kind}/{kind} ({number})_mask*.png"]];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
