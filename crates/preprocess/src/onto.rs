//! An image as it looks on another grid.

use ndarray::{Array3, Array4, ArrayView3, Axis};
use rayon::prelude::*;
use volume::{Grid, Image, LabelMap};

use crate::real::{Real, index};
use crate::sampler::Sampler;
use crate::spline::Interpolation;
use crate::{Error, Result};

/// The intensities of an image at the voxels of another grid, with `fill` where the image does not
/// reach: further than half a voxel from its outermost voxel centres.
///
/// There is no smoothing before making coarser.
///
/// # Source
///
/// ITK's `ResampleImageFilter` with the identity transform and its nearest-neighbour, linear and
/// B-spline interpolators.
///
/// # Errors
///
/// [`Error::Volume`], where a grid is degenerate.
pub fn resample_onto(
    image: &Image,
    grid: &Grid,
    interpolation: Interpolation,
    fill: f32,
) -> Result<Image> {
    let channels: Vec<Array3<f32>> = image
        .data
        .axis_iter(Axis(0))
        .map(|channel| resample_array_onto(channel, &image.grid, grid, interpolation, fill))
        .collect::<Result<_>>()?;
    let [d, h, w] = grid.size;
    let mut data = Array4::zeros((channels.len(), d, h, w));
    for (mut to, from) in data.axis_iter_mut(Axis(0)).zip(&channels) {
        to.assign(from);
    }
    Ok(Image::new(grid.clone(), data)?)
}

/// The labels of a map at the voxels of another grid, each that of the nearest voxel, with `fill`
/// where the map does not reach.
///
/// # Errors
///
/// [`Error::Volume`], where a grid is degenerate.
pub fn resample_labels_onto(labels: &LabelMap, grid: &Grid, fill: u16) -> Result<LabelMap> {
    let map = Mapping::new(&labels.grid, grid)?;
    let [d, h, w] = grid.size;
    let mut data = Array3::zeros((d, h, w));
    data.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for ((y, x), to) in plane.indexed_iter_mut() {
            let nearest = map.inside([z, y, x]).map(|p| p.map(|p| index((p + 0.5).floor())));
            *to = nearest.map_or(fill, |at| labels.data[at]);
        }
    });
    Ok(LabelMap::new(grid.clone(), data)?)
}

/// As [`resample_onto`], for a bare array `(D, H, W)` on the grid `from`.
///
/// # Errors
///
/// [`Error::Shape`], where the array does not fit its grid; [`Error::Volume`], where a grid is
/// degenerate.
pub fn resample_array_onto<T: Real>(
    array: ArrayView3<'_, T>,
    from: &Grid,
    to: &Grid,
    interpolation: Interpolation,
    fill: T,
) -> Result<Array3<T>> {
    if array.shape() != from.size {
        let (expected, actual) = (from.size.to_vec(), array.shape().to_vec());
        return Err(Error::Shape { expected, actual });
    }
    let map = Mapping::new(from, to)?;
    let sampler = Sampler::new(array, interpolation);
    let mut output = Array3::from_elem(to.size, fill);
    output.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for ((y, x), value) in plane.indexed_iter_mut() {
            if let Some(position) = map.inside([z, y, x]) {
                *value = T::of(sampler.at(position));
            }
        }
    });
    Ok(output)
}

/// From voxels of one grid to positions in another.
struct Mapping {
    matrix: [[f64; 3]; 3],
    shift: [f64; 3],
    size: [usize; 3],
}

impl Mapping {
    fn new(from: &Grid, to: &Grid) -> Result<Self> {
        let (from, to) = (from.clone().checked()?, to.clone().checked()?);
        let into = inverse(&steps(&from));
        let steps = steps(&to);
        let difference: [f64; 3] = std::array::from_fn(|row| to.origin[row] - from.origin[row]);
        let product = |axis: usize, column: usize| {
            (0..3).map(|row| into[axis][row] * steps[row][column]).sum()
        };
        Ok(Self {
            matrix: std::array::from_fn(|axis| std::array::from_fn(|column| product(axis, column))),
            shift: into.map(|row| row.iter().zip(difference).map(|(a, b)| a * b).sum()),
            size: from.size,
        })
    }

    /// The position of a voxel, where the other grid reaches it.
    fn inside(&self, voxel: [usize; 3]) -> Option<[f64; 3]> {
        let position: [f64; 3] = std::array::from_fn(|axis| {
            let row = &self.matrix[axis];
            row.iter().zip(voxel).map(|(m, v)| m * v as f64).sum::<f64>() + self.shift[axis]
        });
        let reaches = |axis: usize| {
            let end = self.size[axis] as f64 - 0.5;
            position[axis] >= -0.5 && position[axis] < end
        };
        (0..3).all(reaches).then_some(position)
    }
}

/// Physical step of one voxel along each axis, as columns.
fn steps(grid: &Grid) -> [[f64; 3]; 3] {
    grid.direction.map(|row| std::array::from_fn(|axis| row[axis] * grid.spacing[axis]))
}

fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * cofactor(0, c)).sum();
    std::array::from_fn(|r| std::array::from_fn(|c| cofactor(c, r) / determinant))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::real::single;

    #[test]
    fn labels_go_to_the_nearest_voxel_and_end_half_a_voxel_further() -> anyhow::Result<()> {
        let coarse = Grid::new([1, 1, 2], [1.0, 1.0, 2.0])?;
        let mut fine = Grid::new([1, 1, 6], [1.0, 1.0, 1.0])?;
        fine.origin = [-1.5, 0.0, 0.0];

        let labels = LabelMap::new(coarse, array![[[5, 7]]])?;
        let moved = resample_labels_onto(&labels, &fine, 9)?;

        // Physical x of the voxels: −1.5 … 3.5; the coarse voxels reach from −1 to 3.
        assert_eq!(moved.data, array![[[9, 5, 5, 7, 7, 9]]]);
        Ok(())
    }

    #[test]
    fn an_image_on_its_own_grid_is_itself() -> anyhow::Result<()> {
        let grid = Grid::new([2, 3, 4], [3.0, 2.0, 1.0])?;
        let data = Array4::from_shape_fn((1, 2, 3, 4), |(_, z, y, x)| single((z * y + x) as f64));
        let image = Image::new(grid.clone(), data)?;

        for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
            let same = resample_onto(&image, &grid, interpolation, -1.0)?;
            let far = same.data.iter().zip(&image.data).any(|(a, b)| (a - b).abs() > 1e-5);
            assert!(!far, "{interpolation:?}");
        }
        Ok(())
    }
}
