use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::{Image, Label};

use crate::Problem;

/// A set of cases that is read one by one.
///
/// A data set reads; it does not cache, sample, augment or batch.
pub trait Dataset: fmt::Debug + Send + Sync {
    /// What all cases have in common.
    fn description(&self) -> &Description;

    /// The identifiers of all cases, sorted, without repetition.
    fn ids(&self) -> &[String];

    /// Reads one case: the same one, bit for bit, each time.
    ///
    /// # Errors
    ///
    /// Where a file of the case is missing, damaged or does not fit the others; the error names it.
    fn read(&self, id: &str) -> crate::Result<Case>;

    /// Whom or what a case shows, such as the patient: cases of one group must not be divided
    /// between training and validation. Where nothing is known, each case is its own group.
    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        id
    }

    /// The raters who marked a case, in the order of its masks: some of
    /// [`Description::raters`], or all.
    fn raters(&self, id: &str) -> Vec<&str> {
        let _ = id;
        self.description().raters.iter().map(String::as_str).collect()
    }

    /// Which classes the label of a case speaks of, by their places in [`Description::classes`], ascending and without
    /// the background; `None` for all of them.
    ///
    /// Of another class nothing is known of that case: where the label does not mark it, it may be there all the same.
    fn labelled(&self, id: &str) -> Option<&[usize]> {
        let _ = id;
        None
    }

    /// How often training draws a case, in proportion to others.
    fn weight(&self, id: &str) -> f64 {
        let _ = id;
        1.0
    }

    /// The files that a case is read from, images first; none where cases are made, not read.
    fn files(&self, id: &str) -> Vec<PathBuf> {
        let _ = id;
        Vec::new()
    }

    /// What was found wrong with the folder when it was opened, before any image was read, such
    /// as a label without an image.
    fn problems(&self) -> &[Problem] {
        &[]
    }
}

/// One patient, slice or photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its identifier, unique in the data set.
    pub id: String,
    /// Its image, one channel for each of [`Description::channels`].
    pub image: Image,
    /// What is known of the truth, on the image's grid; `None` where nobody drew anything.
    ///
    /// Hard labels and rater masks hold class indices, positions in [`Description::classes`]:
    /// whoever reads a file translates the values that it uses. The exception is a data set with
    /// overlapping regions, see [`Description::has_regions`].
    pub label: Option<Label>,
}

/// What the cases of a data set have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The name of the data set.
    pub name: String,
    /// The name of each channel, such as `CT`, `FLAIR`, `R`: it decides the normalisation, by
    /// nnU-Net's rule (`CT` → foreground clipping and statistics; `noNorm`; `rescale_to_0_1`;
    /// `rgb_to_0_1`; anything else → z-score).
    pub channels: Vec<String>,
    /// The classes, background first.
    pub classes: Vec<Class>,
    /// Names of the raters, where a case's label is [`Label::Raters`]; else empty.
    #[serde(default)]
    pub raters: Vec<String>,
    /// The value in a [`Case`]'s label that stands for "do not look here", where the data set has
    /// one. It comes after all classes: it is `classes.len()`, or, where
    /// [regions](Description::has_regions) overlap, the value that label files use.
    #[serde(default)]
    pub ignore: Option<u16>,
    /// Where regions overlap: the label value that each class but the background is painted with,
    /// in the order of painting, so that a later one covers an earlier one. Else empty.
    #[serde(default)]
    pub regions_class_order: Vec<u16>,
    /// Whether each class is decided by itself, as [regions](Description::has_regions) are, although no label value
    /// stands for several: such as where some cases say nothing of some classes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub independent: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Description {
    /// Whether classes may overlap, as nnU-Net's regions do: some label value stands for several, or each is
    /// [decided by itself](Description::independent).
    ///
    /// One index per voxel cannot say that, so labels then keep the values of their files, and a
    /// voxel belongs to each class that lists its value in [`Class::values`].
    pub fn has_regions(&self) -> bool {
        let mut values: Vec<u16> =
            self.classes.iter().flat_map(|class| &class.values).copied().collect();
        let all = values.len();
        values.sort_unstable();
        values.dedup();
        self.independent || values.len() < all
    }
}

/// One class of a data set.
///
/// Two are equal where their names and values are, whatever their colours.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name, such as `liver`.
    pub name: String,
    /// The values that stand for it in label files: one, or several for a region that is a union
    /// of labels (nnU-Net's region-based training), in which case regions may overlap.
    pub values: Vec<u16>,
    /// Red, green and blue that it is to be shown in; absent, what shows it chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<[u8; 3]>,
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.values) == (&other.name, &other.values)
    }
}

impl Eq for Class {}

impl Class {
    /// A class that these values stand for.
    pub fn new(name: impl Into<String>, values: impl Into<Vec<u16>>) -> Self {
        Self { name: name.into(), values: values.into(), color: None }
    }
}
