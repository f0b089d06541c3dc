use std::ops::Range;

use super::ProbabilityPair;
use super::truth::Kind;

/// Voxels of a block: few enough to stay in the cache with all that is made of them.
pub(crate) const BLOCK: usize = 512;

/// Voxels that follow each other, class by class: what is done to all of them at once compiles to
/// vector code.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    len: usize,
    predicted: &'a [f64],
    truth: &'a [f64],
    /// Which of them count; `None` where all do.
    pub(crate) counted: Option<&'a [bool]>,
}

impl<'a> Block<'a> {
    /// The number of voxels, at most [`BLOCK`].
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.predicted.len() / self.len
    }

    /// The predicted probabilities of a class.
    pub(crate) fn predicted(&self, class: usize) -> &'a [f64] {
        &self.predicted[class * self.len..][..self.len]
    }

    /// The true probabilities of a class: 0 or 1 where the truth is hard.
    pub(crate) fn truth(&self, class: usize) -> &'a [f64] {
        &self.truth[class * self.len..][..self.len]
    }

    /// For each voxel, the highest predicted probability, and the true one of the class that has it,
    /// the first of equals.
    pub(crate) fn choose(&self, predicted: &mut [f64], truth: &mut [f64]) {
        predicted.copy_from_slice(self.predicted(0));
        truth.copy_from_slice(self.truth(0));
        for class in 1..self.classes() {
            let best = predicted.iter_mut().zip(truth.iter_mut());
            let class = self.predicted(class).iter().zip(self.truth(class));
            for ((best, its_truth), (&value, &truth)) in best.zip(class) {
                // With masks: a branch would be taken at random, and is no vector code.
                let better = u64::from(value > *best).wrapping_neg();
                let pick = |a: f64, b: f64| (a.to_bits() & better) | (b.to_bits() & !better);
                *best = f64::from_bits(pick(value, *best));
                *its_truth = f64::from_bits(pick(truth, *its_truth));
            }
        }
    }

    /// For each voxel, the sums of the predicted and of the true probabilities of some classes.
    pub(crate) fn sum(&self, classes: Range<usize>, predicted: &mut [f64], truth: &mut [f64]) {
        predicted.fill(0.0);
        truth.fill(0.0);
        for class in classes {
            predicted.iter_mut().zip(self.predicted(class)).for_each(|(sum, &it)| *sum += it);
            truth.iter_mut().zip(self.truth(class)).for_each(|(sum, &it)| *sum += it);
        }
    }

    /// Clears what is not so for a voxel: that `class` has the highest predicted probability, and is
    /// the first that has it.
    pub(crate) fn keep_chosen(&self, class: usize, chosen: &mut [bool]) {
        for other in (0..self.classes()).filter(|&other| other != class) {
            let values = self.predicted(class).iter().zip(self.predicted(other));
            for (chosen, (&value, &other_value)) in chosen.iter_mut().zip(values) {
                *chosen &= if other < class { value > other_value } else { value >= other_value };
            }
        }
    }
}

/// The voxels of a part of a pair, block by block.
pub(crate) struct Blocks<'a> {
    pair: &'a ProbabilityPair<'a>,
    rest: Range<usize>,
    predicted: Vec<f64>,
    truth: Vec<f64>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(pair: &'a ProbabilityPair<'a>, voxels: Range<usize>) -> Self {
        let room = pair.classes() * BLOCK.min(voxels.len());
        Self { pair, rest: voxels, predicted: vec![0.0; room], truth: vec![0.0; room] }
    }

    /// The next block; `None` after the last one.
    pub(crate) fn next(&mut self) -> Option<Block<'_>> {
        let first = self.rest.start;
        let len = BLOCK.min(self.rest.len());
        self.rest.start += len;
        if len == 0 {
            return None;
        }
        let pair = self.pair;
        let room = pair.classes() * len;
        let (predicted, truth) = (&mut self.predicted[..room], &mut self.truth[..room]);
        pair.prediction.planes(first, predicted);
        match &pair.truth.kind {
            Kind::Hard { labels, .. } => {
                let labels = &labels[first..first + len];
                for (plane, class) in truth.chunks_exact_mut(len).zip(0u16..) {
                    for (truth, &label) in plane.iter_mut().zip(labels) {
                        *truth = if label == class { 1.0 } else { 0.0 };
                    }
                }
            }
            Kind::Soft(values) => values.planes(first, truth),
        }
        let counted = pair.truth.counted.as_ref().map(|all| &all[first..first + len]);
        Some(Block { len, predicted, truth, counted })
    }
}
