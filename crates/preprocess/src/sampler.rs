//! Values of an array at places between its voxels.

use ndarray::{Array3, ArrayView3};

use crate::real::{Real, offset};
use crate::spline::{Boundary, Interpolation, spline_coefficients};

/// What lies beyond the outermost voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beyond {
    /// This value, as soon as a position is beyond the outermost voxel centres.
    Constant(f64),
    /// The outermost values go on.
    Nearest,
}

/// An array `(D, H, W)` prepared for being asked at arbitrary positions.
///
/// An axis of one voxel has no extent: its coordinate is not looked at.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    coefficients: Array3<f64>,
    interpolation: Interpolation,
    padding: usize,
    /// Whether taps beyond the array are mirrored; else they are those of the edge.
    mirror: bool,
}

impl Sampler {
    /// Positions are clamped or refused by the caller; taps beyond the array are mirrored where
    /// splines need them to be, and repeat the edge where they do not.
    pub(crate) fn new<T: Real>(input: ArrayView3<'_, T>, interpolation: Interpolation) -> Self {
        let coefficients = spline_coefficients(input, interpolation, Boundary::Mirror);
        let mirror = interpolation.pole().is_some();
        Self { coefficients, interpolation, padding: 0, mirror }
    }

    /// As [`Sampler::new`], for a signal that goes on with its outermost values.
    pub(crate) fn continued<T: Real>(
        input: ArrayView3<'_, T>,
        interpolation: Interpolation,
    ) -> Self {
        if interpolation.pole().is_none() {
            return Self::new(input, interpolation);
        }
        let padding = 12;
        let shape = input.shape();
        let long = |axis: usize| shape[axis] > 1;
        let size: [usize; 3] =
            std::array::from_fn(|axis| shape[axis] + if long(axis) { 2 * padding } else { 0 });
        let inside = |i: usize, axis: usize| {
            if long(axis) { i.saturating_sub(padding).min(shape[axis] - 1) } else { i }
        };
        let padded = Array3::from_shape_fn(size, |(z, y, x)| {
            input[[inside(z, 0), inside(y, 1), inside(x, 2)]]
        });
        let coefficients = spline_coefficients(padded.view(), interpolation, Boundary::Reflect);
        Self { coefficients, interpolation, padding, mirror: false }
    }

    /// The value at a position `(z, y, x)`, in voxels of the array.
    pub(crate) fn at(&self, position: [f64; 3]) -> f64 {
        let shape = self.coefficients.shape();
        let taps = self.interpolation.taps();
        let mut index = [[0; 4]; 3];
        let mut weight = [[0.0; 4]; 3];
        for axis in 0..3 {
            if shape[axis] == 1 {
                weight[axis][0] = 1.0;
                continue;
            }
            let (first, weights) = self.interpolation.weights(position[axis] + self.padding as f64);
            weight[axis] = weights;
            for (tap, index) in index[axis].iter_mut().enumerate().take(taps) {
                *index = self.inside(first + offset(tap), shape[axis]);
            }
        }
        let count = |axis: usize| if shape[axis] == 1 { 1 } else { taps };
        let mut sum = 0.0;
        for z in 0..count(0) {
            for y in 0..count(1) {
                let plane = weight[0][z] * weight[1][y];
                for x in 0..count(2) {
                    let at = [index[0][z], index[1][y], index[2][x]];
                    sum += plane * weight[2][x] * self.coefficients[at];
                }
            }
        }
        sum
    }

    fn inside(&self, tap: isize, length: usize) -> usize {
        let last = offset(length) - 1;
        let tap = if self.mirror {
            let period = 2 * last;
            let wrapped = tap.rem_euclid(period);
            wrapped.min(period - wrapped)
        } else {
            tap.clamp(0, last)
        };
        tap.unsigned_abs()
    }
}

/// Values of `input`, `(D, H, W)`, at positions `(z, y, x)` in voxels, in their order.
///
/// # Source
///
/// `scipy.ndimage.map_coordinates` with `mode` `"constant"` or `"nearest"`.
pub fn map_coordinates<T: Real>(
    input: ArrayView3<'_, T>,
    positions: &[[f64; 3]],
    interpolation: Interpolation,
    beyond: Beyond,
) -> Vec<T> {
    let shape = input.shape();
    let end = |axis: usize| (shape[axis] - 1) as f64;
    match beyond {
        Beyond::Constant(value) => {
            let sampler = Sampler::new(input, interpolation);
            let is_beyond = |p: &[f64; 3]| {
                (0..3).any(|axis| shape[axis] > 1 && !(0.0..=end(axis)).contains(&p[axis]))
            };
            let at = |p: &[f64; 3]| T::of(if is_beyond(p) { value } else { sampler.at(*p) });
            positions.iter().map(at).collect()
        }
        Beyond::Nearest => {
            let sampler = Sampler::continued(input, interpolation);
            let margin = sampler.padding as f64;
            let clamped = |p: &[f64; 3]| -> [f64; 3] {
                std::array::from_fn(|axis| p[axis].clamp(-margin, end(axis) + margin))
            };
            positions.iter().map(|p| T::of(sampler.at(clamped(p)))).collect()
        }
    }
}
