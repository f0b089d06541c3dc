use serde::{Deserialize, Serialize};

use super::{Published, Source, colours, pairs};
use crate::{Class, LayoutConfig, Pairs};

/// Kvasir-SEG (Hyper-Kvasir's segmented images): polyps in colonoscopy, 1000 pictures.
///
/// ```text
/// root                                  such as `Kvasir-SEG`
/// ├── images/cju0qkwl35piu0993l0dewei2.jpg
/// └── masks/cju0qkwl35piu0993l0dewei2.jpg
/// ```
///
/// Masks are JPEG files: what is brighter than 127 is polyp. The names are not its own, so that the layout must be
/// named.
///
/// # Source
///
/// Jha et al.: *Kvasir-SEG: A Segmented Polyp Dataset*, 2020, [arXiv:1911.07069](https://arxiv.org/abs/1911.07069).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KvasirSeg {
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
}

impl Default for KvasirSeg {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("polyp", [1])] }
    }
}

impl Published for KvasirSeg {
    const SOURCE: &'static Source = &Source {
        title: "Kvasir-SEG",
        page: "https://datasets.simula.no/kvasir-seg/",
        steps: "download kvasir-seg.zip, and unpack it",
        licence: "research and education, see the page",
        file: include_str!("kvasir_seg.rs"),
        kind: "KvasirSeg",
        cases: 1000,
    };

    const TELLING: bool = false;

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = [["images/{id}.jpg", "masks/{id}.jpg"]];
        let channels = colours();
        let classes = self.classes.clone();
        vec![Pairs { channels, classes, threshold: Some(127.0), ..pairs(&files) }.into()]
    }
}
