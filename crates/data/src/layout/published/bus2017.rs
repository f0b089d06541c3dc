use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// BUS2017, UDIAT's data set B: breast ultrasound, 163 pictures.
///
/// ```text
/// root
/// ├── original/000001.png
/// └── GT/000001.png
/// ```
///
/// # Source
///
/// Yap et al.: *Automated Breast Ultrasound Lesions Detection Using Convolutional Neural Networks*, IEEE Journal
/// of Biomedical and Health Informatics, 2018.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bus2017 {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for Bus2017 {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("lesion", [1])] }
    }
}

impl Published for Bus2017 {
    const SOURCE: &'static Source = &Source {
        title: "BUS2017 (UDIAT Data Set B)",
        page: "http://www2.docm.mmu.ac.uk/STAFF/m.yap/dataset.php",
        steps: "apply by e-mail, and unpack BUS.zip",
        licence: "research use by agreement",
        file: include_str!("bus2017.rs"),
        kind: "Bus2017",
        cases: 163,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [["original/{id}.png", "GT/{id}.png"]];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
