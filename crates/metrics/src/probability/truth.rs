use std::borrow::Cow;

use ndarray::{ArrayRef, Dimension};
use volume::{Label, LabelMap};

use super::Probabilities;
use super::values::Float;
use crate::Result;

/// What probabilities are compared with: one class for each voxel, or a probability for each class.
#[derive(Clone, Debug)]
pub struct Truth<'a> {
    pub(super) kind: Kind<'a>,
    /// Which voxels count; `None` where all do.
    pub(super) counted: Option<Vec<bool>>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    Hard { shape: Vec<usize>, labels: Cow<'a, [u16]> },
    Soft(Probabilities<'a>),
}

impl<'a> Truth<'a> {
    /// Class indices `(*S)`. Voxels of the label `ignore` do not count.
    pub fn hard<D: Dimension>(labels: &'a ArrayRef<u16, D>, ignore: Option<u16>) -> Self {
        let shape = labels.shape().to_vec();
        let labels = match labels.as_slice() {
            Some(labels) => Cow::Borrowed(labels),
            None => Cow::Owned(labels.iter().copied().collect()),
        };
        let counted = ignore.map(|ignore| labels.iter().map(|&label| label != ignore).collect());
        Self { kind: Kind::Hard { shape, labels }, counted }
    }

    /// Class probabilities `(C, *S)`.
    ///
    /// # Errors
    ///
    /// [`Error::Probability`](crate::Error::Probability).
    pub fn soft<T: Float, D: Dimension>(array: &'a ArrayRef<T, D>) -> Result<Self> {
        let values = Probabilities::new(array)?.checked("reference")?;
        Ok(Self { kind: Kind::Soft(values), counted: None })
    }

    /// What is known of a case: of several raters, the share that chose each of `classes` classes.
    ///
    /// Voxels that a label, or any rater, marks as `ignore` do not count.
    pub(super) fn known(label: &'a Label, classes: usize, ignore: Option<u16>) -> Self {
        match label {
            Label::Hard(labels) => Self::hard(&labels.data, ignore),
            Label::Soft(map) => Self { kind: Kind::Soft(map.into()), counted: None },
            Label::Raters(masks) => shares(masks, classes, ignore),
        }
    }
}

/// The share of raters for each class and voxel.
fn shares<'a>(masks: &[LabelMap], classes: usize, ignore: Option<u16>) -> Truth<'a> {
    let [depth, height, width] = masks.first().map_or([0; 3], |mask| mask.grid.size);
    let voxels = depth * height * width;
    let mut votes = vec![0f32; classes * voxels];
    let mut counted = vec![true; voxels];
    for mask in masks {
        for (voxel, &label) in mask.data.iter().enumerate() {
            if Some(label) == ignore {
                counted[voxel] = false;
            } else if usize::from(label) < classes {
                votes[usize::from(label) * voxels + voxel] += 1.0;
            }
        }
    }
    for vote in &mut votes {
        *vote /= masks.len() as f32;
    }
    let values = Probabilities::owned(vec![classes, depth, height, width], votes);
    Truth { kind: Kind::Soft(values), counted: ignore.map(|_| counted) }
}
