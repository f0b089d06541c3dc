use serde::{Deserialize, Serialize};
use volume::Connectivity;

use crate::empty::ratio;
use crate::overlaps::Overlaps;
use crate::{Fraction, MaskPair};

/// Which lesions of the reference were found, and which predicted ones are none: components that
/// share a voxel, or enough of them, belong together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lesions {
    /// The components of the reference, in the order in which their first voxels come.
    pub reference: Vec<Lesion>,
    /// The components of the prediction, likewise.
    pub prediction: Vec<Candidate>,
}

/// A component of the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesion {
    /// Its size, voxels.
    pub voxels: usize,
    /// The predicted components that overlap it, by their place in [`Lesions::prediction`].
    pub candidates: Vec<usize>,
    /// The Dice coefficient with all of these together; 0 where there is none.
    pub dice: f64,
}

/// A component of the prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its size, voxels.
    pub voxels: usize,
    /// Whether it overlaps a lesion of the reference.
    pub matched: bool,
}

impl Lesions {
    /// Matches the components of two masks.
    pub fn of(pair: &MaskPair, connectivity: Connectivity) -> Self {
        Self::overlapping(pair, connectivity, Fraction::literal(0.0))
    }

    /// The same, where a component of each belong together only if they share more than `iou` of their union, not just any voxel.
    pub fn overlapping(pair: &MaskPair, connectivity: Connectivity, iou: Fraction) -> Self {
        let Overlaps { reference, prediction, shared } = Overlaps::of(pair, connectivity);
        let mut found: Vec<Lesion> = reference
            .iter()
            .map(|&voxels| Lesion { voxels, candidates: Vec::new(), dice: 0.0 })
            .collect();
        let mut candidates: Vec<Candidate> =
            prediction.iter().map(|&voxels| Candidate { voxels, matched: false }).collect();
        let mut common = vec![0usize; found.len()];
        for part in shared.iter().filter(|part| part.iou > iou.get()) {
            found[part.reference].candidates.push(part.prediction);
            candidates[part.prediction].matched = true;
            common[part.reference] += part.voxels;
        }
        for (lesion, common) in found.iter_mut().zip(common) {
            let predicted: usize = lesion.candidates.iter().map(|&at| prediction[at]).sum();
            lesion.dice = 2.0 * common as f64 / (lesion.voxels + predicted) as f64;
        }
        Self { reference: found, prediction: candidates }
    }

    /// How many lesions of the reference were found, at least in part.
    pub fn found(&self) -> usize {
        self.reference.iter().filter(|lesion| !lesion.candidates.is_empty()).count()
    }

    /// How many lesions of the reference were missed.
    pub fn missed(&self) -> usize {
        self.reference.len() - self.found()
    }

    /// How many predicted components overlap a lesion of the reference.
    pub fn matched(&self) -> usize {
        self.prediction.iter().filter(|candidate| candidate.matched).count()
    }

    /// How many predicted components are false alarms.
    pub fn false_alarms(&self) -> usize {
        self.prediction.len() - self.matched()
    }

    /// The share of lesions that were found; `None` where the reference has none.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.found() as f64, self.reference.len() as f64)
    }

    /// The share of predicted components that overlap a lesion; `None` where there are none.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.matched() as f64, self.prediction.len() as f64)
    }

    /// `2 found / (2 found + false alarms + missed)`; `None` where neither mask has any component.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2.0 * self.found() as f64;
        ratio(twice, twice + (self.false_alarms() + self.missed()) as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn one_candidate_may_find_two_lesions() -> crate::Result<()> {
        let mask = |line: &str| {
            let mut row = [[false; 12]];
            for (x, byte) in line.bytes().enumerate() {
                row[0][x] = byte == b'#';
            }
            arr2(&row)
        };
        let reference = mask("##.##..#....");
        let prediction = mask(".###.....#.#");
        let pair = MaskPair::new(&reference, &prediction, &[1.0, 1.0])?;

        let lesions = Lesions::of(&pair, Connectivity::Faces);

        // Each of the two shares one voxel of 2 with the candidate of 3.
        let lesion = |voxels, candidates: &[usize], dice| Lesion {
            voxels,
            candidates: candidates.to_vec(),
            dice,
        };
        let expected = [lesion(2, &[0], 0.4), lesion(2, &[0], 0.4), lesion(1, &[], 0.0)];
        assert_eq!(lesions.reference, expected);
        assert_eq!((lesions.found(), lesions.missed()), (2, 1));
        assert_eq!((lesions.matched(), lesions.false_alarms()), (1, 2));
        assert_eq!(lesions.sensitivity(), Some(2.0 / 3.0));
        assert_eq!(lesions.precision(), Some(1.0 / 3.0));
        assert_eq!(lesions.f1(), Some(4.0 / 7.0));
        Ok(())
    }

    #[test]
    fn without_lesions_nothing_is_defined() -> crate::Result<()> {
        let empty = arr2(&[[false, false]]);
        let lesions =
            Lesions::of(&MaskPair::new(&empty, &empty, &[1.0, 1.0])?, Connectivity::Corners);

        assert_eq!((lesions.sensitivity(), lesions.precision(), lesions.f1()), (None, None, None));
        Ok(())
    }
}
