use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// EndoTect's test set, 200 pictures of polyps, and 20 of ulcerative colitis without any, as the study of losses out of distribution uses them.
///
/// ```text
/// root
/// └── test
///     ├── images/0af6e9c5.jpg
///     ├── masks/0af6e9c5.png
///     ├── ulcerative-colitis_images/a.jpg     without a polyp
///     └── ulcerative-colitis_masks/a.png      black
/// ```
///
/// The lesion-free pictures are cases like the others, named `ulcerative-colitis_…`.
///
/// # Source
///
/// Hicks et al.: *The EndoTect 2020 Challenge*, ICPR 2021; Galdran et al.: *On the Optimal Combination of Cross-Entropy
/// and Soft Dice Losses for Lesion Segmentation with Out-of-Distribution Robustness*, 2022,
/// [arXiv:2209.06078](https://arxiv.org/abs/2209.06078).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endotect {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Endotect {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("polyp", [1])] }
    }
}

impl Published for Endotect {
    const SOURCE: &'static Source = &Source {
        title: "EndoTect",
        page: "https://endotect.com/",
        steps: "download the test set with its masks, and 20 pictures of ulcerative colitis of Hyper-Kvasir",
        licence: "CC BY 4.0",
        file: include_str!("endotect.rs"),
        kind: "Endotect",
        cases: 220,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [
            ["test/images/{name}.jpg", "test/masks/{name}.png"],
            ["test/{kind}_images/{name}.jpg", "test/{kind}_masks/{name}.png"],
        ];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
