use serde::{Deserialize, Serialize};

use super::{Published, Source, raters};
use crate::{Class, LabelGeometry, LayoutConfig, Raters};

/// QUBIQ: one of its sets (brain-growth, brain-tumor, kidney, prostate, and those of later editions), one task, with the masks of all raters.
///
/// ```text
/// root                                  one of the sets, such as `brain-tumor`
/// └── Training/case01                    or `case01` without a folder between
///     ├── image.nii.gz
///     ├── task01_seg01.nii.gz           task 1, rater 1
///     └── task01_seg02.nii.gz
/// ```
///
/// A set with several tasks is one data set for each of them: `task`. The modalities of brain-tumor are slices of
/// its image files. Case 9 of prostate has a rater less than the others; the authors of the Dice semimetric losses
/// left it out, here it has the raters that it has.
///
/// # Source
///
/// Li, Menze et al.: *QUBIQ: Uncertainty Quantification for Biomedical Image Segmentation Challenge*, 2024,
/// [arXiv:2405.18435](https://arxiv.org/abs/2405.18435).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qubiq {
    /// Which of the set's tasks, from 1.
    pub task: u8,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Qubiq {
    fn default() -> Self {
        Self {
            task: 1,
            classes: vec![Class::new("background", [0]), Class::new("foreground", [1])],
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Qubiq {
    const SOURCE: &'static Source = &Source {
        title: "QUBIQ (Quantification of Uncertainties in Biomedical Image Quantification)",
        page: "https://qubiq.grand-challenge.org/participation/",
        steps: "register, join the challenge, download its training data (and validation data), and give the folder of one set",
        licence: "see the page",
        file: include_str!("qubiq.rs"),
        kind: "Qubiq",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let task = self.task;
        let files = ["Training/", "Validation/", ""].map(|part| {
            let label = format!("{part}{{id}}/task{task:02}_seg{{rater}}.nii.gz");
            [format!("{part}{{id}}/image.nii.gz"), label]
        });
        vec![
            Raters {
                classes: self.classes.clone(),
                slices_are_channels: true,
                label_geometry: self.label_geometry,
                ..raters(&files)
            }
            .into(),
        ]
    }
}
