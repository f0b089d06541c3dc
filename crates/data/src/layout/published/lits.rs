use serde::{Deserialize, Serialize};

use super::{Published, Source, at_any_depth, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs};

/// LiTS: liver and liver tumours in CT, of seven hospitals; 131 cases with labels.
///
/// ```text
/// root                                  such as `Training Batch 1`, or the folder above both
/// ├── volume-0.nii
/// └── segmentation-0.nii
/// ```
///
/// Volumes without a segmentation (`test-volume-0.nii`) are not listed.
///
/// # Source
///
/// Bilic et al.: *The Liver Tumor Segmentation Benchmark (LiTS)*, Medical Image Analysis, 2023,
/// [arXiv:1901.04056](https://arxiv.org/abs/1901.04056).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lits {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Lits {
    fn default() -> Self {
        Self {
            classes: vec![
                Class::new("background", [0]),
                Class::new("liver", [1]),
                Class::new("tumour", [2]),
            ],
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Lits {
    const SOURCE: &'static Source = &Source {
        title: "LiTS (Liver Tumor Segmentation Challenge)",
        page: "https://competitions.codalab.org/competitions/17094",
        steps: "register, join the competition, download Training Batch 1 and 2, and unpack both below one folder",
        licence: "CC BY-NC-ND 4.0",
        file: include_str!("lits.rs"),
        kind: "Lits",
        cases: 131,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [".nii", ".nii.gz"]
            .map(|ending| ["volume", "segmentation"].map(|name| format!("{name}-{{id}}{ending}")));
        vec![
            Pairs {
                channels: vec!["CT".to_owned()],
                classes: self.classes.clone(),
                label_geometry: self.label_geometry,
                ..pairs(&at_any_depth(&files))
            }
            .into(),
        ]
    }
}
