//! Where the voxels of a new grid lie.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::real::{Real, index};

/// When images are resampled, and where the voxels of the new grid lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GridRule {
    /// As nnU-Net: after intensities are normalised, so that the outer edges of both grids coincide.
    #[default]
    Nnunet,
    /// As MONAI's `Spacing`: before intensities are normalised, so that the centers of the first voxels coincide and
    /// the new ones are exactly as far apart as was asked for. Values are linear, or those of the nearest voxel;
    /// thick slices are treated as any others, and no margin is cut off.
    Monai,
}

impl GridRule {
    /// Whether it is nnU-Net's.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) fn is_nnunet(&self) -> bool {
        *self == Self::Nnunet
    }
}

/// Spacings that differ by less than this, mm, are the same for MONAI.
const SAME: f64 = 1e-3;

/// How far apart, in voxels of the old grid, the voxels of MONAI's new one are; `None` where nothing changes.
pub(crate) fn monai_steps(spacing: [f64; 3], target: [f64; 3]) -> Option<[f64; 3]> {
    let same = spacing.iter().zip(target).all(|(old, new)| (old - new).abs() < SAME);
    (!same).then(|| std::array::from_fn(|axis| target[axis] / spacing[axis]))
}

/// The number of voxels so far apart between the centers of the first and the last of `size`, halves rounded to even.
pub(crate) fn monai_size(size: [usize; 3], steps: [f64; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| {
        let last = size[axis].saturating_sub(1) as f64 / steps[axis];
        index((last + 1.0).round_ties_even()).max(1)
    })
}

/// Two samples that an output is mixed from, and the weight of the second.
pub(crate) type Mix = (usize, usize, f64);

/// What each of `to` samples that are `step` apart is mixed from, of `from` samples; beyond the last, that goes on.
pub(crate) fn stepped(from: usize, to: usize, step: f64, nearest: bool) -> Vec<Mix> {
    let end = from.saturating_sub(1);
    (0..to)
        .map(|i| {
            let position = (i as f64 * step).clamp(0.0, end as f64);
            if nearest {
                let at = index(position.round_ties_even()).min(end);
                return (at, at, 0.0);
            }
            let low = index(position.floor()).min(end);
            (low, (low + 1).min(end), position - position.floor())
        })
        .collect()
}

/// Values mixed from those of `input`, `(D, H, W)`, along each axis.
pub(crate) fn mixed<T: Real>(input: ArrayView3<'_, T>, mixes: &[Vec<Mix>; 3]) -> Array3<T> {
    let [along_z, along_y, along_x] = mixes;
    let size = [along_z.len(), along_y.len(), along_x.len()];
    let mut output = Array3::from_elem(size, T::zero());
    let slices = output.axis_iter_mut(Axis(0)).into_par_iter().zip(along_z.par_iter());
    slices.for_each(|(mut slice, &(z0, z1, z))| {
        for (mut row, &(y0, y1, y)) in slice.axis_iter_mut(Axis(0)).zip(along_y) {
            for (value, &(x0, x1, x)) in row.iter_mut().zip(along_x) {
                let line = |z: usize, y: usize| {
                    input[[z, y, x0]].wide() * (1.0 - x) + input[[z, y, x1]].wide() * x
                };
                let plane = |z: usize| line(z, y0) * (1.0 - y) + line(z, y1) * y;
                *value = T::of(plane(z0) * (1.0 - z) + plane(z1) * z);
            }
        }
    });
    output
}

/// The labels of the nearest voxels.
pub(crate) fn nearest(input: ArrayView3<'_, u16>, mixes: &[Vec<Mix>; 3]) -> Array3<u16> {
    let size = [mixes[0].len(), mixes[1].len(), mixes[2].len()];
    Array3::from_shape_fn(size, |(z, y, x)| input[[mixes[0][z].0, mixes[1][y].0, mixes[2][x].0]])
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn sizes_count_the_steps_between_the_outermost_centers() {
        // 7 voxels of 2.5 mm: 15 mm from first to last, 10 steps of 1.5 mm.
        let steps = monai_steps([2.5, 1.0, 1.0], [1.5, 2.0, 1.0]).expect("other spacings");

        assert_eq!(monai_size([7, 6, 5], steps), [11, 4, 5]);
        assert_eq!(monai_steps([1.0; 3], [1.0005; 3]), None);
        assert_eq!(monai_size([1, 1, 1], [9.0; 3]), [1, 1, 1]);
    }

    #[test]
    fn the_first_centers_coincide_and_the_last_value_goes_on() {
        let input = array![[[0.0, 10.0, 20.0]]];
        let along = [stepped(1, 1, 1.0, false), stepped(1, 1, 1.0, false)];
        let [z, y] = along;

        let output = mixed(input.view(), &[z.clone(), y.clone(), stepped(3, 4, 0.75, false)]);

        assert_eq!(output, array![[[0.0, 7.5, 15.0, 20.0]]]);
        let labels = array![[[0_u16, 1, 2]]];
        let output = nearest(labels.view(), &[z, y, stepped(3, 4, 0.75, true)]);
        // 1.5 is as near to 1 as to 2: the even one.
        assert_eq!(output, array![[[0, 1, 2, 2]]]);
    }

    /// Of `Spacing` of MONAI 1.6.1, on `i² mod 11`, and its inverse.
    #[test]
    fn values_are_those_of_monai_both_ways() {
        let input =
            Array3::from_shape_fn((3, 4, 5), |(z, y, x)| ((9 * z + 3 * y + x).pow(2) % 11) as f64);
        let steps = monai_steps([2.5, 1.0, 1.3], [1.5, 2.0, 1.0]).expect("other spacings");
        let (from, to) = ([3, 4, 5], monai_size([3, 4, 5], steps));
        let forth = |close| [0, 1, 2].map(|axis| stepped(from[axis], to[axis], steps[axis], close));
        let back = [0, 1, 2].map(|axis| stepped(to[axis], from[axis], steps[axis].recip(), false));

        let output = mixed(input.view(), &forth(false));
        let returned = mixed(output.view(), &back);

        assert_eq!(to, [4, 2, 6]);
        let expected =
            [0.0, 5.61538, 3.76923, 2.4, 4.66154, 2.96923, 4.8, 7.30769, 0.98462, 4.23077];
        for (actual, expected) in output.iter().step_by(5).zip(expected) {
            approx::assert_abs_diff_eq!(*actual, expected, epsilon = 6e-6);
        }
        let expected = [0.0, 5.85385, 1.46154, 2.15282, 3.42103, 4.6, 3.56923, 2.45385, 6.70154];
        for (actual, expected) in returned.iter().step_by(7).zip(expected) {
            approx::assert_abs_diff_eq!(*actual, expected, epsilon = 6e-6);
        }
        let close = mixed(input.view(), &forth(true));
        let some: Vec<f64> = close.iter().step_by(5).copied().collect();
        assert_eq!(some, [0.0, 5.0, 4.0, 0.0, 3.0, 1.0, 5.0, 9.0, 1.0, 5.0]);
    }
}
