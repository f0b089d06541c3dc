use std::ops::Range;

use ndarray::{ArrayRef, Dimension};
use rayon::prelude::*;
use volume::{Label, SoftLabelMap};

use super::blocks::Blocks;
use super::truth::Kind;
use super::{Probabilities, Truth};
use crate::{Error, Result};

/// Voxels that one thread looks at in one go: a fixed number, so that sums do not depend on how
/// many threads there are.
const CHUNK: usize = 1 << 14;

/// Predicted probabilities and the truth, voxel by voxel: what metrics of probabilities look at.
#[derive(Clone, Debug)]
pub struct ProbabilityPair<'a> {
    pub(super) prediction: Probabilities<'a>,
    pub(super) truth: Truth<'a>,
}

/// One voxel of a [`ProbabilityPair`].
#[derive(Clone, Copy, Debug)]
pub struct Voxel<'a> {
    /// Its place, counted in standard order.
    pub at: usize,
    /// The predicted probability of each class.
    pub predicted: &'a [f64],
    truth: At<'a>,
}

#[derive(Clone, Copy, Debug)]
enum At<'a> {
    Hard(usize),
    Soft(&'a [f64]),
}

impl Voxel<'_> {
    /// The true probability of a class: 0 or 1 where the truth is hard.
    pub fn truth(&self, class: usize) -> f64 {
        match self.truth {
            At::Hard(label) => f64::from(u8::from(label == class)),
            At::Soft(all) => all[class],
        }
    }

    /// The class with the highest predicted probability, the first of equals, and that probability.
    pub fn choice(&self) -> (usize, f64) {
        let mut best = (0, self.predicted[0]);
        for (class, &value) in self.predicted.iter().enumerate().skip(1) {
            if value > best.1 {
                best = (class, value);
            }
        }
        best
    }

    /// Whether class 0 is certain, and is what the prediction chooses.
    pub fn is_background(&self) -> bool {
        self.truth(0) >= 1.0 && self.choice().0 == 0
    }
}

impl<'a> ProbabilityPair<'a> {
    /// Pairs predicted probabilities `(C, *S)` with the truth.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], and [`Error::Label`] where a label of a voxel that counts is no class.
    pub fn new(prediction: Probabilities<'a>, truth: Truth<'a>) -> Result<Self> {
        let classes = prediction.classes();
        let (shape, expected) = match &truth.kind {
            Kind::Hard { shape, .. } => (shape, prediction.shape.get(1..).unwrap_or_default()),
            Kind::Soft(values) => (&values.shape, &*prediction.shape),
        };
        if shape != expected || classes == 0 {
            return Err(Error::Shape {
                reference: shape.clone(),
                prediction: prediction.shape.clone(),
            });
        }
        if let Kind::Hard { labels, .. } = &truth.kind {
            let no_class = |&label: &u16| usize::from(label) >= classes;
            let counts = |at: usize| truth.counted.as_ref().is_none_or(|counted| counted[at]);
            let bad = |(chunk, part): (usize, &[u16])| {
                // Without a branch, which compiles to vector code.
                if !part.iter().fold(false, |any, label| any | no_class(label)) {
                    return None;
                }
                let first = chunk * CHUNK;
                (0..part.len()).find(|&i| no_class(&part[i]) && counts(first + i)).map(|i| part[i])
            };
            if let Some(label) = labels.par_chunks(CHUNK).enumerate().find_map_first(bad) {
                return Err(Error::Label { label, classes });
            }
        }
        Ok(Self { prediction, truth })
    }

    /// Pairs a prediction with what is known of a case: of several raters, the share that chose
    /// each class. Voxels that a label, or any rater, marks as `ignore` do not count.
    ///
    /// # Errors
    ///
    /// [`Error::Grid`], where they do not lie on one grid; [`Error::Shape`], where a soft label has
    /// other classes; [`Error::Label`], where a label is no class.
    pub fn of(prediction: &'a SoftLabelMap, truth: &'a Label, ignore: Option<u16>) -> Result<Self> {
        if let Some(difference) = truth.grid().difference(&prediction.grid) {
            return Err(Error::Grid(difference));
        }
        let classes = prediction.classes();
        if let Label::Raters(masks) = truth {
            let all = masks.iter().flat_map(|mask| &mask.data);
            let bad = |&&label: &&u16| usize::from(label) >= classes && Some(label) != ignore;
            if let Some(&label) = all.clone().find(bad) {
                return Err(Error::Label { label, classes });
            }
        }
        Self::new(prediction.into(), Truth::known(truth, classes, ignore))
    }

    /// The same pair, where only those voxels `(*S)` count that did before and are `true`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`].
    pub fn counting<D: Dimension>(mut self, voxels: &ArrayRef<bool, D>) -> Result<Self> {
        if self.prediction.shape.get(1..) != Some(voxels.shape()) {
            return Err(Error::Shape {
                reference: voxels.shape().to_vec(),
                prediction: self.prediction.shape,
            });
        }
        let before = self.truth.counted.take();
        let counted = voxels
            .iter()
            .enumerate()
            .map(|(at, &counts)| counts && before.as_ref().is_none_or(|before| before[at]));
        self.truth.counted = Some(counted.collect());
        Ok(self)
    }

    /// The number of classes, `C`.
    pub fn classes(&self) -> usize {
        self.prediction.classes()
    }

    /// How many voxels count.
    pub fn counted(&self) -> usize {
        match &self.truth.counted {
            Some(counted) => counted.iter().filter(|&&counts| counts).count(),
            None => self.prediction.voxels(),
        }
    }

    /// That `class` is one.
    ///
    /// # Errors
    ///
    /// [`Error::Class`].
    pub fn expect_class(&self, class: usize) -> Result<()> {
        let classes = self.classes();
        if class < classes { Ok(()) } else { Err(Error::Class { class, classes }) }
    }

    /// Goes through all voxels that count, in parts of fixed size, and merges what the parts gave
    /// in their order.
    pub fn fold<A: Send>(
        &self,
        start: impl Fn() -> A + Sync,
        each: impl Fn(&mut A, Voxel<'_>) + Sync,
        mut merge: impl FnMut(&mut A, A),
    ) -> A {
        let classes = self.classes();
        let part = |voxels: Range<usize>| {
            let (first, count) = (voxels.start, voxels.len());
            let mut sum = start();
            let mut predicted = vec![0.0; count * classes];
            self.prediction.gather(first, &mut predicted);
            let mut soft = Vec::new();
            if let Kind::Soft(values) = &self.truth.kind {
                soft = vec![0.0; count * classes];
                values.gather(first, &mut soft);
            }
            for (i, predicted) in predicted.chunks_exact(classes).enumerate() {
                let at = first + i;
                if self.truth.counted.as_ref().is_some_and(|counted| !counted[at]) {
                    continue;
                }
                let truth = match &self.truth.kind {
                    Kind::Hard { labels, .. } => At::Hard(usize::from(labels[at])),
                    Kind::Soft(_) => At::Soft(&soft[i * classes..][..classes]),
                };
                each(&mut sum, Voxel { at, predicted, truth });
            }
            sum
        };
        let mut total = start();
        for part in self.in_chunks(part) {
            merge(&mut total, part);
        }
        total
    }

    /// What `each` makes of the blocks of each part of fixed size, in their order. Blocks hold all
    /// voxels, also those that do not count.
    pub(crate) fn map_blocks<A: Send>(&self, each: impl Fn(Blocks<'_>) -> A + Sync) -> Vec<A> {
        self.in_chunks(|voxels| each(Blocks::new(self, voxels)))
    }

    fn in_chunks<A: Send>(&self, each: impl Fn(Range<usize>) -> A + Sync) -> Vec<A> {
        let voxels = self.prediction.voxels();
        let chunks = (0..voxels.div_ceil(CHUNK)).into_par_iter();
        chunks.map(|chunk| each(chunk * CHUNK..voxels.min((chunk + 1) * CHUNK))).collect()
    }

    /// A threshold for the predicted probabilities, and one for the true ones, each rounded to the
    /// precision in which they are stored.
    pub(crate) fn stored(&self, threshold: f64) -> (f64, f64) {
        let truth = match &self.truth.kind {
            Kind::Hard { .. } => threshold,
            Kind::Soft(values) => values.stored(threshold),
        };
        (self.prediction.stored(threshold), truth)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, arr1, arr2, arr3};
    use volume::{Grid, LabelMap};

    use super::*;

    #[test]
    fn raters_become_shares_and_what_one_ignores_counts_for_none() -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 3], [1.0; 3])?;
        let rater = |labels: [u16; 3]| LabelMap::new(grid.clone(), arr3(&[[labels]]));
        let truth = Label::raters(vec![rater([0, 1, 9])?, rater([1, 1, 0])?, rater([1, 1, 0])?])?;
        let prediction = SoftLabelMap::new(grid.clone(), Array4::from_elem((2, 1, 1, 3), 0.5))?;

        let pair = ProbabilityPair::of(&prediction, &truth, Some(9))?;

        assert_eq!(pair.counted(), 2);
        let shares = pair.fold(Vec::new, |all, voxel| all.push(voxel.truth(1)), Vec::extend);
        approx::assert_relative_eq!(shares[..], [2.0 / 3.0, 1.0], epsilon = 1e-6);
        assert_eq!(
            ProbabilityPair::of(&prediction, &truth, None).unwrap_err().to_string(),
            "label 9 is not one of 2 classes, 0 to 1",
        );
        Ok(())
    }

    #[test]
    fn only_voxels_asked_for_count() -> Result<()> {
        let (prediction, truth) = (arr2(&[[0.2, 0.4, 0.9], [0.8, 0.6, 0.1]]), arr1(&[1, 9, 0]));
        let pair =
            ProbabilityPair::new(Probabilities::new(&prediction)?, Truth::hard(&truth, Some(9)))?;

        assert_eq!(pair.counted(), 2);
        let pair = pair.counting(&arr1(&[true, true, false]))?;
        let places = pair.fold(Vec::new, |all, voxel| all.push(voxel.at), Vec::extend);
        assert_eq!(places, [0]);
        Ok(())
    }

    #[test]
    fn seven_raters_of_ten_reach_seven_tenths() -> Result<()> {
        let share = arr2(&[[3f32 / 10.0], [7f32 / 10.0]]);
        let pair = ProbabilityPair::new(Probabilities::new(&share)?, Truth::soft(&share)?)?;

        let (predicted, true_) = pair.stored(0.7);
        let reach = pair.fold(
            Vec::new,
            |all, voxel| all.push((voxel.predicted[1] >= predicted, voxel.truth(1) >= true_)),
            Vec::extend,
        );
        assert_eq!(reach, [(true, true)]);
        Ok(())
    }

    #[test]
    fn values_that_are_no_probabilities_are_named() {
        let error = Probabilities::new(&arr2(&[[0.2, 0.4], [0.8, f64::NAN]])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "NaN at class 1, voxel 1 of the prediction is not a probability",
        );
    }
}
