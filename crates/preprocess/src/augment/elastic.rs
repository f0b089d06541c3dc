use ndarray::Array3;
use rand_chacha::ChaCha8Rng;

use crate::real::{index, single};
use crate::rng::uniform;

/// How far each voxel of a patch is moved, voxels: three smooth fields, one for each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Displacement {
    fields: [Array3<f32>; 3],
}

/// How many nodes of the coarse field there are to a standard deviation, at least.
const NODES: f64 = 3.0;
/// How far the kernel reaches, in standard deviations.
const REACH: f64 = 4.0;

impl Displacement {
    /// Draws fields for a patch of that size, `(D, H, W)`: noise between −1 and 1, blurred by a Gaussian of standard
    /// deviation `sigma`, voxels, beyond the patch 0, times `alpha`. Only `axes` are moved along, and blurred.
    ///
    /// The fields have the distribution of `elastic_deform_coordinates` of batchgenerators, but are drawn at every
    /// third of a standard deviation, and interpolated linearly between: what is left out changes within less than
    /// that.
    pub fn new(
        size: [usize; 3],
        axes: std::ops::Range<usize>,
        alpha: f64,
        sigma: f64,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let step = index((sigma / NODES).floor()).max(1);
        // Along the other axes all voxels move alike.
        let steps: [usize; 3] =
            std::array::from_fn(|axis| if axes.contains(&axis) { step } else { size[axis] });
        let nodes: [usize; 3] = std::array::from_fn(|axis| {
            if axes.contains(&axis) { (size[axis] - 1).div_ceil(steps[axis]) + 1 } else { 1 }
        });
        // Of each axis that is blurred, the sum of squared weights grows by the step.
        let scale = alpha / (step as f64).powf(axes.len() as f64 / 2.0);
        let fields = std::array::from_fn(|axis| {
            if !axes.contains(&axis) {
                return Array3::zeros(size);
            }
            let mut coarse =
                Array3::from_shape_simple_fn(nodes, || scale * uniform(-1.0, 1.0, rng));
            for axis in axes.clone() {
                blur(&mut coarse, axis, sigma / step as f64);
            }
            refined(&coarse, steps, size)
        });
        Self { fields }
    }

    /// What is added, along each axis, to the positions of a row of voxels.
    pub(super) fn row(&self, z: usize, y: usize) -> [&[f32]; 3] {
        self.fields.each_ref().map(|field| {
            let width = field.shape()[2];
            let start = (z * field.shape()[1] + y) * width;
            &field.as_slice().expect("in standard layout")[start..start + width]
        })
    }

    /// How far the voxels are moved along an axis, voxels.
    pub fn along(&self, axis: usize) -> &Array3<f32> {
        &self.fields[axis]
    }
}

/// Blurs along an axis; what lies beyond counts as 0.
fn blur(field: &mut Array3<f64>, axis: usize, sigma: f64) {
    let radius = index((REACH * sigma + 0.5).floor());
    let kernel = super::gaussian_kernel(sigma, radius);
    for mut lane in field.lanes_mut(ndarray::Axis(axis)) {
        let before = lane.to_vec();
        for (at, value) in lane.iter_mut().enumerate() {
            // Voxel `from` has the weight of its distance.
            let first = at.saturating_sub(radius);
            let last = (at + radius + 1).min(before.len());
            let weights = &kernel[first + radius - at..];
            *value =
                before[first..last].iter().zip(weights).map(|(value, weight)| value * weight).sum();
        }
    }
}

/// The field at each voxel, linearly between nodes that are so many voxels apart.
fn refined(coarse: &Array3<f64>, steps: [usize; 3], size: [usize; 3]) -> Array3<f32> {
    let near = |axis: usize, at: usize| {
        let (low, rest) = (at / steps[axis], at % steps[axis]);
        let high = (low + 1).min(coarse.shape()[axis] - 1);
        (low, high, rest as f64 / steps[axis] as f64)
    };
    Array3::from_shape_fn(size, |(z, y, x)| {
        let ((z, far, tz), (y, below, ty), (x, right, tx)) = (near(0, z), near(1, y), near(2, x));
        let mix = |low: f64, high: f64, t: f64| low + (high - low) * t;
        let line = |z: usize, y: usize| mix(coarse[[z, y, x]], coarse[[z, y, right]], tx);
        let plane = |z: usize| mix(line(z, y), line(z, below), ty);
        single(mix(plane(z), plane(far), tz))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::rng;

    #[test]
    fn fields_spread_as_blurred_noise_does_and_fall_off_at_the_edge() {
        let (alpha, sigma) = (600.0, 9.0);
        let drawn: Vec<Displacement> = (0..24)
            .map(|seed| Displacement::new([1, 96, 96], 1..3, alpha, sigma, &mut rng(seed, 0, "")))
            .collect();
        let spread = |y: usize, x: usize| {
            let squares = drawn
                .iter()
                .flat_map(|it| [1, 2].map(|axis| f64::from(it.along(axis)[[0, y, x]]).powi(2)));
            (squares.sum::<f64>() / (2 * drawn.len()) as f64).sqrt()
        };
        // Noise of variance 1/3; in two dimensions the squared weights sum to 1 / (4 π σ²).
        let expected = alpha * (1.0 / 3.0 / (4.0 * std::f64::consts::PI * sigma * sigma)).sqrt();
        let inside = [30, 40, 50, 60].map(|y| [30, 40, 50, 60].map(|x| spread(y, x)));
        let inside = inside.concat().iter().sum::<f64>() / 16.0;
        assert!((inside / expected - 1.0).abs() < 0.2, "{inside} is not {expected}");
        // At a corner only a quarter of the noise is within reach.
        let corner = [(0, 0), (0, 95), (95, 0), (95, 95)].map(|(y, x)| spread(y, x));
        let corner = corner.iter().sum::<f64>() / 4.0;
        assert!((corner / expected - 0.5).abs() < 0.25, "{corner} is not half of {expected}");
        assert!(drawn.iter().all(|it| it.along(0).iter().all(|&moved| moved == 0.0)));
        // Slices of a volume move alike.
        let volume = Displacement::new([3, 20, 20], 1..3, alpha, sigma, &mut rng(0, 0, ""));
        let slice = |z: usize| volume.along(1).index_axis(ndarray::Axis(0), z).to_owned();
        assert_eq!(slice(0), slice(2));
        assert!(slice(0).iter().any(|&moved| moved != 0.0));
    }
}
