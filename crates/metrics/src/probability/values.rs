use std::borrow::Cow;
use std::ops::RangeInclusive;

use ndarray::{ArrayRef, Dimension};
use rayon::prelude::*;
use volume::SoftLabelMap;

use self::sealed::Values;
use crate::{Error, Result};

/// A probability for each class and voxel, `(C, *S)` with any number of spatial axes.
///
/// Classes may be exclusive, so that they sum to 1, or overlap.
#[derive(Clone, Debug)]
pub struct Probabilities<'a> {
    pub(super) shape: Vec<usize>,
    values: Values<'a>,
}

/// Types that probabilities are stored in: `f32` and `f64`.
pub trait Float: Copy + Into<f64> + Sync + sealed::Stored {}

impl Float for f32 {}
impl Float for f64 {}

mod sealed {
    use std::borrow::Cow;

    #[derive(Clone, Debug)]
    pub enum Values<'a> {
        F32(Cow<'a, [f32]>),
        F64(Cow<'a, [f64]>),
    }

    pub trait Stored: Sized + Clone {
        fn wrap(values: Cow<'_, [Self]>) -> Values<'_>;
    }

    impl Stored for f32 {
        fn wrap(values: Cow<'_, [Self]>) -> Values<'_> {
            Values::F32(values)
        }
    }

    impl Stored for f64 {
        fn wrap(values: Cow<'_, [Self]>) -> Values<'_> {
            Values::F64(values)
        }
    }
}

impl<'a> Probabilities<'a> {
    /// How far a value may lie outside 0 to 1, as rounding leaves it.
    pub const TOLERANCE: f64 = 1e-4;

    /// Probabilities `(C, *S)`; copied only where the array is not in standard order.
    ///
    /// # Errors
    ///
    /// [`Error::Probability`], where a value is not finite or not from 0 to 1.
    pub fn new<T: Float, D: Dimension>(array: &'a ArrayRef<T, D>) -> Result<Self> {
        let values = match array.as_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(array.iter().copied().collect()),
        };
        Self { shape: array.shape().to_vec(), values: T::wrap(values) }.checked("prediction")
    }

    pub(super) fn owned(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, values: Values::F32(Cow::Owned(values)) }
    }

    pub(super) fn checked(self, what: &'static str) -> Result<Self> {
        let allowed = -Self::TOLERANCE..=1.0 + Self::TOLERANCE;
        let bad = match &self.values {
            Values::F32(all) => first_outside(all, &allowed),
            Values::F64(all) => first_outside(all, &allowed),
        };
        let Some((at, value)) = bad else { return Ok(self) };
        let voxels = self.voxels();
        Err(Error::Probability { what, value, class: at / voxels, voxel: at % voxels })
    }

    /// The number of classes, `C`.
    pub fn classes(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// A threshold as it would be stored among these values. Compared with that, 7 raters of 10
    /// reach 0.7, although 0.7 is less in `f32` than it is in `f64`.
    pub(super) fn stored(&self, threshold: f64) -> f64 {
        match &self.values {
            #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
            Values::F32(_) => f64::from(threshold as f32),
            Values::F64(_) => threshold,
        }
    }

    /// Voxels `start..start + n`, class by class, for any `n` that fills `planes`.
    pub(super) fn planes(&self, start: usize, planes: &mut [f64]) {
        let voxels = self.voxels();
        match &self.values {
            Values::F32(all) => copy(all, start, self.classes(), voxels, planes),
            Values::F64(all) => copy(all, start, self.classes(), voxels, planes),
        }
    }

    /// Voxels `start..start + n` as rows of `C` values each, for any `n` that fills `rows`.
    pub(super) fn gather(&self, start: usize, rows: &mut [f64]) {
        let (classes, voxels) = (self.classes(), self.voxels());
        match &self.values {
            Values::F32(all) => transpose(all, start, classes, voxels, rows),
            Values::F64(all) => transpose(all, start, classes, voxels, rows),
        }
    }
}

impl<'a> From<&'a SoftLabelMap> for Probabilities<'a> {
    fn from(map: &'a SoftLabelMap) -> Self {
        let values = match map.data.as_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(map.data.iter().copied().collect()),
        };
        Self { shape: map.data.shape().to_vec(), values: Values::F32(values) }
    }
}

/// The place and value of the first that is not allowed.
fn first_outside<T: Float>(all: &[T], allowed: &RangeInclusive<f64>) -> Option<(usize, f64)> {
    /// Values that are looked at without a branch, which compiles to vector code.
    const MANY: usize = 1 << 12;
    let (&least, &most) = (allowed.start(), allowed.end());
    // Not a number is none of those, either.
    let bad = |&value: &T| !((value.into() >= least) & (value.into() <= most));
    let any = |part: &[T]| part.iter().fold(false, |any, value| any | bad(value));
    let at = MANY * all.par_chunks(MANY).position_first(any)?;
    let at = at + all[at..].iter().position(bad)?;
    Some((at, all[at].into()))
}

fn copy<T: Float>(all: &[T], start: usize, classes: usize, voxels: usize, planes: &mut [f64]) {
    let count = planes.len() / classes.max(1);
    for (class, plane) in planes.chunks_exact_mut(count.max(1)).enumerate() {
        let from = &all[class * voxels + start..][..count];
        for (to, &value) in plane.iter_mut().zip(from) {
            *to = value.into();
        }
    }
}

fn transpose<T: Float>(all: &[T], start: usize, classes: usize, voxels: usize, rows: &mut [f64]) {
    let count = rows.len() / classes.max(1);
    for class in 0..classes {
        let from = &all[class * voxels + start..][..count];
        for (row, &value) in rows.chunks_exact_mut(classes).zip(from) {
            row[class] = value.into();
        }
    }
}
