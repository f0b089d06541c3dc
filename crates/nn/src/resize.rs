//! Resizing by interpolation.

use candle::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::axis_map::{AxisMap, map_axes};
use crate::extents::{Extents, per_axis};

/// How values between voxels are found. All are PyTorch's, voxel for voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Interpolation {
    /// The voxel at `⌊o · ratio⌋`: off by half a voxel, and what networks were trained with.
    Nearest,
    /// The voxel whose center is nearest.
    NearestExact,
    /// Linear along each axis: bilinear in 2D, trilinear in 3D.
    Linear {
        /// Whether the centers of the first and last voxels stay where they are; else the outer
        /// edges of these voxels do.
        align_corners: bool,
    },
    /// Cubic convolution along each axis, with `a = −0.75`: bicubic in 2D.
    Cubic {
        /// As for [`Interpolation::Linear`].
        align_corners: bool,
    },
}

/// `x`, `(N, *S, C)`, resized to the spatial extents `size`.
///
/// # Errors
///
/// Where `size` does not have one entry, at least 1, for each spatial axis.
///
/// # Source
///
/// Keys: *Cubic Convolution Interpolation for Digital Image Processing*, 1981, for
/// [`Interpolation::Cubic`].
pub fn resize(x: &Tensor, size: &[usize], interpolation: Interpolation) -> Result<Tensor> {
    let op = "resize";
    let input = Extents::of(op, x)?;
    per_axis(op, "size", size, input.rank(), 1)?;
    let maps: Vec<AxisMap> = input
        .space
        .iter()
        .zip(size)
        .map(|(&inputs, &outputs)| {
            map(inputs, outputs, inputs as f64 / outputs as f64, interpolation)
        })
        .collect();
    map_axes(op, x, &maps)
}

/// `x`, `(N, *S, C)`, resized by a factor for each axis, to the extents `⌊S · factor⌋`.
///
/// Where that is no whole number, this differs from [`resize`] to those extents: voxels keep the
/// distance that `factor` says, and a remainder is cut off at the far side.
///
/// # Errors
///
/// Where `factors` does not have one positive entry for each spatial axis, or an extent becomes 0.
pub fn resize_by(x: &Tensor, factors: &[f64], interpolation: Interpolation) -> Result<Tensor> {
    let op = "resize_by";
    let input = Extents::of(op, x)?;
    if factors.len() != input.rank() {
        let (actual, expected) = (factors.len(), input.rank());
        return Err(Error::Axes { op, setting: "factors", actual, expected }.into());
    }
    let scaled = |(&inputs, &factor): (&usize, &f64)| (inputs as f64 * factor).floor();
    let size: Vec<f64> = input.space.iter().zip(factors).map(scaled).collect();
    if size.iter().any(|extent| !(1.0..1e9).contains(extent)) {
        candle::bail!("{op}: factors {factors:?} turn extents {:?} into {size:?}", input.space);
    }
    let maps: Vec<AxisMap> = (0..input.rank())
        .map(|axis| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let outputs = size[axis] as usize;
            map(input.space[axis], outputs, 1.0 / factors[axis], interpolation)
        })
        .collect();
    map_axes(op, x, &maps)
}

/// The map from `inputs` to `outputs` voxels, `ratio` input voxels apart.
fn map(inputs: usize, outputs: usize, ratio: f64, interpolation: Interpolation) -> AxisMap {
    let last = inputs - 1;
    match interpolation {
        Interpolation::Nearest => {
            AxisMap::new(inputs, outputs, |o| [(nearest(o as f32, ratio, last), 1.0)])
        }
        Interpolation::NearestExact => {
            AxisMap::new(inputs, outputs, |o| [(nearest(o as f32 + 0.5, ratio, last), 1.0)])
        }
        Interpolation::Linear { align_corners } => AxisMap::new(inputs, outputs, |o| {
            let at = position(o, inputs, outputs, ratio, align_corners).clamp(0.0, last as f64);
            let (below, rest) = split(at);
            let below = below.cast_unsigned();
            let above = (below + 1).min(last);
            [(below, 1.0 - rest), (above, rest)].into_iter().filter(|&(_, weight)| weight != 0.0)
        }),
        Interpolation::Cubic { align_corners } => AxisMap::new(inputs, outputs, |o| {
            let (below, rest) = split(position(o, inputs, outputs, ratio, align_corners));
            let weights = cubic(rest);
            (0..4).map(move |tap| {
                let at = (below + tap - 1).clamp(0, last.cast_signed());
                (at.cast_unsigned(), weights[tap.cast_unsigned()])
            })
        }),
    }
}

/// The voxel that PyTorch finds, which computes in single precision.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the extent")]
fn nearest(output: f32, ratio: f64, last: usize) -> usize {
    ((output * ratio as f32).floor() as usize).min(last)
}

/// Where the center of output voxel `o` lies, in input voxels.
fn position(o: usize, inputs: usize, outputs: usize, ratio: f64, align_corners: bool) -> f64 {
    match (align_corners, outputs) {
        (false, _) => ratio * (o as f64 + 0.5) - 0.5,
        (true, 1) => 0.0,
        (true, _) => (inputs - 1) as f64 / (outputs - 1) as f64 * o as f64,
    }
}

/// The whole part and the rest, which is not negative.
#[expect(clippy::cast_possible_truncation, reason = "positions are near the input")]
fn split(at: f64) -> (isize, f64) {
    (at.floor() as isize, at - at.floor())
}

/// The weights of the voxels at −1, 0, 1 and 2 for a value at `t`, from 0 to 1.
fn cubic(t: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolating_weights_sum_to_one() {
        for t in [0.0, 0.25, 0.5, 0.9] {
            approx::assert_abs_diff_eq!(cubic(t).iter().sum::<f64>(), 1.0, epsilon = 1e-12);
        }
    }

    #[test]
    fn doubling_puts_outputs_at_quarters() {
        let map = map(3, 6, 0.5, Interpolation::Linear { align_corners: false });

        assert_eq!(map.terms(0), [(0, 1.0)]);
        assert_eq!(map.terms(1), [(0, 0.75), (1, 0.25)]);
        assert_eq!(map.terms(2), [(0, 0.25), (1, 0.75)]);
    }
}
