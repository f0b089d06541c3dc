use ndarray::{Array, Array3, Array4, ArrayView, Axis, Dimension};

use crate::{Grid, Image, Label, LabelMap, SoftLabelMap};

/// The way to canonical axes and back: a permutation of array axes with flips, and nothing else.
///
/// No voxel is interpolated, and every one keeps its place in the patient. On oblique grids the
/// result is the closest to canonical that axes can come, not canonical itself.
///
/// Canonical array axes run along S, A and R, as those of [`Grid::new`]; a file that stores them
/// in the opposite order calls this RAS. An orientation remembers the grid that it was made for,
/// so that [`Orientation::inverse`] restores it bit for bit, rounding of the origin included.
///
/// # Source
///
/// The rule for oblique grids is that of nibabel's `io_orientation`: the rotation closest to the
/// axis directions (their polar factor) decides, axis by axis, the clearest one first, as in
/// version 5.4.
///
/// # Examples
///
/// ```
/// use sconce_volume::{Grid, LabelMap, Orientation};
///
/// // Array axes along S, P and L, as most CT files have them.
/// let direction = [[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]];
/// let grid = Grid { direction, ..Grid::new([1, 1, 2], [5.0, 1.0, 1.0])? };
/// let labels = LabelMap::new(grid, ndarray::arr3(&[[[7, 8]]]))?;
///
/// let way = Orientation::of(&labels.grid);
/// let canonical = way.apply(&labels);
/// assert_eq!(canonical.data, ndarray::arr3(&[[[8, 7]]]));
/// assert_eq!(canonical.grid.origin, [-1.0, 0.0, 0.0]);
/// assert_eq!(way.inverse().apply(&canonical), labels);
/// # Ok::<(), sconce_volume::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Orientation {
    /// Axis `i` of the result is axis `axes[i]` of what it is made from,
    axes: [usize; 3],
    /// in the opposite direction where `flips[i]`.
    flips: [bool; 3],
    from: Grid,
    to: Grid,
}

impl Orientation {
    /// The way from `grid` to canonical axes, a single slice staying one.
    ///
    /// Where the grid has one voxel along an axis, that axis comes first, and the other two keep
    /// their canonical order: [`Grid::is_planar`] then tells the truth of a coronal or sagittal
    /// slice as well. Of several such axes, the first in the order S, A, R is taken.
    pub fn of(grid: &Grid) -> Self {
        let (mut axes, mut flips) = closest(grid);
        if let Some(slice) = (0..3).find(|&axis| grid.size[axes[axis]] == 1) {
            axes[..=slice].rotate_right(1);
            flips[..=slice].rotate_right(1);
        }
        Self::new(grid, axes, flips)
    }

    /// The way from `grid` to axes along S, A and R, whatever its size: what nibabel's
    /// `as_closest_canonical` does.
    ///
    /// A sagittal slice becomes one of size `(D, H, 1)`, which [`Grid::is_planar`] does not call
    /// planar: use [`Orientation::of`], unless another program's arrays are to be matched.
    pub fn closest(grid: &Grid) -> Self {
        let (axes, flips) = closest(grid);
        Self::new(grid, axes, flips)
    }

    fn new(grid: &Grid, axes: [usize; 3], flips: [bool; 3]) -> Self {
        Self { axes, flips, from: grid.clone(), to: turned(grid, axes, flips) }
    }

    /// Which axis of the original each axis of the result is.
    pub fn axes(&self) -> [usize; 3] {
        self.axes
    }

    /// Which axes of the result run against the original's.
    pub fn flips(&self) -> [bool; 3] {
        self.flips
    }

    /// Whether nothing moves.
    pub fn is_identity(&self) -> bool {
        self.axes == [0, 1, 2] && self.flips == [false; 3]
    }

    /// The grid that this leads to.
    pub fn target(&self) -> &Grid {
        &self.to
    }

    /// The way back: `way.inverse().apply(&way.apply(&x))` is `x`, bit for bit, for anything on the
    /// grid that the orientation was made for.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut axes = [0; 3];
        let mut flips = [false; 3];
        for (i, &axis) in self.axes.iter().enumerate() {
            axes[axis] = i;
            flips[axis] = self.flips[i];
        }
        Self { axes, flips, from: self.to.clone(), to: self.from.clone() }
    }

    /// `thing` with its axes turned; on another grid than the one that this was made for, too.
    pub fn apply<T: Oriented>(&self, thing: &T) -> T {
        thing.oriented(self)
    }

    /// The array with its last three axes turned; nothing is copied.
    fn view<'a, T, D: Dimension>(&self, array: ArrayView<'a, T, D>) -> ArrayView<'a, T, D> {
        let before = array.ndim() - 3;
        let mut order = D::zeros(array.ndim());
        for axis in 0..before {
            order[axis] = axis;
        }
        for (i, &axis) in self.axes.iter().enumerate() {
            order[before + i] = before + axis;
        }
        let mut turned = array.permuted_axes(order);
        for (i, _) in self.flips.iter().enumerate().filter(|&(_, &flip)| flip) {
            turned.invert_axis(Axis(before + i));
        }
        turned
    }
}

/// What [`Orientation::apply`] can turn: grids, everything that lies on one, and arrays whose last
/// three axes are those of a grid.
pub trait Oriented: sealed::Sealed {
    /// This thing, turned.
    #[must_use]
    fn oriented(&self, by: &Orientation) -> Self;
}

impl Oriented for Grid {
    fn oriented(&self, by: &Orientation) -> Self {
        if *self == by.from { by.to.clone() } else { turned(self, by.axes, by.flips) }
    }
}

impl<T: Clone> Oriented for Array3<T> {
    fn oriented(&self, by: &Orientation) -> Self {
        standard(&by.view(self.view()))
    }
}

impl<T: Clone> Oriented for Array4<T> {
    fn oriented(&self, by: &Orientation) -> Self {
        standard(&by.view(self.view()))
    }
}

impl Oriented for Image {
    fn oriented(&self, by: &Orientation) -> Self {
        Self { grid: self.grid.oriented(by), data: self.data.oriented(by) }
    }
}

impl Oriented for LabelMap {
    fn oriented(&self, by: &Orientation) -> Self {
        Self { grid: self.grid.oriented(by), data: self.data.oriented(by) }
    }
}

impl Oriented for SoftLabelMap {
    fn oriented(&self, by: &Orientation) -> Self {
        Self { grid: self.grid.oriented(by), data: self.data.oriented(by) }
    }
}

impl Oriented for Label {
    fn oriented(&self, by: &Orientation) -> Self {
        match self {
            Self::Hard(labels) => Self::Hard(labels.oriented(by)),
            Self::Soft(probabilities) => Self::Soft(probabilities.oriented(by)),
            Self::Raters(masks) => Self::Raters(masks.oriented(by)),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Grid {}
    impl<T> Sealed for ndarray::Array3<T> {}
    impl<T> Sealed for ndarray::Array4<T> {}
    impl Sealed for crate::Image {}
    impl Sealed for crate::LabelMap {}
    impl Sealed for crate::SoftLabelMap {}
    impl Sealed for crate::Label {}
}

impl Grid {
    /// Where the axes run, as three letters in the order of files, fastest axis first: `RAS` for
    /// the canonical grid, `LPS` for most CT files. Oblique axes get the closest letter.
    pub fn axis_codes(&self) -> String {
        let (axes, flips) = closest(self);
        let mut codes = [' '; 3];
        for (i, pair) in [['S', 'I'], ['A', 'P'], ['R', 'L']].into_iter().enumerate() {
            codes[2 - axes[i]] = pair[usize::from(flips[i])];
        }
        codes.into_iter().collect()
    }
}

fn standard<T: Clone, D: Dimension>(view: &ArrayView<'_, T, D>) -> Array<T, D> {
    view.as_standard_layout().into_owned()
}

fn turned(grid: &Grid, axes: [usize; 3], flips: [bool; 3]) -> Grid {
    let mut first = [0.0; 3];
    for i in (0..3).filter(|&i| flips[i]) {
        first[axes[i]] = (grid.size[axes[i]] - 1) as f64;
    }
    let direction = std::array::from_fn(|row| {
        std::array::from_fn(|i| {
            let along = grid.direction[row][axes[i]];
            if flips[i] { 0.0 - along } else { along }
        })
    });
    Grid {
        size: axes.map(|axis| grid.size[axis]),
        spacing: axes.map(|axis| grid.spacing[axis]),
        origin: grid.position(first),
        direction,
    }
}

/// For each of S, A and R, the array axis that runs closest to it, and whether against it.
fn closest(grid: &Grid) -> ([usize; 3], [bool; 3]) {
    let rotation = polar_factor(grid.direction);
    let mut axes = [None; 3];
    let mut flips = [false; 3];
    // The axis that is surest of its direction chooses first; of equals, the fastest.
    let mut order = [2, 1, 0];
    let surest = |axis: usize| (0..3).map(|row| rotation[row][axis].abs()).fold(0.0, f64::max);
    order.sort_by(|&a, &b| surest(b).total_cmp(&surest(a)));
    for axis in order {
        // Rows are R, A and S: of equals, the first one is taken.
        let along = |row: usize| rotation[row][axis].abs();
        let free = (0..3).filter(|&row| axes[2 - row].is_none());
        let row = free
            .reduce(|best, row| if along(row) > along(best) { row } else { best })
            .expect("three axes, three rows");
        axes[2 - row] = Some(axis);
        flips[2 - row] = rotation[row][axis] < 0.0;
    }
    (axes.map(|axis| axis.expect("three axes, three rows")), flips)
}

/// The rotation (or reflection) closest to `matrix`, once its columns have length 1, by Newton's
/// iteration `X ← (X + X⁻ᵀ) / 2`.
fn polar_factor(mut matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    for axis in 0..3 {
        let length = (0..3).map(|row| matrix[row][axis].powi(2)).sum::<f64>().sqrt();
        for row in &mut matrix {
            row[axis] /= length;
        }
    }
    // It converges quadratically; the bound is for directions that barely span the space.
    for _ in 0..64 {
        let Some(inverse) = inverse_transposed(&matrix) else { break };
        let mut moved = 0f64;
        for row in 0..3 {
            for axis in 0..3 {
                let next = f64::midpoint(matrix[row][axis], inverse[row][axis]);
                moved = moved.max((next - matrix[row][axis]).abs());
                matrix[row][axis] = next;
            }
        }
        if moved < 1e-15 {
            break;
        }
    }
    matrix
}

/// The transpose of the inverse: cofactors over the determinant.
fn inverse_transposed(m: &[[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let cofactor = |row: usize, axis: usize| {
        let (r, s) = ((row + 1) % 3, (row + 2) % 3);
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        m[r][a] * m[s][b] - m[r][b] * m[s][a]
    };
    let determinant: f64 = (0..3).map(|axis| m[0][axis] * cofactor(0, axis)).sum();
    (determinant != 0.0 && determinant.is_finite()).then(|| {
        std::array::from_fn(|row| std::array::from_fn(|axis| cofactor(row, axis) / determinant))
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use ndarray::{Array3, arr3};

    use super::*;

    fn counted(size: [usize; 3]) -> Array3<u16> {
        let mut next = 0;
        Array3::from_shape_simple_fn(size, || {
            next += 1;
            next
        })
    }

    /// Array axes along P (z), I (y) and L (x), as a coronal stack may be stored.
    const CORONAL: [[f64; 3]; 3] = [[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];

    #[test]
    fn voxels_keep_their_place_in_the_patient() -> anyhow::Result<()> {
        let grid = Grid {
            origin: [10.0, 20.0, 30.0],
            direction: CORONAL,
            ..Grid::new([2, 3, 4], [3.0, 2.0, 1.0])?
        };
        let labels = LabelMap::new(grid, counted([2, 3, 4]))?;

        let canonical = Orientation::of(&labels.grid).apply(&labels);

        assert_eq!(labels.grid.axis_codes(), "LIP");
        assert_eq!(canonical.grid.axis_codes(), "RAS");
        assert_eq!(canonical.grid.size, [3, 2, 4]);
        assert_eq!(canonical.grid.spacing, [2.0, 3.0, 1.0]);
        assert_eq!(canonical.grid.direction, crate::RAS);
        // The voxel (0, 0, 0) was last along each axis: S by 2 · 2 mm, A by 1 · 3, R by 3 · 1.
        assert_eq!(canonical.grid.origin, [7.0, 17.0, 26.0]);
        assert_eq!(canonical.data[[2, 1, 3]], labels.data[[0, 0, 0]]);
        assert_eq!(canonical.data[[2, 0, 0]], labels.data[[1, 0, 3]]);
        Ok(())
    }

    #[test]
    fn a_single_slice_stays_one_whatever_its_plane() -> anyhow::Result<()> {
        // Coronal: one voxel along A, which is array axis 0 already but would not stay there.
        let coronal = Grid { direction: CORONAL, ..Grid::new([1, 3, 4], [3.0, 2.0, 1.0])? };
        let turned = Orientation::of(&coronal).apply(&coronal);
        assert!(turned.is_planar());
        assert_eq!((turned.size, turned.spacing), ([1, 3, 4], [3.0, 2.0, 1.0]));

        // Sagittal: one voxel along R, the last axis.
        let sagittal = Grid::new([5, 6, 1], [1.0, 2.0, 3.0])?;
        let way = Orientation::of(&sagittal);
        let turned = way.apply(&sagittal);
        assert_eq!((turned.size, turned.spacing), ([1, 5, 6], [3.0, 1.0, 2.0]));
        assert_eq!(way.inverse().apply(&turned), sagittal);
        assert!(Orientation::closest(&sagittal).is_identity());
        Ok(())
    }

    #[test]
    fn a_tilted_stack_goes_by_the_closest_axes() -> anyhow::Result<()> {
        // A rotation by 60° about S: x runs closer to A than to R, y closer to L.
        let (sin, cos) = 60f64.to_radians().sin_cos();
        let direction = [[0.0, -sin, cos], [0.0, cos, sin], [1.0, 0.0, 0.0]];
        let grid = Grid { direction, ..Grid::new([1, 2, 2], [1.0; 3])? };

        let way = Orientation::of(&grid);

        assert_eq!(grid.axis_codes(), "ALS");
        assert_eq!((way.axes(), way.flips()), ([0, 2, 1], [false, false, true]));
        assert_eq!(way.apply(&arr3(&[[[1, 2], [3, 4]]])), arr3(&[[[3, 1], [4, 2]]]));
        Ok(())
    }

    #[test]
    fn the_polar_factor_of_a_sheared_frame_is_a_rotation() {
        let rotation = polar_factor([[0.9, 0.2, 0.1], [0.1, 0.8, -0.3], [0.0, 0.1, 1.1]]);

        for a in 0..3 {
            for b in 0..3 {
                let product: f64 = (0..3).map(|row| rotation[row][a] * rotation[row][b]).sum();
                approx::assert_abs_diff_eq!(product, f64::from(a == b), epsilon = 1e-14);
            }
        }
    }
}
