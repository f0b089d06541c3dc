//! Splines of order 0 to 3: their weights, and the filter that makes them pass through the data.
//!
//! Unser, Aldroubi, Eden: *B-spline signal processing*, IEEE TSP 41(2), 1993; boundaries as in
//! `scipy.ndimage`.

use ndarray::{Array3, ArrayView3, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::real::{Real, signed};

/// How values between voxels are found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The value of the nearest voxel: spline order 0.
    Nearest,
    /// Linear: spline order 1.
    Linear,
    /// Quadratic spline: order 2.
    Quadratic,
    /// Cubic spline: order 3.
    Cubic,
}

/// What a signal is like before its first sample and after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Mirrored at the outer samples, which are not repeated: `c b | a b c | b a`.
    Mirror,
    /// Mirrored at the outer edges, which repeats the outer samples: `b a | a b c | c b`.
    Reflect,
}

impl Interpolation {
    /// The spline of this order, 0 to 3.
    pub const fn of_order(order: usize) -> Option<Self> {
        match order {
            0 => Some(Self::Nearest),
            1 => Some(Self::Linear),
            2 => Some(Self::Quadratic),
            3 => Some(Self::Cubic),
            _ => None,
        }
    }

    /// How many samples a value depends on, along one axis.
    pub(crate) const fn taps(self) -> usize {
        match self {
            Self::Nearest => 1,
            Self::Linear => 2,
            Self::Quadratic => 3,
            Self::Cubic => 4,
        }
    }

    /// The pole of the filter that splines of this order need; `None` where samples will do.
    pub(crate) fn pole(self) -> Option<f64> {
        match self {
            Self::Nearest | Self::Linear => None,
            Self::Quadratic => Some(8f64.sqrt() - 3.0),
            Self::Cubic => Some(3f64.sqrt() - 2.0),
        }
    }

    /// The first sample that the value at `position` depends on, and the weights of that and the
    /// following ones; those beyond [`Interpolation::taps`] are 0.
    pub(crate) fn weights(self, position: f64) -> (isize, [f64; 4]) {
        match self {
            Self::Nearest => (signed((position + 0.5).floor()), [1.0, 0.0, 0.0, 0.0]),
            Self::Linear => {
                let first = position.floor();
                let t = position - first;
                (signed(first), [1.0 - t, t, 0.0, 0.0])
            }
            Self::Quadratic => {
                let middle = (position + 0.5).floor();
                let t = position - middle;
                let centre = 0.75 - t * t;
                let left = 0.5 * (0.5 - t) * (0.5 - t);
                (signed(middle) - 1, [left, centre, 1.0 - left - centre, 0.0])
            }
            Self::Cubic => {
                let first = position.floor();
                let (t, u) = (position - first, 1.0 - (position - first));
                let outer = u * u * u / 6.0;
                let left = (t * t * (t - 2.0) * 3.0 + 4.0) / 6.0;
                let right = (u * u * (u - 2.0) * 3.0 + 4.0) / 6.0;
                (signed(first) - 1, [outer, left, right, 1.0 - outer - left - right])
            }
        }
    }
}

/// Filters rows of `lanes` values each, so that splines with a pole pass through the data: the
/// signal runs from row to row, and each lane is a signal of its own.
pub(crate) fn filter_rows(rows: &mut [f64], lanes: usize, pole: f64, boundary: Boundary) {
    let count = rows.len() / lanes;
    if count < 2 {
        return;
    }
    let gain = (1.0 - pole) * (1.0 - 1.0 / pole);
    for value in rows.iter_mut() {
        *value *= gain;
    }
    let row = |i: usize| i * lanes..(i + 1) * lanes;

    // Terms of the start are powers of the pole; after 64 they are below any f64's rounding.
    let terms = count.min(64);
    let mut start: Vec<f64> = rows[row(0)].to_vec();
    match boundary {
        Boundary::Mirror => {
            let last = pole.powi(power(count - 1));
            add(&mut start, &rows[row(count - 1)], last);
            let mut factor = pole;
            for i in 1..terms.min(count - 1) {
                add(&mut start, &rows[row(i)], factor);
                add(&mut start, &rows[row(count - 1 - i)], factor * last);
                factor *= pole;
            }
            for value in &mut start {
                *value /= 1.0 - last * last;
            }
        }
        Boundary::Reflect => {
            let last = pole.powi(power(count));
            add(&mut start, &rows[row(count - 1)], last);
            let mut factor = pole;
            for i in 1..terms {
                if i < count - 1 {
                    add(&mut start, &rows[row(count - 1 - i)], factor * last);
                } else {
                    // scipy has overwritten the first sample by now, and adds what it finds.
                    for value in &mut start {
                        *value += factor * last * *value;
                    }
                }
                add(&mut start, &rows[row(i)], factor);
                factor *= pole;
            }
            let scale = pole / (1.0 - last * last);
            for (value, &sample) in start.iter_mut().zip(&rows[row(0)]) {
                *value = *value * scale + sample;
            }
        }
    }
    rows[row(0)].copy_from_slice(&start);
    for i in 1..count {
        let (before, after) = rows.split_at_mut(i * lanes);
        add(&mut after[..lanes], &before[(i - 1) * lanes..], pole);
    }
    let (before, end) = rows.split_at_mut((count - 1) * lanes);
    match boundary {
        Boundary::Mirror => {
            let scale = pole / (pole * pole - 1.0);
            for (value, &before) in end.iter_mut().zip(&before[(count - 2) * lanes..]) {
                *value = (pole * before + *value) * scale;
            }
        }
        Boundary::Reflect => end.iter_mut().for_each(|value| *value *= pole / (pole - 1.0)),
    }
    for i in (0..count - 1).rev() {
        let (before, after) = rows.split_at_mut((i + 1) * lanes);
        for (value, &next) in before[i * lanes..].iter_mut().zip(&after[..lanes]) {
            *value = pole * (next - *value);
        }
    }
}

fn add(sum: &mut [f64], values: &[f64], factor: f64) {
    for (sum, &value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

fn power(exponent: usize) -> i32 {
    i32::try_from(exponent).unwrap_or(i32::MAX)
}

/// The coefficients of the spline that passes through all voxels of `(D, H, W)`, in `f64`. Orders
/// 0 and 1 need none: they get the voxels.
pub fn spline_coefficients<T: Real>(
    input: ArrayView3<'_, T>,
    interpolation: Interpolation,
    boundary: Boundary,
) -> Array3<f64> {
    let mut output = input.mapv(Real::wide);
    let Some(pole) = interpolation.pole() else { return output };
    for axis in 0..3 {
        for mut lane in output.lanes_mut(Axis(axis)) {
            let mut signal = lane.to_vec();
            filter_rows(&mut signal, 1, pole, boundary);
            lane.iter_mut().zip(signal).for_each(|(value, filtered)| *value = filtered);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Interpolation; 4] = [
        Interpolation::Nearest,
        Interpolation::Linear,
        Interpolation::Quadratic,
        Interpolation::Cubic,
    ];

    #[test]
    fn weights_sum_to_one_wherever_the_position() {
        for interpolation in ALL {
            for position in [-0.5, 0.0, 0.25, 3.5, 7.999] {
                let sum: f64 = interpolation.weights(position).1.iter().sum();
                approx::assert_abs_diff_eq!(sum, 1.0, epsilon = 1e-15);
            }
        }
    }

    #[test]
    fn a_spline_passes_through_its_samples() {
        let samples = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0];
        for interpolation in [Interpolation::Quadratic, Interpolation::Cubic] {
            let pole = interpolation.pole().unwrap_or_default();
            let mut coefficients = samples.to_vec();
            filter_rows(&mut coefficients, 1, pole, Boundary::Mirror);

            for (i, &sample) in samples.iter().enumerate() {
                let (first, weights) = interpolation.weights(i as f64);
                let mut value = 0.0;
                for (tap, weight) in weights.iter().enumerate() {
                    let at = (first + isize::try_from(tap).unwrap()).unsigned_abs();
                    let mirrored = if at > 6 { 12 - at } else { at };
                    value += weight * coefficients[mirrored];
                }
                approx::assert_abs_diff_eq!(value, sample, epsilon = 1e-12);
            }
        }
    }
}
