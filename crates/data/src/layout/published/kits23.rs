use serde::{Deserialize, Serialize};

use super::{Published, Source, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs};

/// KiTS23 and KiTS21: kidneys, tumours and cysts in CT, 489 and 300 cases, by majority of the annotators.
///
/// ```text
/// root
/// └── case_00000                        or below `dataset` or `kits21/data`, as in the repositories
///     ├── imaging.nii.gz
///     └── segmentation.nii.gz           of 2021: aggregated_MAJ_seg.nii.gz
/// ```
///
/// The annotators one by one are [`KitsRaters`](crate::KitsRaters).
///
/// # Source
///
/// Heller et al.: *The KiTS21 Challenge*, 2023, [arXiv:2307.01984](https://arxiv.org/abs/2307.01984).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kits23 {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Kits23 {
    fn default() -> Self {
        Self {
            classes: vec![
                Class::new("background", [0]),
                Class::new("kidney", [1]),
                Class::new("tumour", [2]),
                Class::new("cyst", [3]),
            ],
            label_geometry: LabelGeometry::Match,
        }
    }
}

/// Where cases lie in the repositories.
pub(super) const ABOVE: [&str; 4] = ["", "dataset/", "data/", "kits21/data/"];

impl Published for Kits23 {
    const SOURCE: &'static Source = &Source {
        title: "KiTS23 and KiTS21 (Kidney Tumor Segmentation Challenge)",
        page: "https://github.com/neheller/kits23",
        steps: "clone the repository (or that of kits21), install it, and run its download command for the images",
        licence: "CC BY-NC-SA 4.0",
        file: include_str!("kits23.rs"),
        kind: "Kits23",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let form = |label: &str| -> LayoutConfig {
            let files = ABOVE.map(|above| {
                [format!("{above}{{id}}/imaging.nii.gz"), format!("{above}{{id}}/{label}.nii.gz")]
            });
            Pairs {
                channels: vec!["CT".to_owned()],
                classes: self.classes.clone(),
                label_geometry: self.label_geometry,
                ..pairs(&files)
            }
            .into()
        };
        // The label of 2021 is looked for first: without it, all images would lack a label.
        vec![form("aggregated_MAJ_seg"), form("segmentation")]
    }

    fn signs(&self) -> Vec<String> {
        let signs = ["instances/*.nii.gz", "aggregated_MAJ_seg.nii.gz"];
        let of = |above| signs.map(|sign| format!("{above}{{id}}/{sign}"));
        ABOVE.into_iter().flat_map(of).collect()
    }
}
