use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// DFUC 2022: diabetic foot ulcers in photographs, 2000 pictures with labels.
///
/// ```text
/// root
/// ├── DFUC2022_train_images/100001.jpg
/// └── DFUC2022_train_masks/100001.png
/// ```
///
/// # Source
///
/// Kendrick et al.: *Translating Clinical Delineation of Diabetic Foot Ulcers into Machine Interpretable Segmentation*,
/// 2022, [arXiv:2204.11618](https://arxiv.org/abs/2204.11618).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dfuc2022 {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Dfuc2022 {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("ulcer", [1])] }
    }
}

impl Published for Dfuc2022 {
    const SOURCE: &'static Source = &Source {
        title: "DFUC 2022 (Diabetic Foot Ulcer Challenge)",
        page: "https://dfuc2022.grand-challenge.org/",
        steps: "apply with a signed licence agreement, download the training release, and unpack it",
        licence: "research use by agreement",
        file: include_str!("dfuc2022.rs"),
        kind: "Dfuc2022",
        cases: 2000,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [
            ["DFUC2022_train_images/{id}.jpg", "DFUC2022_train_masks/{id}.png"],
            ["*/DFUC2022_train_images/{id}.jpg", "*/DFUC2022_train_masks/{id}.png"],
        ];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
