use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::elastic::Displacement;
use super::warp::{warp, warp_elastically};
use super::{Frame, Transform};
use crate::number::{Factors, Interval};
use crate::real::index;
use crate::rng::{happens, uniform, within};
use crate::{Error, Fraction, Patch};

/// Rotates and scales a patch about its middle, and deforms it elastically where that is asked for.
///
/// Intensities are interpolated linearly, a hard truth takes the class of the most weight, and
/// class probabilities are interpolated linearly, so that they still sum to 1. Beyond the patch,
/// intensities are 0 and the truth is background. Rotation is by voxels, not by mm.
///
/// # Source
///
/// `SpatialTransform` of batchgeneratorsv2, with the ranges that nnU-Net v2 gives it, which never deforms; the ranges of
/// the deformation are those of MIScnn, which deforms 15 % of its patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spatial {
    /// How often a patch is rotated, about each axis by an angle of its own.
    pub rotation_probability: Fraction,
    /// The largest angle to either side; absent, 30° for volumes, 180° for slices and for volumes
    /// of few slices, which are rotated in the plane, and 15° for slices that are 1.5 times as long
    /// as wide.
    pub rotation: Option<Degrees>,
    /// How often a patch is scaled, along all axes alike.
    pub scale_probability: Fraction,
    /// What the factor is drawn from; above 1, things get smaller.
    pub scale: Factors,
    /// How often a patch is deformed elastically; see [`Displacement`].
    pub elastic_probability: Fraction,
    /// What the strength of the deformation is drawn from. Voxels move by `0.16 alpha / sigma` in slices, and by
    /// `0.087 alpha / sigma^1.5` in volumes (one standard deviation along each axis): 13 and 2 voxels at 900 and 11.
    pub elastic_alpha: Interval,
    /// What its smoothness is drawn from, voxels.
    pub elastic_sigma: Interval,
}

/// An angle from 0° to 180°.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Degrees(f64);

impl TryFrom<f64> for Degrees {
    type Error = Error;

    fn try_from(degrees: f64) -> Result<Self, Error> {
        if (0.0..=180.0).contains(&degrees) {
            return Ok(Self(degrees));
        }
        Err(Error::Settings(format!("{degrees} is not an angle from 0 to 180 degrees")))
    }
}

impl From<Degrees> for f64 {
    fn from(angle: Degrees) -> Self {
        angle.0
    }
}

impl Default for Spatial {
    fn default() -> Self {
        Self {
            rotation_probability: Fraction::literal(0.2),
            rotation: None,
            scale_probability: Fraction::literal(0.2),
            scale: Factors::literal(0.7, 1.4),
            elastic_probability: Fraction::literal(0.0),
            elastic_alpha: Interval::literal(0.0, 900.0),
            elastic_sigma: Interval::literal(9.0, 13.0),
        }
    }
}

impl Transform for Spatial {
    fn apply(&self, patch: Patch, frame: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        match self.draw(frame, patch.size(), rng) {
            Some(motion) => motion.of(&patch),
            None => patch.middle(frame.out_size),
        }
    }
}

/// How a patch is moved.
pub(super) struct Motion {
    affine: Affine,
    moved: Option<Displacement>,
}

impl Motion {
    /// What becomes of a patch.
    pub(super) fn of(&self, patch: &Patch) -> Patch {
        match &self.moved {
            Some(moved) => warp_elastically(patch, &self.affine, moved),
            None => warp(patch, &self.affine),
        }
    }
}

impl Spatial {
    /// How a patch of `size` is to be moved; `None` where it stays as it is.
    pub(super) fn draw(
        &self,
        frame: &Frame,
        size: [usize; 3],
        rng: &mut ChaCha8Rng,
    ) -> Option<Motion> {
        let rotates = happens(self.rotation_probability.get(), rng);
        let scales = happens(self.scale_probability.get(), rng);
        let largest = self.largest_angle(frame).to_radians();
        let mut angles = [0.0; 3];
        let mut factors = [1.0; 3];
        if rotates {
            // In the plane means about the first axis.
            let about = if frame.axes().len() == 2 { 0..1 } else { 0..3 };
            about.for_each(|axis| angles[axis] = uniform(-largest, largest, rng));
        }
        if scales {
            let drawn = uniform(self.scale.low(), self.scale.high(), rng);
            frame.axes().for_each(|axis| factors[axis] = drawn);
        }
        // Where patches are never deformed, nothing is drawn for it.
        let deforms =
            self.elastic_probability.get() > 0.0 && happens(self.elastic_probability.get(), rng);
        let moved = deforms.then(|| {
            let (alpha, sigma) = (within(self.elastic_alpha, rng), within(self.elastic_sigma, rng));
            Displacement::new(frame.out_size, frame.axes(), alpha, sigma, rng)
        });
        (rotates || scales || deforms).then(|| {
            let affine = Affine::new(angles, factors, size, frame.out_size);
            Motion { affine, moved }
        })
    }

    fn largest_angle(&self, frame: &Frame) -> f64 {
        let [_, h, w] = frame.out_size.map(|voxels| voxels as f64);
        let usual = if frame.rank == 2 && h.max(w) / h.min(w) > 1.5 {
            15.0
        } else if frame.axes().len() == 2 {
            180.0
        } else {
            30.0
        };
        self.rotation.map_or(usual, f64::from)
    }

    /// The size of patch from which one of the frame's size is made: large enough for a rotation
    /// about one axis, and for a scale of 1 / 0.85, which nnU-Net counts with whatever the range.
    pub(crate) fn input_size(&self, frame: &Frame) -> [usize; 3] {
        const SCALE: f64 = 0.85;
        let size = frame.out_size.map(|voxels| voxels as f64);
        let mut largest = size;
        if self.rotation_probability.get() > 0.0 {
            let (sin, cos) = self.largest_angle(frame).min(90.0).to_radians().sin_cos();
            let mut reach = |axis: usize, value: f64| {
                largest[axis] = largest[axis].max(value.abs());
            };
            // Each rotation moves the corner of the patch along two axes.
            let planes: &[(usize, usize)] =
                if frame.axes().len() == 2 { &[(1, 2)] } else { &[(1, 2), (2, 0), (0, 1)] };
            for &(a, b) in planes {
                reach(a, cos * size[a] + sin * size[b]);
                reach(b, cos * size[b] - sin * size[a]);
            }
        }
        let scale = if self.scale_probability.get() > 0.0 { SCALE } else { 1.0 };
        for axis in frame.axes() {
            // A hair more, so that rounding does not take a voxel away.
            largest[axis] = largest[axis] / scale + 1e-9;
        }
        std::array::from_fn(|axis| index(largest[axis]).max(frame.out_size[axis]))
    }
}

/// A rotation and scaling about the middle of a patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    matrix: [[f64; 3]; 3],
    shift: [f64; 3],
    pub(super) out_size: [usize; 3],
}

impl Affine {
    /// Takes voxels of an array of `out_size` to positions in one of `in_size`, `(D, H, W)`, the
    /// middle of one being that of the other. Axes are scaled first, by `factors`, then rotated by
    /// `angles`, radians: about the first axis, the second, and the third.
    pub fn new(
        angles: [f64; 3],
        factors: [f64; 3],
        in_size: [usize; 3],
        out_size: [usize; 3],
    ) -> Self {
        Self::about(angles, factors, in_size.map(|voxels| voxels as f64 / 2.0), out_size)
    }

    /// As [`Affine::new`], with the middle of the output at `centre` of the input, voxels counted
    /// from the outer edge.
    pub fn about(
        angles: [f64; 3],
        factors: [f64; 3],
        centre: [f64; 3],
        out_size: [usize; 3],
    ) -> Self {
        let [(sa, ca), (sb, cb), (sc, cc)] = angles.map(f64::sin_cos);
        let first = [[1.0, 0.0, 0.0], [0.0, ca, -sa], [0.0, sa, ca]];
        let second = [[cb, 0.0, sb], [0.0, 1.0, 0.0], [-sb, 0.0, cb]];
        let third = [[cc, -sc, 0.0], [sc, cc, 0.0], [0.0, 0.0, 1.0]];
        let mut matrix = product(&third, &product(&second, &first));
        for row in &mut matrix {
            row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
        let middle = out_size.map(|voxels| (voxels as f64 - 1.0) / 2.0);
        let shift = std::array::from_fn(|axis| {
            let moved: f64 = matrix[axis].iter().zip(middle).map(|(m, v)| m * v).sum();
            centre[axis] - 0.5 - moved
        });
        Self { matrix, shift, out_size }
    }

    /// The linear part.
    pub fn matrix(&self) -> [[f64; 3]; 3] {
        self.matrix
    }

    /// The position in the input, voxels, of a voxel of the output.
    pub fn position(&self, voxel: [usize; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let row = self.matrix[axis].iter().zip(voxel);
            row.map(|(m, v)| m * v as f64).sum::<f64>() + self.shift[axis]
        })
    }
}

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|i| a[r][i] * b[i][c]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input_size(out_size: [usize; 3], rank: usize) -> [usize; 3] {
        Spatial::default().input_size(&Frame { out_size, rank })
    }

    #[test]
    fn inputs_are_as_large_as_in_the_source() {
        assert_eq!(input_size([128; 3], 3), [205; 3]);
        assert_eq!(input_size([1, 256, 256], 2), [1, 301, 301]);
        // Few slices: rotated in the plane alone.
        assert_eq!(input_size([20, 256, 224], 3), [20, 301, 301]);
    }

    #[test]
    fn without_rotation_and_scaling_nothing_more_is_needed() {
        let never = Fraction::literal(0.0);
        let still =
            Spatial { rotation_probability: never, scale_probability: never, ..Spatial::default() };

        assert_eq!(still.input_size(&Frame { out_size: [8; 3], rank: 3 }), [8; 3]);
    }

    #[test]
    fn the_middle_stays_in_the_middle() {
        let affine = Affine::new([0.3, -0.2, 0.9], [1.3; 3], [9, 11, 13], [5, 7, 3]);

        let middle = affine.position([2, 3, 1]);

        for (actual, expected) in middle.into_iter().zip([4.0, 5.0, 6.0]) {
            approx::assert_abs_diff_eq!(actual, expected, epsilon = 1e-12);
        }
    }
}
