use serde::{Deserialize, Serialize};

use super::{Published, Source, pairs};
use crate::{Class, LabelGeometry, LayoutConfig, Pairs, Pattern};

/// BIDS: images of subjects as the Brain Imaging Data Structure names them, and labels among its derivatives.
///
/// ```text
/// root
/// ├── sub-01/anat/sub-01_T1w.nii.gz                          or sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz
/// └── derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz      other entities may stand before `dseg`
/// ```
///
/// Sessions of a subject belong together. A channel is a suffix, with the entities before it where there are any:
/// `acq-high_T1w`.
///
/// # Source
///
/// Gorgolewski et al.: *The brain imaging data structure*, Scientific Data, 2016; derivatives as in version 1.4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bids {
    /// The folder of a subject that images lie in.
    pub datatype: String,
    /// The suffixes of images, one for each channel.
    pub channels: Vec<String>,
    /// The folder below `derivatives` that labels lie in; `*` for whichever there is.
    pub derivative: String,
    /// The suffix of labels: `dseg` of several structures, `mask` of one.
    pub label: String,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Bids {
    fn default() -> Self {
        Self {
            datatype: "anat".to_owned(),
            channels: vec!["T1w".to_owned()],
            derivative: "*".to_owned(),
            label: "dseg".to_owned(),
            classes: crate::layout::binary(),
            label_geometry: LabelGeometry::Match,
        }
    }
}

impl Published for Bids {
    const SOURCE: &'static Source = &Source {
        title: "a BIDS data set with labels among its derivatives",
        page: "https://bids-standard.github.io/bids-starter-kit/",
        steps: "for instance from OpenNeuro (<https://openneuro.org>)",
        licence: "of each data set",
        file: include_str!("bids.rs"),
        kind: "Bids",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let Self { datatype, derivative, label, .. } = self;
        let files = |folder: &str, name: &str, ending: &str| {
            let image = format!(
                "sub-{{subject}}/{folder}{datatype}/sub-{{subject}}_{name}{{channel}}{ending}"
            );
            let label = format!(
                "derivatives/{derivative}/sub-{{subject}}/{folder}{datatype}/sub-{{subject}}_{name}*{label}{ending}"
            );
            [image, label]
        };
        let form = |folder: &str, name: &str| -> LayoutConfig {
            Pairs {
                group: Pattern::new("{subject}").ok(),
                channels: self.channels.clone(),
                classes: self.classes.clone(),
                label_geometry: self.label_geometry,
                ..pairs(&[".nii.gz", ".nii"].map(|ending| files(folder, name, ending)))
            }
            .into()
        };
        vec![form("", ""), form("ses-{session}/", "ses-{session}_")]
    }
}
