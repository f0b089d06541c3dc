//! Where the tiles of a sliding window lie, and how much each voxel of one counts.

use ndarray::{Array3, ArrayViewMut1, Axis};

/// The first voxel of each tile along one axis, as nnU-Net places them: evenly, no further apart
/// than `step_size` tiles, the first and the last flush with the image.
///
/// `image` must be at least `tile`.
pub fn positions(image: usize, tile: usize, step_size: f64) -> Vec<usize> {
    let most = image.saturating_sub(tile) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of tiles: small, and not negative"
    )]
    let count = (most / (tile as f64 * step_size)).ceil() as usize + 1;
    let step = if count > 1 { most / (count - 1) as f64 } else { 0.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position within the image"
    )]
    let position = |index: usize| (step * index as f64).round_ties_even() as usize;
    (0..count).map(position).collect()
}

/// Standard deviation of the Gaussian, as a share of the tile.
const SIGMA_SCALE: f64 = 0.125;

/// The weight of a tile's middle voxel.
const PEAK: f64 = 10.0;

/// How much each voxel of a tile counts: a Gaussian around its middle voxel, of an eighth of the
/// tile along each axis, at most 10, never 0: [`gaussian`]. With `gaussian` false, 1 everywhere.
pub fn importance(tile: [usize; 3], gaussian: bool) -> Array3<f32> {
    if gaussian { self::gaussian(tile, SIGMA_SCALE, PEAK) } else { Array3::ones(tile) }
}

/// A Gaussian around the middle voxel of a tile, with a standard deviation of `sigma_scale` of the
/// tile along each axis, `peak` at most, and nowhere 0.
///
/// # Source
///
/// `compute_gaussian` of nnU-Net v2, in single precision.
pub fn gaussian(tile: [usize; 3], sigma_scale: f64, peak: f64) -> Array3<f32> {
    let mut map = Array3::<f64>::zeros(tile);
    map[tile.map(|extent| extent / 2)] = 1.0;
    for (axis, &extent) in tile.iter().enumerate() {
        let kernel = kernel(extent as f64 * sigma_scale);
        for line in map.lanes_mut(Axis(axis)) {
            convolve(line, &kernel);
        }
    }
    let greatest = map.iter().copied().fold(0.0, f64::max);
    #[expect(clippy::cast_possible_truncation, reason = "single precision is asked for")]
    let mut map = map.mapv(|value| (value / greatest * peak) as f32);
    let least = map.iter().copied().filter(|&value| value > 0.0).fold(f32::INFINITY, f32::min);
    map.mapv_inplace(|value| if value > 0.0 { value } else { least });
    map
}

/// A Gaussian of `sigma` voxels, cut at four of them, normalised: that of `SciPy`.
fn kernel(sigma: f64) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few voxels, not negative"
    )]
    let radius = (4.0 * sigma + 0.5) as usize;
    let weight = |offset: usize| {
        let distance = offset as f64 - radius as f64;
        (-0.5 * (distance / sigma).powi(2)).exp()
    };
    let weights: Vec<f64> = (0..=2 * radius).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// Convolves a line with a symmetric kernel, as if zeros lay beyond its ends.
fn convolve(mut line: ArrayViewMut1<'_, f64>, kernel: &[f64]) {
    if line.iter().all(|&value| value == 0.0) {
        return;
    }
    let radius = kernel.len() / 2;
    let before = line.to_vec();
    for (at, value) in line.iter_mut().enumerate() {
        let taps = kernel.iter().enumerate().filter_map(|(tap, weight)| {
            let from = (at + tap).checked_sub(radius)?;
            before.get(from).map(|value| value * weight)
        });
        *value = taps.sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_spread_evenly_and_end_with_the_image() {
        // 110 − 64 = 46 voxels to cover in steps of at most 32: two steps of 23.
        assert_eq!(positions(110, 64, 0.5), [0, 23, 46]);
        assert_eq!(positions(64, 64, 0.5), [0]);
        assert_eq!(positions(200, 96, 0.5), [0, 35, 69, 104]);
    }

    #[test]
    fn the_middle_counts_most_and_nothing_counts_zero() {
        let map = importance([1, 8, 8], true);

        let row: Vec<f32> = map.slice(ndarray::s![0, 4, ..]).to_vec();
        let expected =
            [0.003_355, 0.111_084, 1.353_516, 6.066_406, 10.0, 6.066_406, 1.353_516, 0.111_084];
        for (actual, expected) in row.iter().zip(expected) {
            approx::assert_relative_eq!(*actual, expected, max_relative = 1e-3);
        }
        assert!(map.iter().all(|&value| value > 0.0));
    }
}
