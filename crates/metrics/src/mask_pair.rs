use std::fmt;
use std::sync::OnceLock;

use ndarray::{Array3, ArrayRef, ArrayView3, Axis, Dimension, Ix3};
use rayon::prelude::*;
use volume::{BoundingBox, LabelMap};

use crate::{Counts, Error, Result, Surface, Surfaces};

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
    /// The masks inside their joint bounding box, with one voxel of background around it in each
    /// direction that there is; `None` where both are empty.
    masks: Option<Masks>,
    surfaces: [OnceLock<Surfaces>; Surface::ALL.len()],
}

pub(crate) struct Masks {
    pub(crate) reference: Array3<bool>,
    pub(crate) prediction: Array3<bool>,
}

/// Which voxels of a label map belong to what is scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The labels that belong, such as 1 and 3 for a tumour core.
    pub labels: Vec<u16>,
    /// The label that stands for "do not look here", where there is one: voxels where the
    /// reference has it belong to neither mask, and do not count as background either.
    pub ignore: Option<u16>,
}

impl Region {
    /// The voxels of one class.
    pub fn class(class: u16) -> Self {
        Self { labels: vec![class], ignore: None }
    }

    /// The voxels of any of `labels`.
    pub fn union(labels: &[u16]) -> Self {
        Self { labels: labels.to_vec(), ignore: None }
    }

    /// The same, but for voxels where the reference has the label `ignore`.
    #[must_use]
    pub fn ignoring(self, ignore: Option<u16>) -> Self {
        Self { ignore, ..self }
    }
}

/// What a voxel of the pair is.
#[derive(Clone, Copy)]
struct Member {
    counts: bool,
    reference: bool,
    prediction: bool,
}

impl MaskPair {
    /// Pairs two masks of one shape, `(H, W)` or `(D, H, W)`, with `spacing` mm along each axis.
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
            |&reference: &bool, &prediction: &bool| Member { counts: true, reference, prediction };
        Ok(Self::build(rank, spacing, &r, &p, member))
    }

    /// The voxels of `class` in a reference and in a prediction on the same grid.
    ///
    /// A single slice ([`volume::Grid::is_planar`]) is scored in its plane.
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
        let (grid, mut spacing) = (&reference.grid, reference.grid.spacing);
        if grid.is_planar() {
            spacing[0] = 1.0;
        }
        let belongs = |label: u16| region.labels.contains(&label);
        let member = |&reference: &u16, &prediction: &u16| {
            let counts = Some(reference) != region.ignore;
            Member {
                counts,
                reference: counts && belongs(reference),
                prediction: counts && belongs(prediction),
            }
        };
        let (r, p) = (reference.data.view(), prediction.data.view());
        Ok(Self::build(grid.rank(), spacing, &r, &p, member))
    }

    /// Two masks `(D, H, W)` of one shape that are parts of this pair's.
    pub(crate) fn part(&self, reference: &Array3<bool>, prediction: &Array3<bool>) -> Self {
        let member =
            |&reference: &bool, &prediction: &bool| Member { counts: true, reference, prediction };
        Self::build(self.rank, self.spacing, &reference.view(), &prediction.view(), member)
    }

    fn build<T: Sync>(
        rank: usize,
        spacing: [f64; 3],
        reference: &ArrayView3<'_, T>,
        prediction: &ArrayView3<'_, T>,
        member: impl Fn(&T, &T) -> Member + Sync,
    ) -> Self {
        let slices = (0..reference.dim().0).into_par_iter().map(|z| {
            let pair = (reference.index_axis(Axis(0), z), prediction.index_axis(Axis(0), z));
            let mut counts = Counts::default();
            let mut found: Option<BoundingBox> = None;
            for (y, (r, p)) in pair.0.outer_iter().zip(pair.1.outer_iter()).enumerate() {
                let mut columns: Option<(usize, usize)> = None;
                for (x, (r, p)) in r.iter().zip(&p).enumerate() {
                    let voxel = member(r, p);
                    let (r, p) = (u64::from(voxel.reference), u64::from(voxel.prediction));
                    counts.true_positives += r & p;
                    counts.false_positives += p & !r;
                    counts.false_negatives += r & !p;
                    counts.true_negatives += u64::from(voxel.counts) & !r & !p;
                    if r | p == 1 {
                        columns = Some((columns.map_or(x, |(first, _)| first), x + 1));
                    }
                }
                if let Some((first, end)) = columns {
                    let row = BoundingBox { start: [z, y, first], end: [z + 1, y + 1, end] };
                    found = Some(found.map_or(row, |found| found.union(&row)));
                }
            }
            (counts, found)
        });
        let joined = |a: Option<BoundingBox>, b: Option<BoundingBox>| match (a, b) {
            (Some(a), Some(b)) => Some(a.union(&b)),
            (a, b) => a.or(b),
        };
        let (counts, found) =
            slices.reduce(|| (Counts::default(), None), |a, b| (a.0 + b.0, joined(a.1, b.1)));

        let masks = found.map(|found| {
            let margin = [usize::from(rank == 3), 1, 1];
            let size: [usize; 3] = std::array::from_fn(|i| found.size()[i] + 2 * margin[i]);
            let cut = |which: fn(Member) -> bool| {
                let mut mask = Array3::from_elem(size, false);
                let slices = mask.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
                slices.skip(margin[0]).take(found.size()[0]).for_each(|(z, mut slice)| {
                    let z = z - margin[0] + found.start[0];
                    for (y, x) in ndarray::indices((found.size()[1], found.size()[2])) {
                        let at = [z, y + found.start[1], x + found.start[2]];
                        slice[[y + 1, x + 1]] = which(member(&reference[at], &prediction[at]));
                    }
                });
                mask
            };
            Masks {
                reference: cut(|voxel| voxel.reference),
                prediction: cut(|voxel| voxel.prediction),
            }
        });
        Self { rank, spacing, counts, masks, surfaces: Default::default() }
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
