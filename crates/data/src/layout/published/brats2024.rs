use serde::{Deserialize, Serialize};

use super::brats2023::{cases, sequences};
use super::{Published, Source};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs};

/// BraTS 2024, gliomas after treatment: MR of four sequences, with the resection cavity as a fourth label.
///
/// ```text
/// root                                       or one or two folders above
/// └── BraTS-GLI-00005-100
///     ├── BraTS-GLI-00005-100-t1n.nii.gz     and -t1c, -t2w, -t2f
///     └── BraTS-GLI-00005-100-seg.nii.gz
/// ```
///
/// Labels are 1 (tumour without enhancement), 2 (surrounding hyperintensity), 3 (enhancing tissue) and 4
/// (resection cavity), and become the regions that are scored: whole tumour, tumour core, enhancing tissue,
/// which overlap, and resection cavity. Names are those of 2023, so that this layout must be named. Visits
/// of a patient belong together.
///
/// # Source
///
/// de Verdier et al.: *The 2024 Brain Tumor Segmentation (BraTS) Challenge: Glioma Segmentation on
/// Post-treatment MRI*, 2024, [arXiv:2405.18368](https://arxiv.org/abs/2405.18368).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brats2024 {
    /// The sequences, as files name them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// Where classes overlap: the value that each but the background is painted with, in this order.
    pub regions_class_order: Vec<u16>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Brats2024 {
    fn default() -> Self {
        Self {
            channels: sequences(),
            classes: vec![
                Class::new("background", [0]),
                Class::new("whole tumour", [1, 2, 3]),
                Class::new("tumour core", [1, 3]),
                Class::new("enhancing tissue", [3]),
                Class::new("resection cavity", [4]),
            ],
            regions_class_order: vec![2, 1, 3, 4],
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Brats2024 {
    const SOURCE: &'static Source = &Source {
        title: "BraTS 2024, gliomas after treatment",
        page: "https://www.synapse.org/brats2024",
        steps: "register with Synapse, join the challenge, download the training data of its first task, and unpack them",
        licence: "by registration, see the page",
        file: include_str!("brats2024.rs"),
        kind: "Brats2024",
        cases: 0,
    };

    const TELLING: bool = false;

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
}
