//! Labels of the phantom's two organs, in place of one organ and its lesions.

use std::ops::Range;

use ndarray::{Array3, Array4};
use serde::{Deserialize, Serialize};
use volume::{LabelMap, SoftLabelMap};

use super::anatomy::Anatomy;
use super::{Phantom, rater};

/// An organ that a [`Phantom`] shows in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhantomOrgan {
    /// The large one, with its lesions.
    Liver,
    /// The small, bright one on the other side.
    Kidney,
}

impl PhantomOrgan {
    /// The name of its class.
    pub fn name(self) -> &'static str {
        match self {
            Self::Liver => "liver",
            Self::Kidney => "kidney",
        }
    }

    /// For each voxel in standard order, the level of the organ, then those of its lesions, mm.
    fn levels(self, anatomy: &Anatomy) -> Vec<Vec<f64>> {
        match self {
            Self::Liver => anatomy.levels(),
            Self::Kidney => vec![anatomy.second_level()],
        }
    }
}

impl Phantom {
    /// The masks of some raters of a case. A rater errs alike with all organs; where two meet, the earlier one covers the
    /// later.
    pub(super) fn organ_masks(&self, case: usize, raters: Range<usize>) -> Vec<LabelMap> {
        let (anatomy, waves) = (self.anatomy(case), self.waves(case));
        let of_rater = |rater| {
            let mut mask =
                LabelMap { grid: self.grid.clone(), data: Array3::zeros(self.grid.size) };
            for (value, organ) in (1..).zip(&self.config.organs) {
                let one = self.mask(case, rater, &organ.levels(&anatomy), &waves);
                mask.data.zip_mut_with(&one.data, |label, &marked| {
                    if *label == 0 && marked > 0 {
                        *label = value;
                    }
                });
            }
            mask
        };
        raters.map(of_rater).collect()
    }

    /// The probability of each class at each voxel of a case: as if raters erred with one organ whatever they do with
    /// another, which makes no difference where organs lie apart.
    #[expect(clippy::cast_possible_truncation, reason = "probabilities are kept in f32")]
    pub(super) fn organ_probabilities(&self, case: usize) -> SoftLabelMap {
        let anatomy = self.anatomy(case);
        let voxels = self.grid.len();
        let mut left = vec![1.0; voxels];
        let mut data = Vec::with_capacity((1 + self.config.organs.len()) * voxels);
        for organ in &self.config.organs {
            let levels = organ.levels(&anatomy);
            for (voxel, left) in left.iter_mut().enumerate() {
                let mut lesions: Vec<f64> = levels[1..].iter().map(|level| level[voxel]).collect();
                let [background, ..] = rater::truth(levels[0][voxel], &mut lesions, self.habits());
                data.push((*left * (1.0 - background)) as f32);
                *left *= background;
            }
        }
        data.splice(0..0, left.iter().map(|&p| p as f32));
        let [d, h, w] = self.grid.size;
        let shape = (1 + self.config.organs.len(), d, h, w);
        let data = Array4::from_shape_vec(shape, data).expect("one for each class and voxel");
        SoftLabelMap::new(self.grid.clone(), data).expect("probabilities of all outcomes")
    }
}
