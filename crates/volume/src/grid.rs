use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where the voxels of an image lie in the patient.
///
/// Array axes come slowest first, `(D, H, W)`, also called z, y, x. Physical axes are those of
/// NIfTI, **RAS**: the first grows towards the patient's right, the second towards anterior, the
/// third towards superior. All lengths are in mm.
///
/// A 2D image has one slice, `size[0] == 1`: there is no second kind of image. What a slice of a
/// volume and a photograph have in common is [`Grid::is_planar`], which decides whether distances
/// and connectivity are measured in the plane.
///
/// The physical position of the voxel `(z, y, x)` is
///
/// ```text
/// origin + direction · (spacing ∘ (z, y, x))
/// ```
///
/// where column `a` of `direction` is the unit vector along which array axis `a` runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Voxels along each axis, `(D, H, W)`.
    pub size: [usize; 3],
    /// Distance between neighbours along each axis, mm, `(z, y, x)`.
    pub spacing: [f64; 3],
    /// Physical position of the first voxel's centre, mm, in RAS.
    pub origin: [f64; 3],
    /// `direction[r][a]`: component `r` (R, A, S) of the unit vector of array axis `a` (z, y, x).
    pub direction: [[f64; 3]; 3],
}

/// The direction of an image whose array axes run along S, A and R: `z → S`, `y → A`, `x → R`.
pub const RAS: [[f64; 3]; 3] = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];

impl Grid {
    /// A grid of `size` voxels at `spacing` mm, at the origin, with axes along S, A and R.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] and [`Error::Spacing`], where these are not positive.
    pub fn new(size: [usize; 3], spacing: [f64; 3]) -> Result<Self> {
        Self { size, spacing, origin: [0.0; 3], direction: RAS }.checked()
    }

    /// The grid itself, once its numbers are known to make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Size`], [`Error::Spacing`] and [`Error::Direction`].
    pub fn checked(self) -> Result<Self> {
        let voxels = self.size.iter().try_fold(1usize, |product, &extent| {
            (extent > 0).then(|| product.checked_mul(extent)).flatten()
        });
        if voxels.is_none_or(|voxels| voxels > isize::MAX as usize / 8) {
            return Err(Error::Size(self.size));
        }
        if !self.spacing.iter().all(|&mm| mm.is_finite() && mm > 0.0) {
            return Err(Error::Spacing(self.spacing));
        }
        let determinant = determinant(&self.direction);
        if !determinant.is_finite() || determinant.abs() < 1e-6 {
            return Err(Error::Direction(determinant));
        }
        Ok(self)
    }

    /// The number of voxels.
    pub fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// Whether there are no voxels, which [`Grid::checked`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a single slice: distances and connectivity are then those of the plane.
    pub fn is_planar(&self) -> bool {
        self.size[0] == 1
    }

    /// The number of axes that distances and networks see: 2 for a single slice, else 3.
    pub fn rank(&self) -> usize {
        if self.is_planar() { 2 } else { 3 }
    }

    /// The volume of one voxel, mm³ (for a single slice, of a slab one slice spacing thick).
    pub fn voxel_volume(&self) -> f64 {
        self.spacing.iter().product()
    }

    /// The physical position in RAS, mm, of a voxel `(z, y, x)`, which may lie between voxels.
    pub fn position(&self, voxel: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            let along = |axis: usize| self.direction[row][axis] * self.spacing[axis] * voxel[axis];
            self.origin[row] + along(0) + along(1) + along(2)
        })
    }

    /// Whether two grids put their voxels at the same places, to a thousandth of a voxel in
    /// spacing and a hundredth in position, as files that pass through other programs do.
    pub fn matches(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// What keeps [`Grid::matches`] from being true, in words; `None` where nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.size != other.size {
            return Some(format!("size {:?} and {:?}", self.size, other.size));
        }
        let near = |a: f64, b: f64, tolerance: f64| (a - b).abs() <= tolerance;
        let same = (0..3)
            .all(|axis| near(self.spacing[axis], other.spacing[axis], 1e-3 * self.spacing[axis]));
        if !same {
            return Some(format!("spacing {:?} and {:?} mm", self.spacing, other.spacing));
        }
        let extent = self.spacing.iter().copied().fold(0.0, f64::max);
        if !(0..3).all(|row| near(self.origin[row], other.origin[row], 1e-2 * extent)) {
            return Some(format!("origin {:?} and {:?} mm", self.origin, other.origin));
        }
        let same = (0..3).all(|row| {
            (0..3).all(|axis| near(self.direction[row][axis], other.direction[row][axis], 1e-3))
        });
        (!same).then(|| format!("direction {:?} and {:?}", self.direction, other.direction))
    }
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use super::*;

    #[test]
    fn position_follows_spacing_and_direction() -> anyhow::Result<()> {
        let mut grid = Grid::new([2, 3, 4], [5.0, 2.0, 1.0])?;
        grid.origin = [10.0, 20.0, 30.0];

        // z runs along S by 5 mm, y along A by 2 mm, x along R by 1 mm.
        assert_eq!(grid.position([1.0, 2.0, 3.0]), [13.0, 24.0, 35.0]);
        Ok(())
    }

    #[test]
    fn grids_without_volume_are_refused() {
        assert_eq!(Grid::new([0, 3, 4], [1.0; 3]), Err(Error::Size([0, 3, 4])));
        assert_eq!(Grid::new([2, 3, 4], [1.0, 0.0, 1.0]), Err(Error::Spacing([1.0, 0.0, 1.0])));
        let flat = Grid { direction: [[1.0, 1.0, 0.0], [0.0; 3], [0.0, 0.0, 1.0]], ..grid() };
        assert_eq!(flat.checked(), Err(Error::Direction(0.0)));
    }

    #[test]
    fn difference_names_what_differs() {
        let shifted = Grid { origin: [0.0, 0.0, 1.0], ..grid() };

        assert!(grid().matches(&grid()));
        assert_eq!(
            grid().difference(&shifted).as_deref(),
            Some("origin [0.0, 0.0, 0.0] and [0.0, 0.0, 1.0] mm"),
        );
    }

    fn grid() -> Grid {
        Grid { size: [2, 3, 4], spacing: [1.0; 3], origin: [0.0; 3], direction: RAS }
    }
}
