use serde::{Deserialize, Serialize};

use super::{Published, Source, at_any_depth, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs, Pattern};

/// BraTS 2023: tumours of the brain in MR of four sequences, in the names that all of its tasks share.
///
/// ```text
/// root                                       or one or two folders above
/// └── BraTS-GLI-00000-000
///     ├── BraTS-GLI-00000-000-t1n.nii.gz     and -t1c, -t2w, -t2f
///     └── BraTS-GLI-00000-000-seg.nii.gz
/// ```
///
/// Labels are 1 (necrotic core), 2 (oedema) and 3 (enhancing tumour, 4 until 2021), and become the regions
/// that are scored, which overlap: whole tumour, tumour core, enhancing tumour. What comes before the last
/// `-` is the patient: visits of one belong together. Tumours that have been operated on, of 2024, are
/// [`Brats2024`](crate::Brats2024).
///
/// # Source
///
/// Adewole et al.: *The Brain Tumor Segmentation (BraTS) Challenge 2023*, 2023,
/// [arXiv:2305.19369](https://arxiv.org/abs/2305.19369).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brats2023 {
    /// The sequences, as files name them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// Where classes overlap: the value that each but the background is painted with, in this order.
    pub regions_class_order: Vec<u16>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Brats2023 {
    fn default() -> Self {
        Self {
            channels: sequences(),
            classes: vec![
                Class::new("background", [0]),
                Class::new("whole tumour", [1, 2, 3]),
                Class::new("tumour core", [1, 3]),
                Class::new("enhancing tumour", [3]),
            ],
            regions_class_order: vec![2, 1, 3],
            label_geometry: LabelGeometry::Match,
        }
    }
}

/// The sequences of this naming.
pub(super) fn sequences() -> Vec<String> {
    ["t1n", "t1c", "t2w", "t2f"].map(str::to_owned).to_vec()
}

/// Cases of this naming, at any depth.
pub(super) fn cases() -> Pairs {
    let name = "{patient}-{visit}/{patient}-{visit}";
    let files = [".nii.gz", ".nii"]
        .map(|ending| [format!("{name}-{{channel}}{ending}"), format!("{name}-seg{ending}")]);
    Pairs {
        id: Pattern::new("{patient}-{visit}").ok(),
        group: Pattern::new("{patient}").ok(),
        ..pairs(&at_any_depth(&files))
    }
}

/// What tells this naming from others.
pub(super) fn signs() -> Vec<String> {
    let files = [".nii.gz", ".nii"].map(|ending| [format!("{{id}}/{{id}}-t2f{ending}")]);
    at_any_depth(&files).into_iter().flatten().collect()
}

impl Published for Brats2023 {
    const SOURCE: &'static Source = &Source {
        title: "BraTS 2023 (Brain Tumor Segmentation)",
        page: "https://www.synapse.org/brats2023",
        steps: "register with Synapse, join the challenge, download the training data of a task, and unpack them",
        licence: "by registration, see the page",
        file: include_str!("brats2023.rs"),
        kind: "Brats2023",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        vec![
            Pairs {
                channels: self.channels.clone(),
                classes: self.classes.clone(),
                regions_class_order: self.regions_class_order.clone(),
                label_geometry: self.label_geometry,
                ..cases()
            }
            .into(),
        ]
    }

    fn signs(&self) -> Vec<String> {
        signs()
    }
}
