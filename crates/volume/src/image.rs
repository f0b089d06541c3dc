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

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { size: [1, 1, 2], spacing: [1.0; 3], origin: [0.0; 3], direction: crate::RAS }
    }

    #[test]
    fn channels_follow_each_other() -> Result<()> {
        let image = |values: [f32; 2]| {
            Image::new(grid(), ndarray::arr1(&values).into_shape_with_order((1, 1, 1, 2)).unwrap())
        };

        let both = Image::stack(&[image([1.0, 2.0])?, image([3.0, 4.0])?])?;

        assert_eq!(both.channels(), 2);
        assert_eq!(both.data.as_slice(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
        Ok(())
    }

    #[test]
    fn arrays_in_another_order_are_put_into_the_standard_one() -> Result<()> {
        let turned = Array4::from_shape_fn((2, 1, 1, 1), |(x, ..)| x).permuted_axes([1, 2, 3, 0]);
        let image = Image::new(grid(), turned.mapv(|x| f32::from(u8::try_from(x).unwrap())))?;

        assert_eq!(image.data.as_slice(), Some(&[0.0, 1.0][..]));
        Ok(())
    }

    #[test]
    fn what_does_not_lie_on_one_grid_is_refused() -> Result<()> {
        let error = Image::new(grid(), Array4::zeros((1, 1, 2, 2))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the array has shape [1, 2, 2], but its grid has size [1, 1, 2]",
        );

        let near = Image::new(grid(), Array4::zeros((1, 1, 1, 2)))?;
        let far = Image::new(Grid { origin: [9.0; 3], ..grid() }, near.data.clone())?;
        assert_eq!(
            Image::stack(&[near, far]).unwrap_err().to_string(),
            "grids differ: origin [0.0, 0.0, 0.0] and [9.0, 9.0, 9.0] mm",
        );
        assert!(Image::stack(&[]).is_err());
        Ok(())
    }
}
