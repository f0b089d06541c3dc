use ndarray::{ArrayView3, Zip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::{Components, Connectivity};

use crate::empty::ratio;
use crate::{Error, Fraction, Result};

/// The free-response operating characteristic: the share of lesions that are found, over the false alarms per image that this costs.
///
/// Candidates are the components of all voxels of at least a base probability, each as sure as its most probable voxel; one that
/// shares a voxel with a lesion finds it, any other is a false alarm. The curve is over all images together; undefined without a lesion.
///
/// # Source
///
/// Chakraborty, Winter: *Free-Response Methodology*, Radiology 174 (1990). The mean over false alarms is that of the LUNA16 challenge,
/// Setio et al., Medical Image Analysis 42 (2017), [arXiv:1612.08012](https://arxiv.org/abs/1612.08012), without its interpolation
/// between points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Froc {
    images: usize,
    /// The highest confidence of any candidate that finds it, for each lesion; `None` where there is none.
    lesions: Vec<Option<f64>>,
    /// The confidence of each false alarm.
    alarms: Vec<f64>,
}

/// A point of a [`Froc`] curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrocPoint {
    /// Candidates count from this confidence on.
    pub confidence: f64,
    /// False alarms, per image.
    pub false_alarms: f64,
    /// The share of lesions that are found.
    pub sensitivity: f64,
}

impl Froc {
    /// The false alarms per image that [`Froc::score`] averages over.
    pub const FALSE_ALARMS: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

    /// Adds an image: the voxels of its lesions, and the probability of each voxel to be one, both `(D, H, W)`. Voxels from probability
    /// `base` on are candidates, if it is above 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`].
    pub fn add(
        &mut self,
        reference: &ArrayView3<'_, bool>,
        probability: &ArrayView3<'_, f32>,
        base: Fraction,
        connectivity: Connectivity,
    ) -> Result<()> {
        if reference.shape() != probability.shape() {
            return Err(Error::Shape {
                reference: reference.shape().to_vec(),
                prediction: probability.shape().to_vec(),
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "in the precision of probabilities")]
        let base = base.get() as f32;
        let lesions = Components::of(reference, |&inside| inside, connectivity);
        let candidate = |&p: &f32| p > 0.0 && p >= base;
        let candidates = Components::of(probability, candidate, connectivity);
        let mut sure = vec![0f32; candidates.len() + 1];
        let mut hits = Vec::new();
        Zip::from(candidates.labels()).and(lesions.labels()).and(probability).for_each(
            |&candidate, &lesion, &probability| {
                let sure = &mut sure[candidate as usize];
                *sure = sure.max(probability);
                if candidate > 0 && lesion > 0 {
                    hits.push((lesion, candidate));
                }
            },
        );
        hits.sort_unstable();
        hits.dedup();
        let mut found = vec![None; lesions.len()];
        let mut is_hit = vec![false; sure.len()];
        for (lesion, candidate) in hits {
            is_hit[candidate as usize] = true;
            let best: &mut Option<f64> = &mut found[lesion as usize - 1];
            let sure = f64::from(sure[candidate as usize]);
            *best = Some(best.map_or(sure, |best| best.max(sure)));
        }
        let alarms = sure.iter().zip(&is_hit).skip(1).filter(|&(_, &hit)| !hit);
        self.alarms.extend(alarms.map(|(&sure, _)| f64::from(sure)));
        self.lesions.extend(found);
        self.images += 1;
        Ok(())
    }

    /// Adds the images of another, after its own.
    pub fn merge(&mut self, other: Self) {
        self.images += other.images;
        self.lesions.extend(other.lesions);
        self.alarms.extend(other.alarms);
    }

    /// The number of lesions.
    pub fn lesions(&self) -> usize {
        self.lesions.len()
    }

    /// One point for each confidence that occurs, from the highest on; empty without a lesion.
    pub fn curve(&self) -> Vec<FrocPoint> {
        if self.lesions.is_empty() {
            return Vec::new();
        }
        let descending = |mut all: Vec<f64>| {
            all.sort_unstable_by(|a, b| b.total_cmp(a));
            all
        };
        let alarms = descending(self.alarms.clone());
        let found = descending(self.lesions.iter().copied().flatten().collect());
        let mut all = descending([&alarms[..], &found].concat());
        all.dedup();
        let at_least = |of: &[f64], confidence| of.partition_point(|&it| it >= confidence) as f64;
        let point = |confidence| FrocPoint {
            confidence,
            false_alarms: at_least(&alarms, confidence) / self.images as f64,
            sensitivity: at_least(&found, confidence) / self.lesions.len() as f64,
        };
        all.into_iter().map(point).collect()
    }

    /// The largest share of lesions that are found at no more than so many false alarms per image; `None` without a lesion.
    pub fn sensitivity_at(&self, false_alarms: f64) -> Option<f64> {
        let curve = self.curve();
        let within = curve.iter().take_while(|point| point.false_alarms <= false_alarms).last();
        (!self.lesions.is_empty()).then(|| within.map_or(0.0, |point| point.sensitivity))
    }

    /// The mean sensitivity at [`Froc::FALSE_ALARMS`]; `None` without a lesion.
    pub fn score(&self) -> Option<f64> {
        let each = Self::FALSE_ALARMS.iter().map(|&alarms| self.sensitivity_at(alarms));
        ratio(each.sum::<Option<f64>>()?, Self::FALSE_ALARMS.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    #[test]
    fn lower_confidence_finds_more_and_alarms_more() -> Result<()> {
        let reference = arr3(&[[[true, true, false, false, true, false, true]]]);
        let probability = arr3(&[[[0.5, 0.75, 0.0, 0.625, 0.0, 0.25, 0.5]]]);
        let mut froc = Froc::default();

        let base = Fraction::literal(0.25);
        froc.add(&reference.view(), &probability.view(), base, Connectivity::Faces)?;
        let other = arr3(&[[[false; 7]]]);
        froc.add(&other.view(), &probability.view(), base, Connectivity::Faces)?;

        // Of three lesions the first is found at 0.75, the last by a candidate of 0.5; one false alarm of 0.625 beside them, and three
        // in the image without any.
        let expected = [(0.75, 0.5, 1.0 / 3.0), (0.625, 1.5, 1.0 / 3.0), (0.5, 2.0, 2.0 / 3.0)];
        let points = froc.curve();
        let points: Vec<_> =
            points.iter().map(|it| (it.confidence, it.false_alarms, it.sensitivity)).collect();
        assert_eq!(points, expected);
        assert_eq!(froc.lesions(), 3);
        assert_eq!(froc.sensitivity_at(0.25), Some(0.0));
        assert_eq!(froc.sensitivity_at(8.0), Some(2.0 / 3.0));
        // 0 at ⅛ and ¼, ⅓ at ½ and 1, ⅔ from 2 on.
        approx::assert_relative_eq!(froc.score().unwrap(), (2.0 / 3.0 + 2.0) / 7.0);
        assert_eq!(Froc::default().score(), None);
        Ok(())
    }
}
