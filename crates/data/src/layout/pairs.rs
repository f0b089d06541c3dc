use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use volume::Label;

use super::index::{Index, Search};
use super::pattern::Pattern;
use super::reading::{ImageRules, LabelGeometry, LabelRules, channel_names, merge};
use super::values::{Values, Wording};
use super::{Patterns, Unlabelled, binary, finds, name_of};
use crate::{Case, Class, Dataset, Description, Error, HowRead, Layout, Problem, Result};

/// A folder with an image and a label for each case.
///
/// ```text
/// root
/// ├── images/0001.png          image = "images/{id}.png"
/// └── masks/0001.png           label = "masks/{id}.png"
/// ```
///
/// ```toml
/// [data.pairs]                                    # nuclei, one mask file for each
/// image = "stage1_train/{id}/images/{id}.png"
/// label = "stage1_train/{id}/masks/*.png"
/// channels = ["R", "G", "B"]
/// classes = [{ name = "background", values = [0] }, { name = "nucleus", values = [255] }]
/// ```
///
/// See [`Pattern`] for what patterns can say. In `image`, `{channel}` stands for each of
/// `channels`, as in `{id}/{id}_{channel}.nii.gz`; all else that varies makes up the case's
/// identifier, in the order of the pattern and joined by `_`, unless `id` says otherwise. Several
/// label files of a case, as one for each nucleus, are merged: where they overlap, the later class
/// counts. A case without a label file has no label.
///
/// Not for several opinions on one image: that is [`Raters`](crate::Raters).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pairs {
    /// Where images are: a pattern, or several for a set that lies in several folders.
    pub image: Patterns,
    /// Where their labels are: one pattern for each of `image`; an empty list for images alone.
    pub label: Patterns,
    /// How to name a case, out of the names in `image`, such as `{patient}_{slice}`.
    pub id: Option<Pattern>,
    /// Which cases belong together, such as `{patient}`: they are never divided by a split.
    pub group: Option<Pattern>,
    /// The names of the channels; empty, as the first image has them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// Where classes overlap, as nnU-Net's regions do: the value that each but the background is painted with,
    /// in the order of painting.
    pub regions_class_order: Vec<u16>,
    /// The value that stands for "do not look here" in label files.
    pub ignore: Option<u16>,
    /// For masks that are pictures: what is brighter is 1, all else 0, before `classes` apply.
    pub threshold: Option<f32>,
    /// Whether label files hold class probabilities, one channel for each class.
    pub soft: bool,
    /// The spacing of all images, mm, `(z, y, x)`; absent, as files say, or 1 for pictures.
    pub spacing: Option<[f64; 3]>,
    /// Whether slices of an image are channels of a single slice.
    pub slices_are_channels: bool,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
    /// What becomes of images without a label.
    pub unlabelled: Unlabelled,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            image: Patterns::literal("images/{id}.nii.gz"),
            label: Patterns::literal("labels/{id}.nii.gz"),
            id: None,
            group: None,
            channels: Vec::new(),
            classes: binary(),
            regions_class_order: Vec::new(),
            ignore: None,
            threshold: None,
            soft: false,
            spacing: None,
            slices_are_channels: false,
            label_geometry: LabelGeometry::default(),
            unlabelled: Unlabelled::default(),
        }
    }
}

impl Layout for Pairs {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
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
        let ignore = self.ignore.map(|_| u16::try_from(self.classes.len()).unwrap_or(u16::MAX - 1));
        let mut description = Description {
            name: name_of(root),
            channels,
            classes: self.classes.clone(),
            raters: Vec::new(),
            ignore,
            regions_class_order: Vec::new(),
            independent: false,
        };
        if description.has_regions() {
            description.ignore = self.ignore;
            description.regions_class_order.clone_from(&self.regions_class_order);
        }
        let images = ImageRules {
            channels: description.channels.len(),
            spacing: self.spacing,
            slices_are_channels: self.slices_are_channels,
        };
        let labels = LabelRules {
            values: Values::new(&description, self.ignore, Wording::Settings)?,
            threshold: self.threshold,
            geometry: self.label_geometry,
        };
        Ok(Box::new(PairsFolder { description, index, images, labels, soft: self.soft }))
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

/// Cases of an image and a label each, however their files were found.
#[derive(Debug)]
pub(super) struct PairsFolder {
    pub(super) description: Description,
    pub(super) index: Index,
    pub(super) images: ImageRules,
    pub(super) labels: LabelRules,
    pub(super) soft: bool,
}

impl Dataset for PairsFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.index.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let entry = self.index.entry(id, &self.description)?;
        let image = self.images.read(id, &entry.images)?;
        let mut paths = entry.labels.iter().map(|(_, path)| path);
        let label = if self.soft {
            match (paths.next(), paths.next()) {
                (Some(first), Some(second)) => {
                    return Err(Error::duplicate(format!("{id} (label)"), first, second));
                }
                (first, _) => first
                    .map(|path| self.labels.soft(id, path, &image.grid).map(Label::Soft))
                    .transpose()?,
            }
        } else {
            let masks = paths.map(|path| self.labels.read(id, path, &image.grid));
            merge(masks.collect::<Result<Vec<_>>>()?).map(Label::Hard)
        };
        Ok(Case { id: id.to_owned(), image, label })
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.index.group(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.index.files(id)
    }

    fn problems(&self) -> &[Problem] {
        &self.index.problems
    }
}
