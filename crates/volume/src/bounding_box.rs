use ndarray::{Array, ArrayRef, ArrayRef3, ArrayView, Axis, Dimension, Slice};
use rayon::prelude::*;

use crate::{Error, Grid, Image, LabelMap, Result};

/// A box of voxels: from `start` up to, but without, `end`, both `(z, y, x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BoundingBox {
    /// The first voxel inside.
    pub start: [usize; 3],
    /// One past the last voxel inside, along each axis.
    pub end: [usize; 3],
}

impl BoundingBox {
    /// The smallest box around all voxels that `belong`; `None` where there are none.
    pub fn of<T: Sync>(array: &ArrayRef3<T>, belongs: impl Fn(&T) -> bool + Sync) -> Option<Self> {
        let slice = |z: usize| {
            let mut found: Option<Self> = None;
            for (y, row) in array.index_axis(Axis(0), z).outer_iter().enumerate() {
                let Some(first) = row.iter().position(&belongs) else { continue };
                let after = row.iter().rev().position(&belongs).unwrap_or(0);
                let row = Self { start: [z, y, first], end: [z + 1, y + 1, row.len() - after] };
                found = Some(found.map_or(row, |found| found.union(&row)));
            }
            found
        };
        (0..array.dim().0).into_par_iter().filter_map(slice).reduce_with(|a, b| a.union(&b))
    }

    /// All of an array or a grid of `size`.
    pub fn whole(size: [usize; 3]) -> Self {
        Self { start: [0; 3], end: size }
    }

    /// Voxels along each axis.
    pub fn size(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.end[axis].saturating_sub(self.start[axis]))
    }

    /// The smallest box around both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            start: std::array::from_fn(|axis| self.start[axis].min(other.start[axis])),
            end: std::array::from_fn(|axis| self.end[axis].max(other.end[axis])),
        }
    }

    /// The box with `margin` voxels more on both sides of each axis, as far as `size` goes.
    #[must_use]
    pub fn grown(&self, margin: [usize; 3], size: [usize; 3]) -> Self {
        Self {
            start: std::array::from_fn(|axis| self.start[axis].saturating_sub(margin[axis])),
            end: std::array::from_fn(|axis| {
                self.end[axis].saturating_add(margin[axis]).min(size[axis])
            }),
        }
    }

    /// The part of an array inside the box, along the array's last three axes; nothing is copied.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box is empty or reaches beyond the array.
    pub fn view<'a, T, D: Dimension>(
        &self,
        array: &'a ArrayRef<T, D>,
    ) -> Result<ArrayView<'a, T, D>> {
        self.check(array.shape())?;
        let before = array.ndim() - 3;
        let mut array = array.view();
        for axis in 0..3 {
            array.slice_axis_inplace(Axis(before + axis), self.range(axis));
        }
        Ok(array)
    }

    /// A copy of the part of an array inside the box, along the array's last three axes.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box is empty or reaches beyond the array.
    pub fn crop<T: Clone, D: Dimension>(&self, array: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        Ok(self.view(array)?.as_standard_layout().into_owned())
    }

    /// Puts what [`BoundingBox::crop`] took, or something of its shape, back in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box does not lie inside `array`; [`Error::Pasted`], where `part`
    /// has another shape than the place.
    pub fn paste<T: Clone, D: Dimension>(
        &self,
        part: &ArrayRef<T, D>,
        array: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        self.check(array.shape())?;
        let before = array.ndim() - 3;
        let mut place = array.view_mut();
        for axis in 0..3 {
            place.slice_axis_inplace(Axis(before + axis), self.range(axis));
        }
        if place.shape() != part.shape() {
            return Err(Error::Pasted {
                place: place.shape().to_vec(),
                part: part.shape().to_vec(),
            });
        }
        place.assign(part);
        Ok(())
    }

    /// The part of a grid inside the box: its voxels stay where they are in the patient.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box is empty or reaches beyond the grid.
    pub fn crop_grid(&self, grid: &Grid) -> Result<Grid> {
        self.check(&grid.size)?;
        let first = self.start.map(|start| start as f64);
        Ok(Grid { size: self.size(), origin: grid.position(first), ..grid.clone() })
    }

    /// The part of an image inside the box.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box is empty or reaches beyond the image.
    pub fn crop_image(&self, image: &Image) -> Result<Image> {
        Ok(Image { grid: self.crop_grid(&image.grid)?, data: self.crop(&image.data)? })
    }

    /// The part of a label map inside the box.
    ///
    /// # Errors
    ///
    /// [`Error::Box`], where the box is empty or reaches beyond the labels.
    pub fn crop_labels(&self, labels: &LabelMap) -> Result<LabelMap> {
        Ok(LabelMap { grid: self.crop_grid(&labels.grid)?, data: self.crop(&labels.data)? })
    }

    fn range(&self, axis: usize) -> Slice {
        Slice::from(self.start[axis]..self.end[axis])
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        let inside = shape.len() >= 3
            && shape[shape.len() - 3..]
                .iter()
                .enumerate()
                .all(|(axis, &n)| self.start[axis] < self.end[axis] && self.end[axis] <= n);
        if inside {
            return Ok(());
        }
        Err(Error::Box { start: self.start, end: self.end, size: shape.to_vec() })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;

    /// Two voxels of an otherwise empty array.
    fn labels() -> Array3<u16> {
        let mut labels = Array3::zeros((4, 5, 6));
        labels[[1, 4, 2]] = 7;
        labels[[2, 3, 5]] = 7;
        labels
    }

    #[test]
    fn the_box_is_tight() {
        let found = BoundingBox::of(&labels(), |&label| label == 7);

        assert_eq!(found, Some(BoundingBox { start: [1, 3, 2], end: [3, 5, 6] }));
        assert_eq!(BoundingBox::of(&labels(), |&label| label == 8), None);
    }

    #[test]
    fn growing_stops_at_the_array() {
        let found = BoundingBox { start: [1, 3, 2], end: [3, 5, 6] };

        let grown = found.grown([2, 1, 1], [4, 5, 6]);

        assert_eq!(grown, BoundingBox { start: [0, 2, 1], end: [4, 5, 6] });
        assert_eq!(grown.size(), [4, 3, 5]);
    }

    #[test]
    fn pasting_undoes_cropping() -> Result<()> {
        let image =
            Array4::from_shape_fn((2, 4, 5, 6), |(c, z, y, x)| c * 1000 + z * 100 + y * 10 + x);
        let part = BoundingBox { start: [1, 3, 2], end: [3, 5, 6] };

        let cropped = part.crop(&image)?;
        assert_eq!(cropped.dim(), (2, 2, 2, 4));
        assert_eq!(cropped[[1, 0, 0, 0]], 1132);

        let mut copy = image.clone();
        copy.fill(0);
        part.paste(&cropped, &mut copy)?;
        assert_eq!(part.crop(&copy)?, cropped);
        assert_eq!(copy[[0, 0, 0, 0]], 0);
        Ok(())
    }

    #[test]
    fn a_cropped_grid_stays_in_place() -> Result<()> {
        let grid = Grid::new([4, 5, 6], [3.0, 2.0, 1.0])?;
        let part = BoundingBox { start: [1, 3, 2], end: [3, 5, 6] };

        // z runs along S by 3 mm, y along A by 2 mm, x along R by 1 mm.
        assert_eq!(part.crop_grid(&grid)?.origin, [2.0, 6.0, 3.0]);
        Ok(())
    }

    #[test]
    fn boxes_outside_are_refused() {
        let part = BoundingBox { start: [1, 3, 2], end: [3, 5, 7] };

        assert_eq!(
            part.crop(&labels()).unwrap_err().to_string(),
            "the box from [1, 3, 2] to [3, 5, 7] is empty or not inside an array of [4, 5, 6] voxels",
        );
    }
}
