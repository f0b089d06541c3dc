use ndarray::ArrayViewMut3;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform, each_channel};
use crate::number::Interval;
use crate::real::{Real, index, offset};
use crate::rng::{happens, within};
use crate::spline::Boundary;
use crate::{Fraction, Patch};

/// Blurs a channel with a Gaussian of another width along each axis.
///
/// # Source
///
/// `GaussianBlurTransform` of batchgeneratorsv2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blur {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// How often each of its channels then is.
    pub channel_probability: Fraction,
    /// What the standard deviation is drawn from, voxels.
    pub sigma: Interval,
}

impl Default for Blur {
    fn default() -> Self {
        Self {
            probability: Fraction::literal(0.2),
            channel_probability: Fraction::literal(0.5),
            sigma: Interval::literal(0.5, 1.0),
        }
    }
}

impl Transform for Blur {
    fn apply(&self, mut patch: Patch, frame: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if happens(self.probability.get(), rng) {
            let axes = 3 - frame.rank..3;
            each_channel(&mut patch, self.channel_probability.get(), rng, |mut channel, rng| {
                for axis in axes.clone() {
                    let sigma = within(self.sigma, rng);
                    let kernel = gaussian_kernel(sigma, Self::radius(sigma));
                    blur_axis(channel.view_mut(), axis, &kernel, Boundary::Mirror);
                }
            });
        }
        patch
    }
}

impl Blur {
    /// How far the kernel reaches, voxels: its width is the odd number nearest to six standard
    /// deviations and a half voxel.
    pub fn radius(sigma: f64) -> usize {
        let width = sigma * 6.0 + 0.5;
        let rounded = width.round_ties_even();
        let odd = if index(rounded) % 2 == 1 {
            rounded
        } else if width >= rounded {
            rounded + 1.0
        } else {
            rounded - 1.0
        };
        index(odd) / 2
    }
}

/// A Gaussian of standard deviation `sigma`, voxels, cut off beyond `radius`; sums to 1.
pub fn gaussian_kernel(sigma: f64, radius: usize) -> Vec<f64> {
    let density = |i: usize| {
        let distance = i as f64 - radius as f64;
        if sigma > 0.0 {
            (-0.5 * (distance / sigma).powi(2)).exp()
        } else {
            f64::from(u8::from(i == radius))
        }
    };
    let mut kernel: Vec<f64> = (0..=2 * radius).map(density).collect();
    let sum: f64 = kernel.iter().sum();
    for weight in &mut kernel {
        *weight /= sum;
    }
    kernel
}

/// Convolves `(D, H, W)`, in standard layout, along an axis with a symmetric kernel of odd length.
/// Before its first voxel and after its last, the array is mirrored.
///
/// # Panics
///
/// Where the array is not in standard layout.
pub fn blur_axis<T: Real>(
    mut channel: ArrayViewMut3<'_, T>,
    axis: usize,
    kernel: &[f64],
    boundary: Boundary,
) {
    let length = channel.shape()[axis];
    let inner: usize = channel.shape()[axis + 1..].iter().product();
    let radius = kernel.len() / 2;
    if length < 2 || radius == 0 {
        return;
    }
    let kernel: Vec<T> = kernel.iter().map(|&weight| T::of(weight)).collect();
    // Which voxel stands at each place of the mirrored signal.
    let from: Vec<usize> = (0..length + 2 * radius)
        .map(|i| mirrored(offset(i) - offset(radius), length, boundary))
        .collect();
    let values = channel.as_slice_mut().expect("patches are in standard layout");
    let mut buffer: Vec<T> = Vec::new();
    for block in values.chunks_exact_mut(length * inner) {
        buffer.clear();
        if inner == 1 {
            buffer.extend(from.iter().map(|&i| block[i]));
            for (value, window) in block.iter_mut().zip(buffer.windows(kernel.len())) {
                *value = window
                    .iter()
                    .zip(&kernel)
                    .fold(T::zero(), |sum, (&value, &weight)| sum + weight * value);
            }
            continue;
        }
        buffer.extend_from_slice(block);
        for (i, row) in block.chunks_exact_mut(inner).enumerate() {
            row.fill(T::zero());
            for (&from, &weight) in from[i..].iter().zip(&kernel) {
                let source = &buffer[from * inner..][..inner];
                row.iter_mut().zip(source).for_each(|(sum, &value)| *sum += weight * value);
            }
        }
    }
}

fn mirrored(i: isize, length: usize, boundary: Boundary) -> usize {
    let last = offset(length) - 1;
    let i = match boundary {
        Boundary::Mirror => {
            let i = i.rem_euclid(2 * last);
            i.min(2 * last - i)
        }
        Boundary::Reflect => {
            let period = 2 * (last + 1);
            let i = i.rem_euclid(period);
            i.min(period - 1 - i)
        }
    };
    i.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn kernels_are_as_wide_as_those_of_the_source() {
        assert_eq!([0.5, 0.8, 1.0].map(Blur::radius), [1, 2, 3]);
    }

    #[test]
    fn mirrors_repeat_the_end_or_do_not() {
        let places: [isize; 5] = [-2, -1, 0, 3, 4];

        assert_eq!(places.map(|i| mirrored(i, 3, Boundary::Mirror)), [2, 1, 0, 1, 0]);
        assert_eq!(places.map(|i| mirrored(i, 3, Boundary::Reflect)), [1, 0, 0, 2, 1]);
    }

    #[test]
    fn every_axis_is_blurred_alike() {
        let kernel = [0.25, 0.5, 0.25];
        for axis in 0..3 {
            let mut point = Array3::zeros((3, 3, 3));
            point[[1, 1, 1]] = 4.0;
            blur_axis(point.view_mut(), axis, &kernel, Boundary::Reflect);

            let lane: Vec<f64> =
                point.lanes(ndarray::Axis(axis)).into_iter().nth(4).unwrap().to_vec();
            assert_eq!(lane, [1.0, 2.0, 1.0]);
        }
        let mut line = array![[[4.0]]];
        blur_axis(line.view_mut(), 0, &kernel, Boundary::Mirror);
        assert_eq!(line, array![[[4.0]]], "one voxel has nothing to mix with");
    }
}
