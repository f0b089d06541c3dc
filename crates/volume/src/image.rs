use ndarray::{Array, Array4, Dimension};

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
        Ok(Self { grid, data: standard_layout(data) })
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
        let [depth, height, width] = first.grid.size;
        let channels = images.iter().map(Self::channels).sum();
        let mut data = Array4::zeros((channels, depth, height, width));
        let parts = images.iter().flat_map(|image| image.data.outer_iter());
        for (mut channel, part) in data.outer_iter_mut().zip(parts) {
            channel.assign(&part);
        }
        Ok(Self { grid: first.grid.clone(), data })
    }
}

pub(crate) fn expect_shape(grid: &Grid, actual: &[usize]) -> Result<()> {
    if grid.size == *actual {
        return Ok(());
    }
    Err(Error::Shape { expected: grid.size, actual: actual.to_vec() })
}

/// The array in standard order, without a copy where it is so already.
pub(crate) fn standard_layout<T: Clone, D: Dimension>(data: Array<T, D>) -> Array<T, D> {
    if data.is_standard_layout() { data } else { data.as_standard_layout().into_owned() }
}
