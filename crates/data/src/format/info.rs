use std::path::Path;

use serde::Serialize;
use volume::Grid;

use super::decoded::Decoded;
use super::read::{Format, decode};
use crate::Result;

/// What a single image file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageInfo {
    /// The format: `NIfTI`, `PNG`, `TIFF` or `JPEG`.
    pub format: &'static str,
    /// How a voxel is stored, such as `int16`.
    pub voxel_type: String,
    /// The number of channels, `C`.
    pub channels: usize,
    /// Voxels along each axis, `(D, H, W)`.
    pub size: [usize; 3],
    /// Distance between neighbours along each axis, mm, `(z, y, x)`.
    pub spacing: [f64; 3],
    /// The voxel size that the file's header states beside its orientation, mm, `(z, y, x)`, where
    /// it states one: the two should agree, and a note says so where they do not.
    pub header_spacing: Option<[f64; 3]>,
    /// Physical position of the first voxel's centre, mm, in RAS.
    pub origin: [f64; 3],
    /// Where the axes x, y and z of the file run to, such as `RAS` or `LPS`; see [`axis_codes`].
    /// `None` for pictures, which do not say.
    pub axes: Option<String>,
    /// The smallest finite value; `None` where there is none.
    pub minimum: Option<f32>,
    /// The largest finite value; `None` where there is none.
    pub maximum: Option<f32>,
    /// The mean of the finite values; `None` where there is none.
    pub mean: Option<f64>,
    /// How many values are NaN or infinite.
    pub non_finite: usize,
    /// What a user should know of how the file was understood.
    pub notes: Vec<String>,
}

impl ImageInfo {
    /// Reads an image file, and says what it holds.
    ///
    /// # Errors
    ///
    /// As [`read_image`](crate::read_image).
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let format = Format::of(path).map_err(|trouble| trouble.at(path))?;
        let Decoded { meta, data } = decode::<f32>(path)?;
        let (mut minimum, mut maximum) = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut sum, mut finite) = (0.0, 0_usize);
        for &value in data.iter().filter(|value| value.is_finite()) {
            minimum = minimum.min(value);
            maximum = maximum.max(value);
            sum += f64::from(value);
            finite += 1;
        }
        let any = finite > 0;
        Ok(Self {
            format: format.name(),
            voxel_type: meta.voxel_type,
            channels: meta.channels,
            size: meta.grid.size,
            spacing: meta.grid.spacing,
            header_spacing: meta.header_spacing,
            origin: meta.grid.origin,
            axes: meta.geometry.then(|| axis_codes(&meta.grid)),
            minimum: any.then_some(minimum),
            maximum: any.then_some(maximum),
            mean: any.then_some(sum / finite as f64),
            non_finite: data.len() - finite,
            notes: meta.notes,
        })
    }
}

/// Where the axes of an array run to, fastest axis first, as nibabel writes it: for x, y and z one
/// letter of right or left, anterior or posterior, superior or inferior.
///
/// An oblique axis counts for the direction that it is closest to.
pub fn axis_codes(grid: &Grid) -> String {
    const ENDS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];
    let mut free = [true; 3];
    let code = |axis: usize| {
        let along = |row: usize| grid.direction[row][axis];
        let nearest = (0..3)
            .filter(|&row| free[row])
            .reduce(|best, row| if along(row).abs() > along(best).abs() { row } else { best })
            .expect("three axes for three directions");
        free[nearest] = false;
        ENDS[nearest][usize::from(along(nearest) > 0.0)]
    };
    [2, 1, 0].map(code).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_the_ends_that_x_y_and_z_run_to() -> anyhow::Result<()> {
        let mut grid = Grid::new([2, 3, 4], [1.0; 3])?;
        assert_eq!(axis_codes(&grid), "RAS");

        // x runs to the back, y downwards, z to the left.
        grid.direction = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]];
        assert_eq!(axis_codes(&grid), "PIL");
        Ok(())
    }
}
