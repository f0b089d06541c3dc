//! One pass over both arrays: what agrees, and where anything is.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;
use volume::BoundingBox;

use crate::Counts;

/// What a voxel of the pair is.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    /// Whether it counts at all.
    pub(crate) counts: bool,
    pub(crate) reference: bool,
    pub(crate) prediction: bool,
}

/// The masks inside their joint bounding box, with one voxel of background around it in each
/// direction that there is.
pub(crate) struct Masks {
    pub(crate) reference: Array3<bool>,
    pub(crate) prediction: Array3<bool>,
}

/// Counts the voxels of two arrays of one shape, and cuts out the masks that they hold.
pub(crate) fn scan<T: Copy + Sync>(
    rank: usize,
    reference: &ArrayView3<'_, T>,
    prediction: &ArrayView3<'_, T>,
    member: impl Fn(T, T) -> Member + Sync,
) -> (Counts, Option<Masks>) {
    let slices = (0..reference.dim().0).into_par_iter().map(|z| {
        let mut found = (Counts::default(), None);
        rows(reference, prediction, z, |y, r, p| {
            let (counts, columns) = compare(r, p, &member);
            let row = columns
                .map(|(first, end)| BoundingBox { start: [z, y, first], end: [z + 1, y + 1, end] });
            found = (found.0 + counts, joined(found.1, row));
        });
        found
    });
    let (counts, found) =
        slices.reduce(|| (Counts::default(), None), |a, b| (a.0 + b.0, joined(a.1, b.1)));

    let masks = found.map(|found| {
        let margin = [usize::from(rank == 3), 1, 1];
        let size: [usize; 3] = std::array::from_fn(|i| found.size()[i] + 2 * margin[i]);
        let mut masks = Masks {
            reference: Array3::from_elem(size, false),
            prediction: Array3::from_elem(size, false),
        };
        let both = (
            masks.reference.axis_iter_mut(Axis(0)).into_par_iter().skip(margin[0]),
            masks.prediction.axis_iter_mut(Axis(0)).into_par_iter().skip(margin[0]),
        );
        let slices = both.0.zip(both.1).take(found.size()[0]).enumerate();
        slices.for_each(|(z, (mut in_reference, mut in_prediction))| {
            rows(reference, prediction, z + found.start[0], |y, r, p| {
                if !(found.start[1]..found.end[1]).contains(&y) {
                    return;
                }
                let columns = found.start[2]..found.end[2];
                let pairs = r[columns.clone()].iter().zip(&p[columns]);
                for (x, (&r, &p)) in pairs.enumerate() {
                    let voxel = member(r, p);
                    let at = [y - found.start[1] + 1, x + 1];
                    in_reference[at] = voxel.reference;
                    in_prediction[at] = voxel.prediction;
                }
            });
        });
        masks
    });
    (counts, masks)
}

/// Calls `each` for all rows of a slice of two arrays, with the row's number and its values.
fn rows<T: Copy>(
    a: &ArrayView3<'_, T>,
    b: &ArrayView3<'_, T>,
    slice: usize,
    mut each: impl FnMut(usize, &[T], &[T]),
) {
    let (a, b) = (a.index_axis(Axis(0), slice), b.index_axis(Axis(0), slice));
    for (y, (a, b)) in a.outer_iter().zip(b.outer_iter()).enumerate() {
        match (a.as_slice(), b.as_slice()) {
            (Some(a), Some(b)) => each(y, a, b),
            _ => each(y, &a.to_vec(), &b.to_vec()),
        }
    }
}

/// Counts a row, and finds between which columns anything is in either mask.
fn compare<T: Copy>(
    reference: &[T],
    prediction: &[T],
    member: &impl Fn(T, T) -> Member,
) -> (Counts, Option<(usize, usize)>) {
    // Sums without a branch, which compile to vector code.
    let [mut both, mut in_reference, mut in_prediction, mut total] = [0u32; 4];
    for (&r, &p) in reference.iter().zip(prediction) {
        let voxel = member(r, p);
        both += u32::from(voxel.reference & voxel.prediction);
        in_reference += u32::from(voxel.reference);
        in_prediction += u32::from(voxel.prediction);
        total += u32::from(voxel.counts);
    }
    let [both, r, p, total] = [both, in_reference, in_prediction, total].map(u64::from);
    let counts = Counts {
        true_positives: both,
        false_positives: p - both,
        false_negatives: r - both,
        true_negatives: total + both - r - p,
    };
    let any = |at: &usize| {
        let voxel = member(reference[*at], prediction[*at]);
        voxel.reference || voxel.prediction
    };
    let mut all = 0..if r + p > 0 { reference.len() } else { 0 };
    let first = all.clone().find(any);
    let last = all.rfind(any);
    let columns = first.zip(last).map(|(first, last)| (first, last + 1));
    (counts, columns)
}

fn joined(a: Option<BoundingBox>, b: Option<BoundingBox>) -> Option<BoundingBox> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.union(&b)),
        (a, b) => a.or(b),
    }
}
