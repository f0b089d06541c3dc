//! Growing and shrinking of masks.

use ndarray::{Array3, ArrayRef3};
use rayon::prelude::*;

use crate::Connectivity;

/// The voxels that at most `steps` steps from neighbour to neighbour lead to from the mask.
///
/// This is `scipy.ndimage.binary_dilation` with `generate_binary_structure(3, k)`, where `k` is 1
/// for [`Connectivity::Faces`], 2 for edges and 3 for corners. For a distance in mm rather than in
/// steps, compare [`distance_to`](crate::distance_to) with it.
pub fn dilate(mask: &ArrayRef3<bool>, connectivity: Connectivity, steps: usize) -> Array3<bool> {
    repeat(mask, steps, |mask| sweep(mask, connectivity, Join::Any))
}

/// The voxels from which at least `steps` + 1 steps are needed to leave the mask.
///
/// What lies beyond the array is not part of the mask, so that a mask shrinks there as well; but a
/// single slice (`D = 1`) has nothing above and below.
pub fn erode(mask: &ArrayRef3<bool>, connectivity: Connectivity, steps: usize) -> Array3<bool> {
    repeat(mask, steps, |mask| sweep(mask, connectivity, Join::All))
}

/// The voxels of the mask that have a neighbour outside it, or beyond the array.
///
/// A single slice (`D = 1`) has nothing above and below: its border is that of the plane.
pub fn border(mask: &ArrayRef3<bool>, connectivity: Connectivity) -> Array3<bool> {
    let mut border = erode(mask, connectivity, 1);
    border.zip_mut_with(mask, |core, &inside| *core = inside && !*core);
    border
}

/// Whether a voxel is set where any of its neighbourhood is, or where all of it is.
#[derive(Clone, Copy, PartialEq)]
enum Join {
    Any,
    All,
}

fn repeat(
    mask: &ArrayRef3<bool>,
    steps: usize,
    step: impl Fn(&Array3<bool>) -> Array3<bool>,
) -> Array3<bool> {
    let start = mask.as_standard_layout().into_owned();
    (0..steps).fold(start, |mask, _| step(&mask))
}

/// One step, row by row: rows are contiguous, and what is done to them compiles to vector code.
fn sweep(mask: &Array3<bool>, connectivity: Connectivity, join: Join) -> Array3<bool> {
    let (depth, height, width) = mask.dim();
    let mut result = mask.clone();
    let (Some(from), Some(to)) = (mask.as_slice(), result.as_slice_mut()) else { return result };
    to.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, to)| {
        let (z, y) = (row / height, row % height);
        for dz in if depth == 1 { 0..=0 } else { -1..=1 } {
            for dy in -1..=1 {
                let Some(reach) = connectivity.reach(dz, dy) else { continue };
                let z = z.checked_add_signed(dz).filter(|&z| z < depth);
                let y = y.checked_add_signed(dy).filter(|&y| y < height);
                match (z, y) {
                    (Some(z), Some(y)) => {
                        let start = (z * height + y) * width;
                        join_row(to, &from[start..start + width], reach, join);
                    }
                    _ if join == Join::All => to.fill(false),
                    _ => {}
                }
            }
        }
    });
    result
}

fn join_row(to: &mut [bool], from: &[bool], reach: usize, join: Join) {
    let mut each = |to_at: usize, from_at: usize, length: usize| {
        let pairs = to[to_at..to_at + length].iter_mut().zip(&from[from_at..from_at + length]);
        match join {
            Join::Any => pairs.for_each(|(to, &from)| *to |= from),
            Join::All => pairs.for_each(|(to, &from)| *to &= from),
        }
    };
    each(0, 0, from.len());
    if reach == 1 {
        each(0, 1, from.len() - 1);
        each(1, 0, from.len() - 1);
        if join == Join::All {
            to[0] = false;
            to[from.len() - 1] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(mask: &Array3<bool>) -> usize {
        mask.iter().filter(|&&inside| inside).count()
    }

    fn point() -> Array3<bool> {
        Array3::from_shape_fn((5, 5, 5), |at| at == (2, 2, 2))
    }

    #[test]
    fn a_point_grows_to_its_neighbourhood() {
        let grown = |connectivity| count(&dilate(&point(), connectivity, 1));

        assert_eq!(grown(Connectivity::Faces), 7);
        assert_eq!(grown(Connectivity::Edges), 19);
        assert_eq!(grown(Connectivity::Corners), 27);
        // Two steps by faces: 1 + 6 + 18 voxels within a city-block distance of 2.
        assert_eq!(count(&dilate(&point(), Connectivity::Faces, 2)), 25);
    }

    #[test]
    fn eroding_undoes_the_dilation_of_a_point() {
        let all = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners];
        for connectivity in all {
            let grown = dilate(&point(), connectivity, 2);
            assert_eq!(erode(&grown, connectivity, 2), point());
        }
    }

    #[test]
    fn the_array_ends_the_mask_but_a_slice_has_no_thickness() {
        let full = Array3::from_elem((3, 3, 3), true);
        let core = Array3::from_shape_fn((3, 3, 3), |at| at == (1, 1, 1));
        assert_eq!(erode(&full, Connectivity::Faces, 1), core);

        let slice = Array3::from_elem((1, 3, 3), true);
        let core = Array3::from_shape_fn((1, 3, 3), |at| at == (0, 1, 1));
        assert_eq!(erode(&slice, Connectivity::Faces, 1), core);
        assert_eq!(count(&border(&slice, Connectivity::Corners)), 8);
    }

    #[test]
    fn inner_borders_count() {
        // A shell around one hole: the hole's six neighbours touch it by faces, all 26 by corners.
        let mut shell = Array3::from_elem((5, 5, 5), true);
        shell[[2, 2, 2]] = false;

        let outer = 125 - 27;
        assert_eq!(count(&border(&shell, Connectivity::Faces)), outer + 6);
        assert_eq!(count(&border(&shell, Connectivity::Corners)), outer + 26);
    }
}
