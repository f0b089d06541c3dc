use serde::{Deserialize, Serialize};

use super::{Published, Source, raters};
use crate::{Class, LayoutConfig, Pattern, Raters};

/// LIDC-IDRI as slices: lung nodules in CT, cut to 128 × 128 pixels, with the masks of four radiologists.
///
/// ```text
/// root
/// └── LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0
///     ├── images/slice-0.png
///     ├── mask-0/slice-0.png            radiologist 0, who marked this nodule or none (an empty mask)
///     └── mask-1/slice-0.png            … 3
/// ```
///
/// Slices of one patient belong together.
///
/// # Source
///
/// Armato et al.: *The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI)*,
/// Medical Physics, 2011; sliced as by S. Kohl and S. Hu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LidcSlices {
    /// The classes, background first, and the values that stand for them in masks.
    pub classes: Vec<Class>,
}

impl Default for LidcSlices {
    fn default() -> Self {
        Self { classes: vec![Class::new("background", [0]), Class::new("nodule", [255])] }
    }
}

impl Published for LidcSlices {
    const SOURCE: &'static Source = &Source {
        title: "LIDC-IDRI, slices of 128 × 128 pixels",
        page: "https://www.cancerimagingarchive.net/collection/lidc-idri/",
        steps: "download the collection and cut its nodules with pylidc, or take slices that others have cut",
        licence: "CC BY 3.0",
        file: include_str!("lidc_slices.rs"),
        kind: "LidcSlices",
        cases: 0,
    };

    fn forms(&self) -> Vec<LayoutConfig> {
        let files = ["", "LIDC-IDRI-slices/"].map(|above| {
            ["images", "mask-{rater}"]
                .map(|kind| format!("{above}{{patient}}/{{nodule}}/{kind}/{{slice}}.png"))
        });
        let group = Pattern::new("{patient}").ok();
        vec![Raters { classes: self.classes.clone(), group, ..raters(&files) }.into()]
    }
}
