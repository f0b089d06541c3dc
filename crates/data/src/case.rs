use std::fmt;

use serde::{Deserialize, Serialize};
use volume::{Image, Label};

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
    /// whoever reads a file translates the values that it uses.
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
    /// The class index that stands for "do not look here", where the data set has one. It comes
    /// after all classes: its index is `classes.len()`.
    #[serde(default)]
    pub ignore: Option<u16>,
}

/// One class of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name, such as `liver`.
    pub name: String,
    /// The values that stand for it in label files: one, or several for a region that is a union
    /// of labels (nnU-Net's region-based training), in which case regions may overlap.
    pub values: Vec<u16>,
}
