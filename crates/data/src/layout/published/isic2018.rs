use serde::{Deserialize, Serialize};

use std::fmt;

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// A part of a set that is divided by those who made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// To train on.
    #[default]
    Training,
    /// To validate.
    Validation,
    /// To test.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// ISIC 2018, task 1: skin lesions in dermoscopy, 2594 pictures to train on (100 to validate, 1000 to test).
///
/// ```text
/// root
/// ├── ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg
/// └── ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png
/// ```
///
/// # Source
///
/// Codella et al.: *Skin Lesion Analysis Toward Melanoma Detection 2018*, 2019,
/// [arXiv:1902.03368](https://arxiv.org/abs/1902.03368).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Isic2018 {
    /// Which part: `Training`, `Validation` or `Test`.
    pub part: Part,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Isic2018 {
    fn default() -> Self {
        Self {
            part: Part::Training,
            classes: vec![Class::new("background", [0]), Class::new("lesion", [1])],
        }
    }
}

impl Published for Isic2018 {
    const SOURCE: &'static Source = &Source {
        title: "ISIC 2018 Task 1 (lesion boundary segmentation)",
        page: "https://challenge.isic-archive.com/data/#2018",
        steps: "download training data and ground truth of task 1, and unpack both below one folder",
        licence: "CC0 and CC BY-NC 4.0, by picture",
        file: include_str!("isic2018.rs"),
        kind: "Isic2018",
        cases: 0,
    };

    fn whole(&self) -> usize {
        match self.part {
            Part::Training => 2594,
            Part::Validation => 100,
            Part::Test => 1000,
        }
    }

    fn forms(&self) -> Vec<LayoutConfig> {
        let part = &self.part;
        let image = format!("ISIC2018_Task1-2_{part}_Input/{{id}}.jpg");
        let label = format!("ISIC2018_Task1_{part}_GroundTruth/{{id}}_segmentation.png");
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&[[image, label]]) }.into()]
    }
}
