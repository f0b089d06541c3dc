use std::ops::Deref;
use std::slice;

use ndarray::{Array3, Array4, Axis};

use crate::image::{expect_shape, standard_layout};
use crate::{Error, Grid, Orientation, Oriented, Result};

/// One class index for each voxel.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    /// Where the voxels lie.
    pub grid: Grid,
    /// The indices, `(D, H, W)`, in standard (C) order.
    pub data: Array3<u16>,
}

impl LabelMap {
    /// Puts labels `(D, H, W)` on a grid of that size.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the two do not fit.
    pub fn new(grid: Grid, data: Array3<u16>) -> Result<Self> {
        expect_shape(&grid, data.shape())?;
        Ok(Self { grid, data: standard_layout(data) })
    }

    /// The labels that occur, in ascending order.
    pub fn values(&self) -> Vec<u16> {
        let mut seen = vec![false; 1 << 16];
        for &label in &self.data {
            seen[usize::from(label)] = true;
        }
        (0..=u16::MAX).filter(|&label| seen[usize::from(label)]).collect()
    }
}

/// A probability for each class and voxel.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftLabelMap {
    /// Where the voxels lie.
    pub grid: Grid,
    /// The probabilities, `(C, D, H, W)`, in standard (C) order.
    pub data: Array4<f32>,
}

impl SoftLabelMap {
    /// How far the probabilities of a voxel may sum from 1.
    pub const TOLERANCE: f32 = 1e-4;

    /// Puts class probabilities `(C, D, H, W)` on a grid of size `(D, H, W)`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the two do not fit; [`Error::NotProbabilities`], where one is
    /// negative or not finite, or a voxel's do not sum to 1.
    pub fn new(grid: Grid, data: Array4<f32>) -> Result<Self> {
        expect_shape(&grid, &data.shape()[1..])?;
        let data = standard_layout(data);
        let sums = data.sum_axis(Axis(0));
        let bad = |(voxel, &sum): ((usize, usize, usize), &f32)| {
            // A negation, so that NaN is bad as well.
            let near = (sum - 1.0).abs() <= Self::TOLERANCE;
            (!near).then_some((voxel, sum))
        };
        let found = sums.indexed_iter().find_map(bad).or_else(|| {
            data.indexed_iter()
                .find(|&(_, &p)| p < -Self::TOLERANCE)
                .map(|((_, z, y, x), &p)| ((z, y, x), p))
        });
        match found {
            Some(((z, y, x), sum)) => Err(Error::NotProbabilities { voxel: [z, y, x], sum }),
            None => Ok(Self { grid, data }),
        }
    }

    /// The number of classes, `C`.
    pub fn classes(&self) -> usize {
        self.data.shape()[0]
    }
}

/// The masks of several raters: at least one, and all on one grid.
///
/// A slice of [`LabelMap`]s for all who read it.
#[derive(Clone, Debug, PartialEq)]
pub struct RaterMasks(Vec<LabelMap>);

impl RaterMasks {
    /// Checks that there is a mask, and that all lie on one grid.
    ///
    /// # Errors
    ///
    /// [`Error::NoRaters`] and [`Error::GridMismatch`].
    pub fn new(masks: Vec<LabelMap>) -> Result<Self> {
        let [first, rest @ ..] = masks.as_slice() else {
            return Err(Error::NoRaters);
        };
        match rest.iter().find_map(|mask| first.grid.difference(&mask.grid)) {
            Some(difference) => Err(Error::GridMismatch(difference)),
            None => Ok(Self(masks)),
        }
    }

    /// Where the voxels lie.
    pub fn grid(&self) -> &Grid {
        &self.0[0].grid
    }

    /// The masks, each turned: those of one grid lie on one grid again.
    pub(crate) fn oriented(&self, by: &Orientation) -> Self {
        Self(self.iter().map(|mask| mask.oriented(by)).collect())
    }
}

impl Deref for RaterMasks {
    type Target = [LabelMap];

    fn deref(&self) -> &[LabelMap] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a RaterMasks {
    type Item = &'a LabelMap;
    type IntoIter = slice::Iter<'a, LabelMap>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// What is known of the truth.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// One opinion, without doubt.
    Hard(LabelMap),
    /// Probabilities that sum to 1 over the classes.
    Soft(SoftLabelMap),
    /// The masks of several raters, in the order of their names.
    Raters(RaterMasks),
}

impl Label {
    /// The masks of several raters.
    ///
    /// # Errors
    ///
    /// [`Error::NoRaters`] and [`Error::GridMismatch`].
    pub fn raters(masks: Vec<LabelMap>) -> Result<Self> {
        Ok(Self::Raters(RaterMasks::new(masks)?))
    }

    /// Where the voxels lie.
    pub fn grid(&self) -> &Grid {
        match self {
            Self::Hard(labels) => &labels.grid,
            Self::Soft(probabilities) => &probabilities.grid,
            Self::Raters(masks) => masks.grid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    fn grid() -> Grid {
        Grid { size: [1, 1, 2], spacing: [1.0; 3], origin: [0.0; 3], direction: crate::RAS }
    }

    fn soft(values: [[f32; 2]; 2]) -> Result<SoftLabelMap> {
        let data = Array4::from_shape_fn((2, 1, 1, 2), |(class, _, _, x)| values[class][x]);
        SoftLabelMap::new(grid(), data)
    }

    #[test]
    fn labels_that_occur_are_listed_once() -> Result<()> {
        let labels = LabelMap::new(grid(), arr3(&[[[65_535, 2]]]))?;

        assert_eq!(labels.values(), [2, 65_535]);
        Ok(())
    }

    #[test]
    fn probabilities_sum_to_one_and_are_not_negative() {
        assert!(soft([[0.25, 1.0], [0.75, 0.0]]).is_ok());
        assert_eq!(
            soft([[0.5, 0.5], [0.5, 0.25]]).unwrap_err().to_string(),
            "class probabilities at voxel [0, 0, 1] sum to 0.75, not to 1",
        );
        assert!(soft([[1.5, 1.0], [-0.5, 0.0]]).is_err());
        assert!(soft([[f32::NAN, 1.0], [0.5, 0.0]]).is_err());
    }

    #[test]
    fn raters_share_a_grid() -> Result<()> {
        let one = LabelMap::new(grid(), arr3(&[[[0, 1]]]))?;
        let other = LabelMap { grid: Grid { spacing: [2.0; 3], ..grid() }, ..one.clone() };

        assert_eq!(Label::raters(vec![]).unwrap_err(), Error::NoRaters);
        assert!(matches!(Label::raters(vec![one.clone(), other]), Err(Error::GridMismatch(_))));
        assert_eq!(Label::raters(vec![one.clone()])?.grid(), &grid());

        let masks = RaterMasks::new(vec![one.clone(), one])?;
        assert_eq!((masks.len(), masks.grid()), (2, &grid()));
        Ok(())
    }
}
