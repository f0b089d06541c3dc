use ndarray::Array4;

use crate::{Error, Grid, Result};

/// Intensities on a grid: `(C, D, H, W)`, with one entry of `C` for each modality or colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Where the voxels lie.
    pub grid: Grid,
    /// The intensities, `(C, D, H, W)`, in standard (C) order.
    pub data: Array4<f32>,
}

impl Image {
    /// Puts intensities `(C, D, H, W)` on a grid of size `(D, H, W)`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], where the two do not fit.
    pub fn new(grid: Grid, data: Array4<f32>) -> Result<Self> {
        expect_shape(&grid, &data.shape()[1..])?;
        Ok(Self { grid, data: data.as_standard_layout().into_owned() })
    }

    /// The number of channels, `C`.
    pub fn channels(&self) -> usize {
        self.data.shape()[0]
    }

    /// One image with the channels of all `images`, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::GridMismatch`], where they do not lie on one grid.
    pub fn stack(images: &[Self]) -> Result<Self> {
        let [first, rest @ ..] = images else {
            return Err(Error::GridMismatch("no image at all".to_owned()));
        };
        for image in rest {
            if let Some(difference) = first.grid.difference(&image.grid) {
                return Err(Error::GridMismatch(difference));
            }
        }
        let views: Vec<_> = images.iter().map(|image| image.data.view()).collect();
        let data = ndarray::concatenate(ndarray::Axis(0), &views)
            .expect("images on one grid differ in channels only");
        Ok(Self { grid: first.grid.clone(), data })
    }
}

pub(crate) fn expect_shape(grid: &Grid, actual: &[usize]) -> Result<()> {
    if grid.size == *actual {
        return Ok(());
    }
    Err(Error::Shape { expected: grid.size, actual: actual.to_vec() })
}
