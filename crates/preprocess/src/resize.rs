//! Arrays of another size over the same extent, axis by axis.
//!
//! Splines are separable: filtering and sampling one axis after another is the same as all at
//! once, at a fraction of the work. Beside the result it needs what has the result's number of slices and the input's rows and
//! columns.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::real::{Real, index};
use crate::spline::{Boundary, Interpolation, filter_rows};

/// How many signals are worked on side by side: enough for vector units, little enough for caches.
const LANES: usize = 32;

/// How many samples the ends of a signal are continued by before it is filtered, as scipy does.
const PADDING: usize = 12;

/// An array of `size` voxels over the same extent as `input`, `(D, H, W)`, with an interpolation
/// for each axis. Voxel centres of the two are half a voxel inside the common edges; beyond the
/// outermost centres, the outermost values go on.
///
/// With splines of order 2 or 3 the result may overshoot the input's range; `clip` limits it.
///
/// # Source
///
/// `scipy.ndimage.zoom(mode = "nearest", grid_mode = True)`, which `skimage.transform.resize(mode =
/// "edge", anti_aliasing = False)` stands on. There is no smoothing before making smaller.
pub fn resize<T: Real>(
    input: ArrayView3<'_, T>,
    size: [usize; 3],
    interpolation: [Interpolation; 3],
    clip: bool,
) -> Array3<T> {
    let first =
        (input.shape()[0] != size[0]).then(|| resize_slices(input, size[0], interpolation[0]));
    let view = first.as_ref().map_or(input, |first| first.view());
    let mut output = if view.shape()[1..] == size[1..] {
        first.unwrap_or_else(|| input.to_owned())
    } else {
        resize_within_slices(view, [size[1], size[2]], [interpolation[1], interpolation[2]])
    };
    if clip && interpolation.iter().any(|&order| order > Interpolation::Linear) {
        let (low, high) = range(input.iter());
        output.par_mapv_inplace(|value| value.max(low).min(high));
    }
    output
}

/// The smallest and largest of some values.
pub(crate) fn range<'a, T: Real>(values: impl Iterator<Item = &'a T>) -> (T, T) {
    let start = (T::infinity(), T::neg_infinity());
    values.fold(start, |(low, high), &value| (low.min(value), high.max(value)))
}

/// The position in an array of `from` samples of each sample of one of `to` over the same extent.
pub(crate) fn positions(from: usize, to: usize) -> impl Iterator<Item = f64> {
    let scale = from as f64 / to as f64;
    (0..to).map(move |i| (i as f64 + 0.5) * scale - 0.5)
}

/// Where the samples of one axis come from.
struct Kernel {
    /// First sample, of the padded signal, for each output.
    first: Vec<usize>,
    weights: Vec<[f64; 4]>,
    taps: usize,
    padding: usize,
    pole: Option<f64>,
}

impl Kernel {
    fn new(from: usize, to: usize, interpolation: Interpolation) -> Self {
        let pole = interpolation.pole();
        let padding = if pole.is_some() { PADDING } else { 0 };
        let interpolation = if from == 1 { Interpolation::Nearest } else { interpolation };
        let taps = interpolation.taps();
        let (mut first, mut weights) = (Vec::with_capacity(to), Vec::with_capacity(to));
        for position in positions(from, to) {
            // Padded signals go on beyond their ends, others end there.
            let end = (from - 1) as f64;
            let position = if padding > 0 { position } else { position.clamp(0.0, end) };
            let (start, mut weight) = interpolation.weights(position + padding as f64);
            let mut start = start.unsigned_abs();
            if padding == 0 && start + taps > from {
                // The last sample itself: the tap after it has no weight, and does not exist.
                weight.rotate_right(start + taps - from);
                start = from - taps;
            }
            first.push(start);
            weights.push(weight);
        }
        Self { first, weights, taps, padding, pole }
    }
}

/// Another number of slices.
fn resize_slices<T: Real>(
    input: ArrayView3<'_, T>,
    length: usize,
    interpolation: Interpolation,
) -> Array3<T> {
    let kernel = Kernel::new(input.shape()[0], length, interpolation);
    let mut output = Array3::from_elem([length, input.shape()[1], input.shape()[2]], T::zero());
    // Tasks run over one of the other axes, lanes over the other, which lie side by side in memory.
    let inputs = input.axis_iter(Axis(1)).into_par_iter();
    let outputs = output.axis_iter_mut(Axis(1)).into_par_iter();
    inputs.zip(outputs).for_each_init(Vec::new, |buffer, (input, output)| {
        resize_plane(&kernel, input, output, buffer);
    });
    output
}

/// Slices of another size, each by itself: what lies between its two axes is no larger than a slice.
fn resize_within_slices<T: Real>(
    input: ArrayView3<'_, T>,
    [height, width]: [usize; 2],
    [of_rows, of_columns]: [Interpolation; 2],
) -> Array3<T> {
    let (slices, h, w) = input.dim();
    let rows = (h != height).then(|| Kernel::new(h, height, of_rows));
    let columns = (w != width).then(|| Kernel::new(w, width, of_columns));
    let mut output = Array3::from_elem([slices, height, width], T::zero());
    let inputs = input.axis_iter(Axis(0)).into_par_iter();
    let outputs = output.axis_iter_mut(Axis(0)).into_par_iter();
    let start = || (Vec::new(), Array2::from_elem([height, w], T::zero()));
    inputs.zip(outputs).for_each_init(start, |(buffer, between), (input, mut output)| {
        match (&rows, &columns) {
            (Some(rows), Some(columns)) => {
                resize_plane(rows, input, between.view_mut(), buffer);
                resize_plane(columns, between.t(), output.reversed_axes(), buffer);
            }
            (Some(rows), None) => resize_plane(rows, input, output, buffer),
            (None, Some(columns)) => {
                resize_plane(columns, input.reversed_axes(), output.reversed_axes(), buffer);
            }
            (None, None) => output.assign(&input),
        }
    });
    output
}

/// Signals run along axis 0, lanes along axis 1.
fn resize_plane<T: Real>(
    kernel: &Kernel,
    input: ArrayView2<'_, T>,
    mut output: ArrayViewMut2<'_, T>,
    buffer: &mut Vec<f64>,
) {
    let chunks = input.axis_chunks_iter(Axis(1), LANES);
    for (input, mut output) in chunks.zip(output.axis_chunks_iter_mut(Axis(1), LANES)) {
        let (length, lanes) = input.dim();
        buffer.clear();
        for i in 0..length + 2 * kernel.padding {
            let row = i.saturating_sub(kernel.padding).min(length - 1);
            buffer.extend(input.row(row).iter().map(|value| value.wide()));
        }
        if let Some(pole) = kernel.pole {
            filter_rows(buffer, lanes, pole, Boundary::Reflect);
        }
        for (i, (&first, weights)) in kernel.first.iter().zip(&kernel.weights).enumerate() {
            let rows = &buffer[first * lanes..(first + kernel.taps) * lanes];
            let row = output.row_mut(i);
            match kernel.taps {
                1 => row.into_iter().zip(rows).for_each(|(to, &from)| *to = T::of(from)),
                2 => combine::<T, 2>(row, rows, weights),
                3 => combine::<T, 3>(row, rows, weights),
                _ => combine::<T, 4>(row, rows, weights),
            }
        }
    }
}

fn combine<T: Real, const TAPS: usize>(
    row: ndarray::ArrayViewMut1<'_, T>,
    rows: &[f64],
    weights: &[f64; 4],
) {
    let lanes = rows.len() / TAPS;
    for (lane, to) in row.into_iter().enumerate() {
        let mut sum = 0.0;
        for tap in 0..TAPS {
            sum += weights[tap] * rows[tap * lanes + lane];
        }
        *to = T::of(sum);
    }
}

/// Which of the samples of an axis each output of another number of samples is mixed from: two
/// neighbours and the weight of the second. For the nearest sample, that weight is 0.
pub(crate) fn mixes(from: usize, to: usize, nearest: bool) -> Vec<(usize, usize, f64)> {
    let end = (from - 1) as f64;
    positions(from, to)
        .map(|position| {
            let position = position.clamp(0.0, end);
            if nearest {
                let at = index((position + 0.5).floor()).min(from - 1);
                return (at, at, 0.0);
            }
            let low = index(position.floor());
            (low, (low + 1).min(from - 1), position - position.floor())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array, s};

    use super::*;

    const CUBIC: [Interpolation; 3] = [Interpolation::Cubic; 3];

    /// `i² mod 11` in a cube of 3 voxels: irregular, and easy to write down.
    fn cube() -> Array3<f64> {
        Array3::from_shape_fn((3, 3, 3), |(z, y, x)| ((9 * z + 3 * y + x).pow(2) % 11) as f64)
    }

    #[test]
    fn cubic_values_are_those_of_skimage() {
        let expected = [
            0., 0.80616, 4.63883, 4.05655, 2.59161, 3.02785, 9., 4.99548, 2.48699, 6.23005,
            5.46801, 6.60714,
        ];

        let actual = resize(cube().view(), [4, 5, 3], CUBIC, true);

        for (actual, expected) in actual.iter().zip(expected) {
            approx::assert_abs_diff_eq!(*actual, expected, epsilon = 5e-6);
        }
    }

    #[test]
    fn linear_values_are_those_of_skimage() {
        let expected = [
            0., 1., 4., 3.6, 2.6, 3.6, 9., 5., 3., 5.4, 5., 6.6, 3., 5., 9., 2.5, 1., 1.5, 3.1,
            2.35,
        ];

        let actual = resize(cube().view(), [4, 5, 3], [Interpolation::Linear; 3], true);

        for (actual, expected) in actual.iter().zip(expected) {
            approx::assert_abs_diff_eq!(*actual, expected, epsilon = 1e-12);
        }
    }

    #[test]
    fn constants_stay_constant_and_single_voxels_spread() {
        let input = Array3::from_elem((1, 4, 7), 2.5f32);

        for order in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
            let output = resize(input.view(), [3, 9, 2], [order; 3], false);
            assert!(output.iter().all(|value| (value - 2.5).abs() < 1e-6), "{order:?}");
        }
    }

    #[test]
    fn the_order_of_an_axis_is_its_own() {
        let input = array![[[0.0, 1.0]], [[10.0, 11.0]]];
        let orders = [Interpolation::Nearest, Interpolation::Nearest, Interpolation::Linear];

        let output = resize(input.view(), [4, 1, 4], orders, false);

        assert_eq!(output.slice(s![.., 0, 0]), array![0.0, 0.0, 10.0, 10.0]);
        assert_eq!(output.slice(s![0, 0, ..]), array![0.0, 0.25, 0.75, 1.0]);
    }
}
