//! Label smoothing: doubt where none was written down.

use ndarray::{Array3, Array4, ArrayView3, Axis, Zip};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::real::{Real, label, offset, single};
use crate::{Error, Fraction, Result, Truth};

/// Moves some probability from the labelled class to all classes alike.
///
/// With `t` one-hot over `C` classes, a smoothed voxel gets `(1 − epsilon) · t + epsilon / C`.
/// Ignored voxels stay ignored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LabelSmoothing {
    /// At every voxel.
    Uniform {
        /// How much probability is moved.
        epsilon: Fraction,
    },
    /// At voxels whose neighborhood holds another class, on both sides of an edge; the rest stays
    /// hard. A neighborhood with an ignored voxel is left alone, and the end of the image is no
    /// edge.
    ///
    /// # Source
    ///
    /// Wang et al., *Dice Semimetric Losses*, MICCAI 2023,
    /// [arXiv:2303.16296](https://arxiv.org/abs/2303.16296): epsilon 0.5, a square of 3 voxels.
    /// For networks of volumes, the square becomes a cube.
    Boundary {
        /// How much probability is moved.
        epsilon: Fraction,
        /// Width of the neighborhood, voxels, an odd number.
        kernel: usize,
    },
    /// Each voxel is half its own label, and half the mean of those around it, near ones counting more: a
    /// Gaussian without its middle. Inside a class nothing changes; at an edge doubt depends on how much of
    /// the neighborhood is of another class. The end of the image goes on as it is; ignored neighbors count
    /// for nothing. Width and sigma are voxels, along the axes that an image of a rank has.
    ///
    /// # Source
    ///
    /// Islam, Glocker: *Spatially Varying Label Smoothing*, IPMI 2021,
    /// [arXiv:2104.05788](https://arxiv.org/abs/2104.05788): sigma 1, a kernel of 3 voxels.
    SpatiallyVarying {
        /// Width of the Gaussian, voxels.
        sigma: f64,
        /// Width of the neighborhood, voxels, an odd number.
        kernel: usize,
    },
}

impl LabelSmoothing {
    /// Whether its settings make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the kernel is even or has no neighbors, or it or sigma is too large.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Uniform { .. } => Ok(()),
            Self::Boundary { kernel, .. } | Self::SpatiallyVarying { kernel, .. }
                if !(3..=WIDEST).contains(&kernel) =>
            {
                Err(Error::Settings(format!(
                    "a neighborhood of {kernel} voxels; use an odd number from 3 to {WIDEST}"
                )))
            }
            Self::SpatiallyVarying { sigma, .. } if !(0.2..=100.0).contains(&sigma) => {
                Err(Error::Settings(format!("a sigma of {sigma} voxels; use one from 0.2 to 100")))
            }
            Self::Boundary { kernel, .. } | Self::SpatiallyVarying { kernel, .. } => {
                expect_odd(kernel)
            }
        }
    }

    /// Smooths a truth of `classes` classes; with `rank` 2, each slice by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the kernel is even, or where the boundary of a soft truth is
    /// asked for, which has none.
    pub fn apply(self, truth: &Truth, classes: usize, rank: usize) -> Result<Truth> {
        self.check()?;
        let keep = |epsilon: Fraction| single(1.0 - epsilon.get());
        let spread = |epsilon: Fraction| single(epsilon.get() / classes as f64);
        let mut soft = truth.to_soft(classes);
        match (self, truth) {
            (Self::Uniform { epsilon }, _) => {
                let ignored = truth.weight(classes);
                for mut channel in soft.axis_iter_mut(Axis(0)) {
                    channel.mapv_inplace(|p| keep(epsilon) * p + spread(epsilon));
                    if let Some(weight) = &ignored {
                        channel *= weight;
                    }
                }
            }
            (Self::Boundary { epsilon, kernel }, Truth::Hard(labels)) => {
                let boundary = label_boundary(labels.view(), classes, kernel, rank)?;
                for mut channel in soft.axis_iter_mut(Axis(0)) {
                    Zip::from(&mut channel).and(&boundary).for_each(|p, &boundary| {
                        if boundary {
                            *p = keep(epsilon) * *p + spread(epsilon);
                        }
                    });
                }
            }
            (Self::SpatiallyVarying { sigma, kernel }, _) => {
                let kernel = around(sigma, kernel, rank);
                soft = blended(&soft, &kernel);
            }
            (Self::Boundary { .. }, Truth::Soft(_)) => {
                let text = "label smoothing at the boundary needs hard labels; use a hard fusion \
                            such as majority, or uniform smoothing";
                return Err(Error::Settings(text.to_owned()));
            }
        }
        Ok(Truth::Soft(soft))
    }
}

/// The widest neighborhood, voxels.
const WIDEST: usize = 31;

/// A Gaussian of `kernel` voxels without its middle: steps `(z, y, x)` to neighbors, and their weights.
fn around(sigma: f64, kernel: usize, rank: usize) -> Vec<([isize; 3], f64)> {
    let radius = offset(kernel / 2);
    let depth = if rank == 2 { 0 } else { radius };
    let mut all = Vec::new();
    for z in -depth..=depth {
        for y in -radius..=radius {
            for x in -radius..=radius {
                let square = (z * z + y * y + x * x) as f64;
                if square > 0.0 {
                    all.push(([z, y, x], (-square / (2.0 * sigma * sigma)).exp()));
                }
            }
        }
    }
    all
}

/// Probabilities `(C, D, H, W)`, each voxel half its own and half the weighted mean of its neighbors; one
/// without neighbors that count stays.
fn blended(soft: &Array4<f32>, kernel: &[([isize; 3], f64)]) -> Array4<f32> {
    let counted = soft.sum_axis(Axis(0)).mapv(|sum| sum > 0.5);
    let (_, d, h, w) = soft.dim();
    let last = [d, h, w].map(|extent| offset(extent) - 1);
    let at = |[z, y, x]: [usize; 3], mut voxel: ndarray::ArrayViewMut1<'_, f32>| {
        let near = |step: &[isize; 3]| {
            let [z, y, x] = [z, y, x].map(offset);
            let at = [z + step[0], y + step[1], x + step[2]];
            let at: [usize; 3] =
                std::array::from_fn(|axis| at[axis].clamp(0, last[axis]).unsigned_abs());
            counted[at].then_some(at)
        };
        let neighbors: Vec<_> =
            kernel.iter().filter_map(|(step, weight)| Some((near(step)?, *weight))).collect();
        let total: f64 = neighbors.iter().map(|(_, weight)| weight).sum();
        if total > 0.0 {
            for (class, value) in voxel.iter_mut().enumerate() {
                let shares = neighbors
                    .iter()
                    .map(|&([z, y, x], weight)| weight * f64::from(soft[[class, z, y, x]]));
                *value = single(f64::midpoint(f64::from(*value), shares.sum::<f64>() / total));
            }
        }
    };
    let mut all = soft.clone();
    all.axis_iter_mut(Axis(1)).into_par_iter().enumerate().for_each(|(z, mut slice)| {
        for y in 0..h {
            for x in (0..w).filter(|&x| counted[[z, y, x]]) {
                at([z, y, x], slice.slice_mut(ndarray::s![.., y, x]));
            }
        }
    });
    all
}

fn expect_odd(kernel: usize) -> Result<()> {
    if kernel.is_multiple_of(2) {
        return Err(Error::Settings(format!(
            "a neighborhood of {kernel} voxels has no middle; use an odd number"
        )));
    }
    Ok(())
}

/// Where a cube of `kernel` voxels around a voxel, with `rank` 2 a square in its slice, holds more than one
/// class, and no ignored voxel (index `classes` or more), `(D, H, W)`. Only voxels of the image are looked at.
///
/// # Errors
///
/// [`Error::Settings`], where the kernel is even.
pub fn label_boundary(
    labels: ArrayView3<'_, u16>,
    classes: usize,
    kernel: usize,
    rank: usize,
) -> Result<Array3<bool>> {
    expect_odd(kernel)?;
    let radius = kernel / 2;
    let (mut smallest, mut largest) = (labels.to_owned(), labels.to_owned());
    for axis in 3 - rank.min(3)..3 {
        smallest = windowed(&smallest, axis, radius, u16::min);
        largest = windowed(&largest, axis, radius, u16::max);
    }
    let ignore = label(classes);
    Ok(Zip::from(&smallest).and(&largest).map_collect(|&low, &high| low != high && high < ignore))
}

/// The smallest or largest value within `radius` voxels along an axis.
fn windowed(
    input: &Array3<u16>,
    axis: usize,
    radius: usize,
    pick: fn(u16, u16) -> u16,
) -> Array3<u16> {
    let length = input.shape()[axis];
    let mut output = input.clone();
    for shift in 1..=radius.min(length - 1) {
        let here = length - shift;
        for (to, from) in [(0..here, shift..length), (shift..length, 0..here)] {
            let mut target = output.slice_axis_mut(Axis(axis), to.into());
            let source = input.slice_axis(Axis(axis), from.into());
            Zip::from(&mut target)
                .and(&source)
                .for_each(|value, &other| *value = pick(*value, other));
        }
    }
    output
}

/// A map of the foreground's probability, `(D, H, W)`, as two classes, `(2, D, H, W)`, and where
/// it counts: a voxel that holds `ignore` gets 0 in both classes.
pub fn soft_from_foreground<T: Real>(
    foreground: ArrayView3<'_, T>,
    ignore: Option<T>,
) -> (Array4<T>, Array3<bool>) {
    let kept = foreground.mapv(|p| ignore != Some(p));
    let of = |class: fn(T) -> T| {
        let value = |&p: &T, &kept: &bool| if kept { class(p) } else { T::zero() };
        Zip::from(&foreground).and(&kept).map_collect(value)
    };
    let (d, h, w) = foreground.dim();
    let mut soft = Array4::from_elem((2, d, h, w), T::zero());
    soft.index_axis_mut(Axis(0), 0).assign(&of(|p| T::one() - p));
    soft.index_axis_mut(Axis(0), 1).assign(&of(|p| p));
    (soft, kept)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    const HALF: Fraction = Fraction::literal(0.5);

    #[test]
    fn both_sides_of_an_edge_are_smoothed_and_nothing_else() -> anyhow::Result<()> {
        let truth = Truth::Hard(array![[[0, 0, 1, 1]]]);
        let smoothing = LabelSmoothing::Boundary { epsilon: HALF, kernel: 3 };

        let Truth::Soft(soft) = smoothing.apply(&truth, 2, 3)? else { anyhow::bail!("hard") };

        assert_eq!(soft.index_axis(Axis(0), 1), array![[[0.0, 0.25, 0.75, 1.0]]]);
        assert_eq!(soft.sum_axis(Axis(0)), Array3::<f32>::ones((1, 1, 4)));
        Ok(())
    }

    #[test]
    fn doubt_grows_with_the_share_of_other_classes_around() -> anyhow::Result<()> {
        let smoothing = |kernel| LabelSmoothing::SpatiallyVarying { sigma: 1.0, kernel };
        let labels = Array3::from_shape_fn((3, 5, 6), |(_, _, x)| u16::from(x >= 3));
        let truth = Truth::Hard(labels.clone());
        let share = |dimensions: usize| {
            // Of the weights around: those of one face, against all but the middle.
            let (edge, line) = ((-0.5f64).exp(), 1.0 + 2.0 * (-0.5f64).exp());
            let face = edge * line.powi(i32::try_from(dimensions - 1).unwrap_or_default());
            face / (line.powi(i32::try_from(dimensions).unwrap_or_default()) - 1.0)
        };
        for rank in [2, 3] {
            let smoothed = smoothing(3).apply(&truth, 2, rank)?.to_soft(2);

            let row = smoothed.slice(ndarray::s![1, 1, 2, ..]);
            let doubt = single(share(rank) / 2.0);
            for (found, expected) in row.iter().zip([0.0, 0.0, doubt, 1.0 - doubt, 1.0, 1.0]) {
                assert!((found - expected).abs() < 1e-6, "{row} of rank {rank}, {doubt}");
            }
            let sums = smoothed.sum_axis(Axis(0));
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
        }
        assert!(smoothing(4).apply(&truth, 2, 3).is_err());
        Ok(())
    }

    #[test]
    fn neighbors_without_opinion_count_for_nothing() -> anyhow::Result<()> {
        let truth = Truth::Hard(array![[[0, 1, 2, 1]]]);
        let smoothing = LabelSmoothing::SpatiallyVarying { sigma: 1.0, kernel: 3 };

        let Truth::Soft(soft) = smoothing.apply(&truth, 2, 2)? else { anyhow::bail!("hard") };

        // The slice goes on as it is, so that the second sees itself twice and the first three times.
        let (near, far) = ((-0.5f64).exp(), (-1.0f64).exp());
        let other = (near + 2.0 * far) / (3.0 * near + 2.0 * far);
        assert!((soft[[0, 0, 0, 1]] - single(other / 2.0)).abs() < 1e-6, "{soft}");
        let certain = |at: usize| [soft[[0, 0, 0, at]], soft[[1, 0, 0, at]]];
        assert_eq!((certain(2), certain(3)), ([0.0, 0.0], [0.0, 1.0]));
        Ok(())
    }

    #[test]
    fn uniform_smoothing_leaves_ignored_voxels_ignored() -> anyhow::Result<()> {
        let truth = Truth::Hard(array![[[0, 1, 2]]]);

        let smoothed = LabelSmoothing::Uniform { epsilon: HALF }.apply(&truth, 2, 3)?;

        assert_eq!(smoothed.to_soft(2).index_axis(Axis(0), 1), array![[[0.25, 0.75, 0.0]]]);
        assert_eq!(smoothed.weight(2), truth.weight(2));
        Ok(())
    }

    #[test]
    fn boundaries_of_soft_labels_and_even_kernels_are_refused() {
        let smoothing = |kernel| LabelSmoothing::Boundary { epsilon: HALF, kernel };
        let soft = Truth::Soft(Array4::ones((1, 1, 1, 1)));

        let error = smoothing(3).apply(&soft, 1, 3).unwrap_err().to_string();
        assert!(error.starts_with("label smoothing at the boundary needs hard labels"), "{error}");
        let error = smoothing(4).apply(&Truth::Hard(array![[[0]]]), 1, 3).unwrap_err().to_string();
        assert_eq!(error, "a neighborhood of 4 voxels has no middle; use an odd number");
    }
}
