use serde::{Deserialize, Serialize};

use super::{Published, Source, at_any_depth, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs};

/// BraTS 2018 to 2021: gliomas in MR of four sequences.
///
/// ```text
/// root                                       or one or two folders above, as `HGG` and `LGG` of 2018
/// └── BraTS20_Training_001
///     ├── BraTS20_Training_001_flair.nii.gz  and _t1, _t1ce, _t2
///     └── BraTS20_Training_001_seg.nii.gz
/// ```
///
/// Labels are 1 (necrotic core), 2 (oedema) and 4 (enhancing tumour), and become the regions that are
/// scored, which overlap: whole tumour, tumour core, enhancing tumour. Case 355 of 2020, whose label is
/// `W39_1998.09.19_Segm.nii`, is read like the others.
///
/// # Source
///
/// Menze et al.: *The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)*, IEEE Transactions on
/// Medical Imaging, 2015; Baid et al.: *The RSNA-ASNR-MICCAI BraTS 2021 Benchmark*, 2021,
/// [arXiv:2107.02314](https://arxiv.org/abs/2107.02314).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brats {
    /// The sequences, as files name them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// Where classes overlap: the value that each but the background is painted with, in this order.
    pub regions_class_order: Vec<u16>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Brats {
    fn default() -> Self {
        Self {
            channels: ["t1", "t1ce", "t2", "flair"].map(str::to_owned).to_vec(),
            classes: vec![
                Class::new("background", [0]),
                Class::new("whole tumour", [1, 2, 4]),
                Class::new("tumour core", [1, 4]),
                Class::new("enhancing tumour", [4]),
            ],
            regions_class_order: vec![2, 1, 4],
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Brats {
    const SOURCE: &'static Source = &Source {
        title: "BraTS 2018 to 2021 (Brain Tumor Segmentation)",
        page: "https://www.synapse.org/brats",
        steps: "register with Synapse, join the challenge of that year, download its training data, and unpack them",
        licence: "by registration, see the page",
        file: include_str!("brats.rs"),
        kind: "Brats",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [".nii.gz", ".nii"].map(|ending| {
            // `seg` or, of case 355, `Segm`.
            [format!("{{id}}/{{id}}_{{channel}}{ending}"), format!("{{id}}/*_?eg*{ending}")]
        });
        vec![
            Pairs {
                channels: self.channels.clone(),
                classes: self.classes.clone(),
                regions_class_order: self.regions_class_order.clone(),
                label_geometry: self.label_geometry,
                ..pairs(&at_any_depth(&files))
            }
            .into(),
        ]
    }

    fn signs(&self) -> Vec<String> {
        let files = [".nii.gz", ".nii"].map(|ending| [format!("{{id}}/{{id}}_flair{ending}")]);
        at_any_depth(&files).into_iter().flatten().collect()
    }
}
