use ndarray::{ArrayRef, Dimension};
use rayon::prelude::*;

use crate::{Counts, Error, Result};

/// Voxels that one thread looks at in one go.
const CHUNK: usize = 1 << 16;

/// How often each class of the reference was predicted as each class.
///
/// Ignored voxels are in no entry, and so in no denominator of what is made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[reference, prediction]`, row after row.
    entries: Vec<u64>,
}

impl Confusion {
    /// Compares labels `*S` of any rank. Voxels where the reference is `ignore` do not count.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], and [`Error::Label`] where a label of a voxel that counts is no class.
    pub fn of<D: Dimension>(
        reference: &ArrayRef<u16, D>,
        prediction: &ArrayRef<u16, D>,
        classes: usize,
        ignore: Option<u16>,
    ) -> Result<Self> {
        if reference.shape() != prediction.shape() {
            return Err(Error::Shape {
                reference: reference.shape().to_vec(),
                prediction: prediction.shape().to_vec(),
            });
        }
        let reference = reference.as_standard_layout();
        let prediction = prediction.as_standard_layout();
        let (Some(reference), Some(prediction)) = (reference.as_slice(), prediction.as_slice())
        else {
            return Ok(Self::new(classes));
        };
        let part = |(reference, prediction): (&[u16], &[u16])| {
            let mut part = Self::new(classes);
            for (&r, &p) in reference.iter().zip(prediction) {
                if Some(r) != ignore {
                    let at = part.position(r)? * classes + part.position(p)?;
                    part.entries[at] += 1;
                }
            }
            Ok(part)
        };
        let chunks = reference.par_chunks(CHUNK).zip(prediction.par_chunks(CHUNK));
        chunks.map(part).try_reduce(|| Self::new(classes), |a, b| Ok(a.plus(&b)))
    }

    fn new(classes: usize) -> Self {
        Self { classes, entries: vec![0; classes * classes] }
    }

    fn plus(mut self, other: &Self) -> Self {
        for (entry, more) in self.entries.iter_mut().zip(&other.entries) {
            *entry += more;
        }
        self
    }

    fn position(&self, label: u16) -> Result<usize> {
        let class = usize::from(label);
        if class < self.classes {
            return Ok(class);
        }
        Err(Error::Label { label, classes: self.classes })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many voxels of class `reference` were predicted as class `prediction`; 0 where there is
    /// no such class.
    pub fn entry(&self, reference: usize, prediction: usize) -> u64 {
        let inside = reference < self.classes && prediction < self.classes;
        if inside { self.entries[reference * self.classes + prediction] } else { 0 }
    }

    /// All voxels that count.
    pub fn total(&self) -> u64 {
        self.entries.iter().sum()
    }

    /// One class against all others.
    pub fn counts(&self, class: usize) -> Counts {
        let true_positives = self.entry(class, class);
        let reference: u64 = (0..self.classes).map(|other| self.entry(class, other)).sum();
        let prediction: u64 = (0..self.classes).map(|other| self.entry(other, class)).sum();
        Counts {
            true_positives,
            false_positives: prediction - true_positives,
            false_negatives: reference - true_positives,
            true_negatives: self.total() + true_positives - reference - prediction,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    #[test]
    fn each_class_is_compared_with_the_rest() -> Result<()> {
        let found = Confusion::of(&arr1(&[0, 0, 1, 2, 9]), &arr1(&[0, 1, 1, 1, 7]), 3, Some(9))?;

        assert_eq!(found.total(), 4);
        assert_eq!(found.entry(2, 1), 1);
        let expected =
            Counts { true_positives: 1, false_positives: 2, false_negatives: 0, true_negatives: 1 };
        assert_eq!(found.counts(1), expected);
        Ok(())
    }

    #[test]
    fn labels_beyond_the_classes_are_named() {
        let error = Confusion::of(&arr1(&[0, 3]), &arr1(&[0, 0]), 3, None).unwrap_err();

        assert_eq!(error.to_string(), "label 3 is not one of 3 classes, 0 to 2");
    }
}
