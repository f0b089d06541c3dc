use std::fmt;
use std::sync::OnceLock;

use ndarray::{Array3, ArrayRef, ArrayView3, Axis, Dimension, Ix3};
use volume::LabelMap;

use crate::scan::{Masks, Member, scan};
use crate::{Counts, Error, Region, Result, Surface, Surfaces};

/// A reference mask and a predicted one on the same grid, with what several metrics need of them
/// computed once.
///
/// Only the part around both masks is kept, and surfaces are looked for on first use. Masks are
/// planes or volumes: in the plane, borders and distances are those of the plane, and volumes are
/// areas, mm².
pub struct MaskPair {
    /// 2 or 3.
    rank: usize,
    /// mm, `(z, y, x)`; the first is 1 in the plane.
    spacing: [f64; 3],
    counts: Counts,
    /// `None` where both are empty.
    masks: Option<Masks>,
    surfaces: [OnceLock<Surfaces>; Surface::ALL.len()],
}

impl MaskPair {
    /// Pairs two masks of one shape, `(H, W)` or `(D, H, W)`, with `spacing` mm along each axis.
    ///
    /// Masks of three axes are measured in space, even a single slice: all its voxels are border.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], [`Error::Rank`] and [`Error::Spacing`].
    pub fn new<D: Dimension>(
        reference: &ArrayRef<bool, D>,
        prediction: &ArrayRef<bool, D>,
        spacing: &[f64],
    ) -> Result<Self> {
        if reference.shape() != prediction.shape() {
            return Err(Error::Shape {
                reference: reference.shape().to_vec(),
                prediction: prediction.shape().to_vec(),
            });
        }
        let rank = reference.ndim();
        let spacing = match *spacing {
            [y, x] if rank == 2 => [1.0, y, x],
            [z, y, x] if rank == 3 => [z, y, x],
            _ => return Err(refused(rank, spacing)),
        };
        if !spacing.iter().all(|&mm| mm.is_finite() && mm > 0.0) {
            return Err(refused(rank, &spacing[3 - rank..]));
        }
        let (Some(r), Some(p)) = (in_space(reference), in_space(prediction)) else {
            return Err(Error::Rank(rank));
        };
        let member =
            |reference: bool, prediction: bool| Member { counts: true, reference, prediction };
        let (counts, masks) = scan(rank, &r, &p, member);
        Ok(Self { rank, spacing, counts, masks, surfaces: Default::default() })
    }

    /// The voxels of `class` in a reference and in a prediction on the same grid.
    ///
    /// A single slice is scored in its plane, whichever axis runs across it.
    ///
    /// # Errors
    ///
    /// [`Error::Grid`], where the grids differ.
    pub fn of(reference: &LabelMap, prediction: &LabelMap, class: u16) -> Result<Self> {
        Self::of_region(reference, prediction, &Region::class(class))
    }

    /// The voxels of a region, which may be a union of labels and may leave out ignored voxels.
    ///
    /// # Errors
    ///
    /// [`Error::Grid`], where the grids differ.
    pub fn of_region(reference: &LabelMap, prediction: &LabelMap, region: &Region) -> Result<Self> {
        if let Some(difference) = reference.grid.difference(&prediction.grid) {
            return Err(Error::Grid(difference));
        }
        let grid = &reference.grid;
        // The axis across the slice first, where there is only one slice.
        let slice = grid.size.iter().position(|&voxels| voxels == 1);
        let mut order = [0, 1, 2];
        order[..=slice.unwrap_or(0)].rotate_right(1);
        let mut spacing = order.map(|axis| grid.spacing[axis]);
        if slice.is_some() {
            spacing[0] = 1.0;
        }
        let rank = if slice.is_some() { 2 } else { 3 };
        let r = reference.data.view().permuted_axes(order);
        let p = prediction.data.view().permuted_axes(order);
        let (counts, masks) = if let [class] = *region.labels {
            // The usual case, for which comparing is faster than looking up.
            scan(rank, &r, &p, region.member(|label| label == class))
        } else {
            let mut table = vec![false; 1 << 16];
            for &label in &region.labels {
                table[usize::from(label)] = true;
            }
            scan(rank, &r, &p, region.member(|label| table[usize::from(label)]))
        };
        Ok(Self { rank, spacing, counts, masks, surfaces: Default::default() })
    }

    /// Two masks `(D, H, W)` of one shape that are parts of this pair's.
    pub(crate) fn part(&self, reference: &Array3<bool>, prediction: &Array3<bool>) -> Self {
        let member =
            |reference: bool, prediction: bool| Member { counts: true, reference, prediction };
        let (counts, masks) = scan(self.rank, &reference.view(), &prediction.view(), member);
        Self { rank: self.rank, spacing: self.spacing, counts, masks, surfaces: Default::default() }
    }

    /// 2 for masks in the plane, 3 for masks in space.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many voxels the masks agree and disagree on.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The volume of one voxel, mm³; in the plane its area, mm².
    pub fn voxel_volume(&self) -> f64 {
        self.spacing.iter().product()
    }

    /// The distances between the two surfaces, computed on first use.
    pub fn surfaces(&self, surface: Surface) -> &Surfaces {
        self.surfaces[surface as usize].get_or_init(|| match &self.masks {
            Some(masks) => surface.distances(masks, self.rank, self.spacing),
            None => Surfaces::default(),
        })
    }

    /// Whether either mask is empty, so that no distance between surfaces is defined.
    pub fn has_empty(&self) -> bool {
        self.counts.reference() == 0 || self.counts.prediction() == 0
    }

    pub(crate) fn masks(&self) -> Option<&Masks> {
        self.masks.as_ref()
    }
}

impl fmt::Debug for MaskPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskPair")
            .field("rank", &self.rank)
            .field("spacing", &self.spacing)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

fn refused(rank: usize, spacing: &[f64]) -> Error {
    if rank == 2 || rank == 3 {
        Error::Spacing { spacing: spacing.to_vec(), rank }
    } else {
        Error::Rank(rank)
    }
}

/// A plane as a single slice.
fn in_space<D: Dimension>(mask: &ArrayRef<bool, D>) -> Option<ArrayView3<'_, bool>> {
    let mask = mask.view().into_dyn();
    let mask = if mask.ndim() == 2 { mask.insert_axis(Axis(0)) } else { mask };
    mask.into_dimensionality::<Ix3>().ok()
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2, arr3};
    use volume::Grid;

    use super::*;

    #[test]
    fn ignored_voxels_are_in_no_count() -> anyhow::Result<()> {
        let grid = Grid::new([1, 1, 6], [1.0; 3])?;
        let reference = LabelMap::new(grid.clone(), arr3(&[[[0, 1, 3, 9, 9, 2]]]))?;
        let prediction = LabelMap::new(grid, arr3(&[[[0, 3, 0, 1, 0, 1]]]))?;

        let core = Region::union(&[1, 3]).ignoring(Some(9));
        let pair = MaskPair::of_region(&reference, &prediction, &core)?;

        let expected =
            Counts { true_positives: 1, false_positives: 1, false_negatives: 1, true_negatives: 1 };
        assert_eq!(pair.counts(), expected);
        assert_eq!(pair.rank(), 2);
        Ok(())
    }

    #[test]
    fn what_cannot_be_compared_is_refused() -> anyhow::Result<()> {
        let (plane, line) = (arr2(&[[true, false]]), arr1(&[true, false]));
        let message = |result: Result<MaskPair>| result.unwrap_err().to_string();

        assert_eq!(
            message(MaskPair::new(&plane, &arr2(&[[true]]), &[1.0, 1.0])),
            "the prediction has shape [1, 1], but the reference has [1, 2]",
        );
        assert_eq!(
            message(MaskPair::new(&plane, &plane, &[1.0, 0.0])),
            "spacing [1.0, 0.0] mm does not give 2 positive, finite numbers",
        );
        assert_eq!(
            message(MaskPair::new(&line, &line, &[1.0])),
            "masks have 1 axes, but surfaces are measured in 2 or 3",
        );
        let at = |spacing| LabelMap::new(Grid::new([1, 1, 2], spacing)?, arr3(&[[[1, 0]]]));
        assert_eq!(
            message(MaskPair::of(&at([1.0; 3])?, &at([1.0, 1.0, 2.0])?, 1)),
            "the prediction does not lie on the grid of the reference: spacing [1.0, 1.0, 1.0] \
             and [1.0, 1.0, 2.0] mm; resample it first",
        );
        Ok(())
    }
}
