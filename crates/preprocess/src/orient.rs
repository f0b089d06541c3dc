//! Turning arrays so that their axes run where a plan wants them, and back.

use ndarray::{ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis};
use serde::{Deserialize, Serialize};
use volume::Grid;

/// A permutation and reversal of the axes of an array: nothing is interpolated, and it is undone
/// exactly.
///
/// What [`volume::Orientation`] does to whole images, without their grids: small enough for a file,
/// and applied as a view, so that no voxel is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orientation {
    /// Axis `i` of the turned array is axis `axes[i]` of the file's.
    pub axes: [usize; 3],
    /// Whether axis `i` of the turned array runs against that axis.
    pub flip: [bool; 3],
}

impl Orientation {
    /// The array as it is.
    pub const IDENTITY: Self = Self { axes: [0, 1, 2], flip: [false; 3] };

    /// What turns arrays on `grid` so that their axes run towards S, A and R as nearly as they can
    /// without interpolation; of a single slice, the axis across it comes first, whatever plane it
    /// lies in. The rule is that of [`volume::Orientation::of`].
    pub fn canonical(grid: &Grid) -> Self {
        let way = volume::Orientation::of(grid);
        Self { axes: way.axes(), flip: way.flips() }
    }

    /// This orientation, followed by a permutation of the turned array's axes.
    #[must_use]
    pub fn then(self, axes: [usize; 3]) -> Self {
        Self { axes: self.of(axes), flip: axes.map(|axis| self.flip[axis]) }
    }

    fn of(self, axes: [usize; 3]) -> [usize; 3] {
        axes.map(|axis| self.axes[axis])
    }

    /// Something that is said for each axis of the file's array, for each axis of the turned one.
    pub fn turn<T: Copy>(self, each: [T; 3]) -> [T; 3] {
        self.axes.map(|axis| each[axis])
    }

    /// A view of a file's array `(D, H, W)` as the turned array.
    pub fn view<T>(self, array: ArrayView3<'_, T>) -> ArrayView3<'_, T> {
        let mut view = array.permuted_axes(self.axes);
        self.flipped(|axis| view.invert_axis(axis), 0);
        view
    }

    /// A view of a file's array `(C, D, H, W)` as the turned array.
    pub fn view_channels<T>(self, array: ArrayView4<'_, T>) -> ArrayView4<'_, T> {
        let [a, b, c] = self.axes;
        let mut view = array.permuted_axes([0, a + 1, b + 1, c + 1]);
        self.flipped(|axis| view.invert_axis(axis), 1);
        view
    }

    /// A view of a file's array `(D, H, W)` into which a turned array is written.
    pub fn view_mut<T>(self, array: ArrayViewMut3<'_, T>) -> ArrayViewMut3<'_, T> {
        let mut view = array.permuted_axes(self.axes);
        self.flipped(|axis| view.invert_axis(axis), 0);
        view
    }

    /// A view of a file's array `(C, D, H, W)` into which a turned array is written.
    pub fn view_channels_mut<T>(self, array: ArrayViewMut4<'_, T>) -> ArrayViewMut4<'_, T> {
        let [a, b, c] = self.axes;
        let mut view = array.permuted_axes([0, a + 1, b + 1, c + 1]);
        self.flipped(|axis| view.invert_axis(axis), 1);
        view
    }

    fn flipped(self, mut invert: impl FnMut(Axis), first: usize) {
        for (axis, &flip) in self.flip.iter().enumerate() {
            if flip {
                invert(Axis(axis + first));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// An array whose axes run along L, S and P: sagittal slices, as some scanners write them.
    fn sagittal() -> Grid {
        let direction = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
        Grid { size: [2, 3, 4], spacing: [5.0, 2.0, 1.0], origin: [0.0; 3], direction }
    }

    #[test]
    fn a_sagittal_volume_is_turned_to_axial_slices() {
        let turned = Orientation::canonical(&sagittal());

        assert_eq!(turned, Orientation { axes: [1, 2, 0], flip: [false, true, true] });
        assert_eq!(turned.turn(['z', 'y', 'x']), ['y', 'x', 'z']);
    }

    #[test]
    fn what_is_turned_can_be_written_back_exactly() {
        let array = Array3::from_shape_fn((2, 3, 4), |(z, y, x)| 100 * z + 10 * y + x);
        let orientation = Orientation::canonical(&sagittal()).then([2, 0, 1]);

        let turned = orientation.view(array.view()).to_owned();
        let mut back = Array3::zeros((2, 3, 4));
        orientation.view_mut(back.view_mut()).assign(&turned);

        assert_ne!(turned, array);
        assert_eq!(back, array);
    }

    #[test]
    fn oblique_volumes_go_to_the_nearest_axes() {
        let (s, c) = 0.5f64.sin_cos();
        let direction = [[0.0, -s, c], [0.0, c, s], [1.0, 0.0, 0.0]];

        let turned = Orientation::canonical(&Grid { direction, ..sagittal() });

        assert_eq!(turned, Orientation::IDENTITY);
    }

    #[test]
    fn a_single_slice_is_turned_as_a_volume_is_and_its_normal_comes_first() {
        // One voxel along each array axis in turn: along L, S and P.
        for (slice, size) in [(0, [1, 3, 4]), (1, [2, 1, 4]), (2, [2, 3, 1])] {
            let grid = Grid { size, ..sagittal() };

            let turned = Orientation::canonical(&grid);

            assert_eq!(turned.axes[0], slice);
            assert_eq!(turned.turn(size)[0], 1);
            // The other two keep the order and the direction that they have in a volume.
            let volume = Orientation::canonical(&sagittal());
            let kept: Vec<_> = (0..3).filter(|&i| volume.axes[i] != slice).collect();
            assert_eq!(kept.iter().map(|&i| volume.axes[i]).collect::<Vec<_>>(), turned.axes[1..]);
            assert_eq!(kept.iter().map(|&i| volume.flip[i]).collect::<Vec<_>>(), turned.flip[1..]);
        }
    }
}
