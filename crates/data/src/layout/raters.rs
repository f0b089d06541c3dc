use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use volume::Label;

use super::index::{Index, Search};
use super::pattern::Pattern;
use super::reading::{ImageRules, LabelGeometry, LabelRules, channel_names, merge};
use super::values::{Values, Wording};
use super::{Patterns, Unlabelled, binary, finds, name_of};
use crate::{Case, Class, Dataset, Description, Error, HowRead, Layout, Problem, Result};

/// A folder with an image and the masks of several raters for each case.
///
/// ```text
/// root
/// └── case01
///     ├── image.nii.gz              image = "{id}/image.nii.gz"
///     ├── task01_seg01.nii.gz       label = "{id}/task01_seg{rater}.nii.gz"
///     └── task01_seg02.nii.gz
/// ```
///
/// ```toml
/// [data.raters]                                     # lung nodules, four radiologists each
/// image = "LIDC-IDRI-slices/{patient}/{nodule}/images/{slice}.png"
/// label = "LIDC-IDRI-slices/{patient}/{nodule}/mask-{rater}/{slice}.png"
/// group = "{patient}"
/// classes = [{ name = "background", values = [0] }, { name = "nodule", values = [255] }]
/// ```
///
/// The defaults read QUBIQ's first task. See [`Pattern`] for what patterns can say, and
/// [`Pairs`](crate::Pairs) for how cases get their names. `{rater}` in `label` stands for the
/// rater; the masks of a case come in the order of the raters' names, and not every rater need
/// have seen every case: [`Dataset::raters`] says who did. Several files of one rater are merged.
///
/// Whether a rater of one case is the same person as that of another is not known here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raters {
    /// Where images are: a pattern, or several for a set that lies in several folders.
    pub image: Patterns,
    /// Where masks are: one pattern for each of `image`, with `{rater}` in it.
    pub label: Patterns,
    /// How to name a case, out of the names in `image`, such as `{patient}_{slice}`.
    pub id: Option<Pattern>,
    /// Which cases belong together, such as `{patient}`: they are never divided by a split.
    pub group: Option<Pattern>,
    /// The names of the channels; empty, as the first image has them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in masks.
    pub classes: Vec<Class>,
    /// For masks that are pictures: what is brighter is 1, all else 0, before `classes` apply.
    pub threshold: Option<f32>,
    /// The spacing of all images, mm, `(z, y, x)`; absent, as files say, or 1 for pictures.
    pub spacing: Option<[f64; 3]>,
    /// Whether slices of an image are channels of a single slice.
    pub slices_are_channels: bool,
    /// What masks must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
    /// What becomes of images without a mask.
    pub unlabelled: Unlabelled,
}

impl Default for Raters {
    fn default() -> Self {
        Self {
            image: Patterns::literal("{id}/image.nii.gz"),
            label: Patterns::literal("{id}/task01_seg{rater}.nii.gz"),
            id: None,
            group: None,
            channels: Vec::new(),
            classes: binary(),
            threshold: None,
            spacing: None,
            slices_are_channels: false,
            label_geometry: LabelGeometry::default(),
            unlabelled: Unlabelled::default(),
        }
    }
}

impl Layout for Raters {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        for label in self.label.as_slice() {
            if !label.names().contains(&"rater") {
                return Err(Error::settings(
                    format!("`{label}` does not say whose mask it is"),
                    "put {rater} where the names of raters differ, or use `[data.pairs]`",
                ));
            }
        }
        let search = Search {
            images: self.image.as_slice(),
            labels: self.label.as_slice(),
            id: self.id.as_ref(),
            group: self.group.as_ref(),
            channels: &self.channels,
        };
        let mut index = search.run(root)?;
        if self.unlabelled == Unlabelled::LeaveOut {
            index.leave_out_unlabelled();
        }
        index.expect_cases(root, &self.label)?;
        let first = &index.cases[&index.ids[0]];
        let channels = if self.channels.is_empty() {
            channel_names(&first.images[0], self.slices_are_channels)?
        } else {
            self.channels.clone()
        };
        let raters: BTreeSet<&String> = index
            .cases
            .values()
            .flat_map(|entry| entry.labels.iter().filter_map(|(rater, _)| rater.as_ref()))
            .collect();
        let description = Description {
            name: name_of(root),
            channels,
            classes: self.classes.clone(),
            raters: raters.into_iter().cloned().collect(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        };
        let images = ImageRules {
            channels: description.channels.len(),
            spacing: self.spacing,
            slices_are_channels: self.slices_are_channels,
        };
        let labels = LabelRules {
            values: Values::new(&description, None, Wording::Settings)?,
            threshold: self.threshold,
            geometry: self.label_geometry,
        };
        Ok(Box::new(RatersFolder { description, index, images, labels }))
    }

    fn how_read(&self) -> HowRead {
        HowRead { spacing: self.spacing, slices_are_channels: self.slices_are_channels }
    }

    fn is_label_name(&self, name: &str) -> bool {
        self.label.is_name(name) && !self.image.is_name(name)
    }

    fn knows(&self, root: &Path) -> Result<bool> {
        finds(root, &self.image, &self.label)
    }
}

/// An opened folder of images and raters' masks.
#[derive(Debug)]
struct RatersFolder {
    description: Description,
    index: Index,
    images: ImageRules,
    labels: LabelRules,
}

impl Dataset for RatersFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.index.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let entry = self.index.entry(id, &self.description)?;
        let image = self.images.read(id, &entry.images)?;
        let mut masks = Vec::new();
        for files in entry.labels.chunk_by(|(a, _), (b, _)| a == b) {
            let own = files.iter().map(|(_, path)| self.labels.read(id, path, &image.grid));
            masks.extend(merge(own.collect::<Result<Vec<_>>>()?));
        }
        let label = (!masks.is_empty())
            .then(|| Label::raters(masks).expect("all masks were moved to the grid of the image"));
        Ok(Case { id: id.to_owned(), image, label })
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.index.group(id)
    }

    fn raters(&self, id: &str) -> Vec<&str> {
        self.index.raters(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.index.files(id)
    }

    fn problems(&self) -> &[Problem] {
        &self.index.problems
    }
}
