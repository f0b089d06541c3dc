use serde::{Deserialize, Serialize};

use super::{Published, Source, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs};

/// KiTS19: kidneys and kidney tumours in CT, 210 cases with labels.
///
/// ```text
/// root
/// └── case_00000                        or below `data`, as in the repository
///     ├── imaging.nii.gz
///     └── segmentation.nii.gz
/// ```
///
/// Its test cases have no label, and are left out.
///
/// # Source
///
/// Heller et al.: *The KiTS19 Challenge Data*, 2019, [arXiv:1904.00445](https://arxiv.org/abs/1904.00445).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kits19 {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Kits19 {
    fn default() -> Self {
        Self {
            classes: vec![
                Class::new("background", [0]),
                Class::new("kidney", [1]),
                Class::new("tumour", [2]),
            ],
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Kits19 {
    const SOURCE: &'static Source = &Source {
        title: "KiTS19 (Kidney Tumor Segmentation Challenge 2019)",
        page: "https://github.com/neheller/kits19",
        steps: "clone the repository and run its script for the images",
        licence: "CC BY-NC-SA 4.0",
        file: include_str!("kits19.rs"),
        kind: "Kits19",
        cases: 210,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = ["", "data/"].map(|above| {
            ["imaging", "segmentation"].map(|name| format!("{above}{{id}}/{name}.nii.gz"))
        });
        vec![
            Pairs {
                channels: vec!["CT".to_owned()],
                classes: self.classes.clone(),
                label_geometry: self.label_geometry,
                ..pairs(&files)
            }
            .into(),
        ]
    }
}
