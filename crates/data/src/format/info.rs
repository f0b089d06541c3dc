use std::fmt;
use std::path::Path;

use serde::Serialize;

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
    /// Where the axes x, y and z of the file run to, such as `RAS` or `LPS`; see
    /// [`Grid::axis_codes`](volume::Grid::axis_codes). `None` for pictures, which do not say.
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
            axes: meta.geometry.then(|| meta.grid.axis_codes()),
            minimum: any.then_some(minimum),
            maximum: any.then_some(maximum),
            mean: any.then_some(sum / finite as f64),
            non_finite: data.len() - finite,
            notes: meta.notes,
        })
    }
}

impl fmt::Display for ImageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format     {}, {}", self.format, self.voxel_type)?;
        writeln!(f, "channels   {}", self.channels)?;
        writeln!(f, "size       {:?} voxels (z, y, x)", self.size)?;
        writeln!(f, "spacing    {:?} mm (z, y, x)", self.spacing)?;
        if let Some(axes) = &self.axes {
            writeln!(f, "axes       {axes}, first voxel at {:?} mm", self.origin)?;
        }
        match (self.minimum, self.maximum, self.mean) {
            (Some(minimum), Some(maximum), Some(mean)) => {
                writeln!(f, "intensity  {minimum} to {maximum}, mean {mean:.4}")?;
            }
            _ => writeln!(f, "intensity  no finite value")?,
        }
        if self.non_finite > 0 {
            writeln!(f, "not finite {} values are NaN or infinite", self.non_finite)?;
        }
        for note in &self.notes {
            writeln!(f, "note       {note}")?;
        }
        Ok(())
    }
}
