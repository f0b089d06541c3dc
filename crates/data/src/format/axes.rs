//! How the axes of a volume run, as files say it.

use volume::Grid;

use super::decoded::Trouble;

/// Columns for the array's x, y and z, then the position of the first voxel; rows R, A, S; mm.
pub(super) type Affine = [[f64; 4]; 3];

/// The grid that an affine describes: array axes reversed, since ours come slowest first.
pub(super) fn on_grid(affine: &Affine, size: [usize; 3]) -> Result<Grid, Trouble> {
    let column = |axis: usize| [affine[0][axis], affine[1][axis], affine[2][axis]];
    let spacing = [norm(column(2)), norm(column(1)), norm(column(0))];
    let direction = std::array::from_fn(|row| {
        std::array::from_fn(|axis| affine[row][2 - axis] / spacing[axis])
    });
    let origin = [affine[0][3], affine[1][3], affine[2][3]];
    Grid { size, spacing, origin, direction }.checked().map_err(Trouble::damaged)
}

pub(super) fn norm(v: [f64; 3]) -> f64 {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// An affine of axes that are given as vectors of mm in the space of ITK, whose first two axes run towards left
/// and posterior; of two axes, the third stands across them.
#[cfg(any(feature = "dicom", feature = "metaimage", feature = "nrrd"))]
pub(super) fn of_vectors(vectors: &[Vec<f64>], origin: &[f64], towards: [f64; 3]) -> Affine {
    let padded = |vector: &[f64]| -> [f64; 3] {
        std::array::from_fn(|row| vector.get(row).copied().unwrap_or(0.0) * towards[row])
    };
    let mut columns: Vec<[f64; 3]> = vectors.iter().map(|vector| padded(vector)).collect();
    if columns.len() == 2 {
        let across = cross(columns[0], columns[1]);
        let length = norm(across);
        columns.push(across.map(|component| component / length));
    }
    let origin = padded(origin);
    std::array::from_fn(|row| [columns[0][row], columns[1][row], columns[2][row], origin[row]])
}
