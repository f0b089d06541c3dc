//! Bringing images and labels to another spacing, by nnU-Net's rule or MONAI's.

use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::Truth;
use crate::grid_rule::{GridRule, Mix, mixed, monai_size, monai_steps, nearest, stepped};
use crate::real::{Real, index};
use crate::resample_labels::resample_labels;
use crate::resize::{mixes, range, resize};
use crate::spline::Interpolation;

/// Above this ratio of the largest to the smallest spacing, slices are resampled one by one.
const ANISOTROPY: f64 = 3.0;

/// How an array gets from one size to another.
///
/// # Source
///
/// `resample_data_or_seg_to_shape` of nnU-Net v2 (2.8.1), with the label rule of batchgenerators
/// 0.25.5; with [`steps`](Self::steps), `Spacing` of MONAI 1.6.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// Voxels before, `(D, H, W)`.
    pub from: [usize; 3],
    /// Voxels after, `(D, H, W)`.
    pub to: [usize; 3],
    /// The axis across thick slices, along which values are those of the nearest slice; `None`
    /// where all axes are interpolated alike.
    pub separate: Option<usize>,
    /// By [`GridRule::Monai`], how far apart the voxels after are, in voxels before; else `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<[f64; 3]>,
}

impl Resampling {
    /// Nothing to do.
    pub fn none(size: [usize; 3]) -> Self {
        Self { from: size, to: size, separate: None, steps: None }
    }

    /// From `size` voxels of `spacing` mm to voxels of `target` mm, by a rule.
    pub fn by_rule(rule: GridRule, size: [usize; 3], spacing: [f64; 3], target: [f64; 3]) -> Self {
        match rule {
            GridRule::Nnunet => Self::to_spacing(size, spacing, target),
            GridRule::Monai => monai_steps(spacing, target).map_or(Self::none(size), |steps| {
                let to = monai_size(size, steps);
                Self { from: size, to, separate: None, steps: Some(steps) }
            }),
        }
    }

    /// Which voxels after each voxel before is mixed from along an axis, on the way back: two neighbours and the
    /// weight of the second. With `nearest`, that weight is 0.
    pub fn back(&self, axis: usize, nearest: bool) -> Vec<(usize, usize, f64)> {
        let (from, to) = (self.from[axis], self.to[axis]);
        match self.steps {
            Some(steps) => stepped(to, from, steps[axis].recip(), nearest),
            None => mixes(to, from, nearest),
        }
    }

    fn forth(&self, steps: [f64; 3], nearest: bool) -> [Vec<Mix>; 3] {
        std::array::from_fn(|axis| stepped(self.from[axis], self.to[axis], steps[axis], nearest))
    }

    /// From `size` voxels of `spacing` mm to voxels of `target` mm.
    pub fn to_spacing(size: [usize; 3], spacing: [f64; 3], target: [f64; 3]) -> Self {
        let to = new_size(size, spacing, target);
        Self { from: size, to, separate: separate_axis(spacing, target), steps: None }
    }

    /// Whether nothing is resampled: by nnU-Net's rule, whether sizes are equal.
    pub fn is_identity(&self) -> bool {
        self.from == self.to && self.steps.is_none()
    }

    /// Resamples intensities `(D, H, W)`, `across` thick slices where there are any. The result
    /// stays in the input's range.
    pub fn intensities<T: Real>(
        &self,
        input: ArrayView3<'_, T>,
        interpolation: Interpolation,
        across: Interpolation,
    ) -> Array3<T> {
        if let Some(steps) = self.steps {
            let nearest = interpolation == Interpolation::Nearest;
            return mixed(input, &self.forth(steps, nearest));
        }
        let Some(axis) = self.separate else {
            return resize(input, self.to, [interpolation; 3], true);
        };
        let mut orders = [interpolation; 3];
        orders[axis] = across;
        let mut slices = self.to;
        slices[axis] = self.from[axis];
        let mut resized = resize(input, slices, orders, false);
        if interpolation > Interpolation::Linear && !self.is_identity() {
            // Each slice within its own range, as if it were an image of its own.
            let sources = input.axis_iter(Axis(axis));
            for (mut slice, source) in resized.axis_iter_mut(Axis(axis)).zip(sources) {
                let (low, high) = range(source.iter());
                slice.mapv_inplace(|value| value.max(low).min(high));
            }
        }
        resize(resized.view(), self.to, orders, false)
    }

    /// Resamples class probabilities or logits `(C, D, H, W)`, class by class: linearly, and from
    /// the nearest slice across thick ones. Where classes sum to 1 before, they do after.
    pub fn probabilities(&self, input: ArrayView4<'_, f32>) -> Array4<f32> {
        let [d, h, w] = self.to;
        let mut output = Array4::zeros((input.shape()[0], d, h, w));
        for (class, mut to) in input.axis_iter(Axis(0)).zip(output.axis_iter_mut(Axis(0))) {
            to.assign(&match self.steps {
                Some(steps) => mixed(class, &self.forth(steps, false)),
                None => resize(class, self.to, self.linear(), false),
            });
        }
        output
    }

    /// Resamples class indices `(D, H, W)`: of the indices around a position, that with the most
    /// weight in linear interpolation; of equal ones, that of the nearest voxel. By MONAI's rule, that of the nearest.
    pub fn labels(&self, input: ArrayView3<'_, u16>) -> Array3<u16> {
        match self.steps {
            Some(steps) => nearest(input, &self.forth(steps, true)),
            None => resample_labels(input, self.to, self.separate),
        }
    }

    /// Resamples a truth. Voxels of a soft truth that are mostly ignored are ignored afterwards.
    pub fn truth(&self, truth: &Truth) -> Truth {
        match truth {
            Truth::Hard(labels) => Truth::Hard(self.labels(labels.view())),
            Truth::Soft(soft) => {
                let mut soft = self.probabilities(soft.view());
                settle_ignored(&mut soft);
                Truth::Soft(soft)
            }
        }
    }

    fn linear(&self) -> [Interpolation; 3] {
        let mut orders = [Interpolation::Linear; 3];
        if let Some(axis) = self.separate {
            orders[axis] = Interpolation::Nearest;
        }
        orders
    }
}

/// Makes probabilities `(C, D, H, W)` sum to 1 again where at least half of a voxel counts, and to
/// 0 where most of it is ignored.
pub(crate) fn settle_ignored(soft: &mut Array4<f32>) {
    const ROUNDING: f32 = 1e-5;
    let sums = soft.sum_axis(Axis(0));
    if sums.iter().all(|sum| (sum - 1.0).abs() < ROUNDING) {
        return;
    }
    let scale = sums.mapv_into(|sum| if sum > 0.5 { sum.recip() } else { 0.0 });
    for mut channel in soft.axis_iter_mut(Axis(0)) {
        channel *= &scale;
    }
}

/// The number of voxels of `target` mm that cover `size` voxels of `spacing` mm, at least 1; halves
/// are rounded to even.
pub fn new_size(size: [usize; 3], spacing: [f64; 3], target: [f64; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| {
        let voxels = spacing[axis] / target[axis] * size[axis] as f64;
        index(voxels.round_ties_even()).max(1)
    })
}

/// The axis across thick slices, where the spacing, mm, before or after differs by more than a
/// factor of 3 between axes, and one axis alone has the largest.
pub fn separate_axis(spacing: [f64; 3], target: [f64; 3]) -> Option<usize> {
    let extremes = |spacing: [f64; 3]| range(spacing.iter());
    let anisotropic = |&spacing: &[f64; 3]| {
        let (smallest, largest) = extremes(spacing);
        largest / smallest > ANISOTROPY
    };
    let spacing = [spacing, target].into_iter().find(anisotropic)?;
    let (_, largest) = extremes(spacing);
    #[expect(clippy::float_cmp, reason = "axes of one spacing have the very same number")]
    let mut coarse = (0..3).filter(|&axis| largest / spacing[axis] == 1.0);
    let axis = coarse.next()?;
    coarse.next().is_none().then_some(axis)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;

    #[test]
    fn sizes_are_rounded_half_to_even() {
        assert_eq!(new_size([5, 7, 9], [1.5, 0.5, 1.0], [1.0, 1.0, 2.0]), [8, 4, 4]);
        assert_eq!(new_size([1, 1, 1], [1.0; 3], [9.0; 3]), [1, 1, 1]);
    }

    #[test]
    fn one_coarse_axis_is_separate_and_two_are_not() {
        assert_eq!(separate_axis([5.0, 1.0, 1.0], [1.0; 3]), Some(0));
        assert_eq!(separate_axis([1.0; 3], [0.9, 0.9, 3.0]), Some(2));
        assert_eq!(separate_axis([3.0, 3.0, 0.8], [1.0; 3]), None);
        assert_eq!(separate_axis([3.0, 1.0, 1.0], [1.0; 3]), None);
    }

    #[test]
    fn slices_are_resampled_one_by_one_where_they_are_thick() {
        let input =
            Array3::from_shape_fn((3, 3, 3), |(z, y, x)| ((9 * z + 3 * y + x).pow(2) % 11) as f64);
        let expected = [
            0., 0., 2.10851, 4.35558, 6.63134, 4.69843, 2.96466, 2.7, 7.99411, 6.33099, 5.0229,
            5.02802, 2.39031, 3.58087, 6.77561, 9.,
        ];

        let rule = Resampling::to_spacing([3; 3], [5.0, 1.0, 1.0], [3.0, 0.75, 0.75]);
        let output = rule.intensities(input.view(), Interpolation::Cubic, Interpolation::Nearest);

        assert_eq!(output.shape(), [5, 4, 4]);
        for (actual, expected) in output.iter().zip(expected) {
            approx::assert_abs_diff_eq!(*actual, expected, epsilon = 2e-5);
        }
        assert_eq!(output.slice(s![0, .., ..]), output.slice(s![1, .., ..]));
    }

    #[test]
    fn monai_s_rule_leads_there_and_back_between_the_same_centers() {
        let (size, spacing, target) = ([1, 1, 5], [1.0; 3], [1.0, 1.0, 0.5]);
        let rule = Resampling::by_rule(GridRule::Monai, size, spacing, target);
        let input = Array3::from_shape_fn((1, 1, 5), |(_, _, x)| x as f64);

        let output = rule.intensities(input.view(), Interpolation::Linear, Interpolation::Nearest);

        let expected: Vec<f64> = (0..9).map(|i| 0.5 * f64::from(i)).collect();
        assert_eq!(output.into_raw_vec_and_offset().0, expected);
        let back: Vec<_> = rule.back(2, false).into_iter().map(|(low, _, _)| low).collect();
        assert_eq!(back, [0, 2, 4, 6, 8]);
        assert!(Resampling::by_rule(GridRule::Monai, size, spacing, spacing).is_identity());
    }

    #[test]
    fn half_ignored_voxels_are_settled_one_way_or_the_other() {
        // Linear: sums 1, 0.75, 0.25, 0 between a voxel that counts and one that is ignored.
        let soft = Array4::from_shape_vec((2, 1, 1, 2), vec![0.5, 0.0, 0.5, 0.0]);
        let rule = Resampling { from: [1, 1, 2], to: [1, 1, 4], separate: None, steps: None };

        let truth = rule.truth(&Truth::Soft(soft.unwrap()));

        let Truth::Soft(soft) = truth else { panic!("soft stays soft") };
        assert_eq!(soft.sum_axis(Axis(0)), ndarray::array![[[1.0, 1.0, 0.0, 0.0]]]);
    }
}
