//! One pass over both arrays: what agrees, and where anything is.

use ndarray::{Array3, ArrayView3, Axis, s};
use rayon::prelude::*;
use volume::BoundingBox;

use crate::Counts;

/// Voxels that are counted in a byte.
const MOST: usize = 255;

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
                let y = y - found.start[1] + 1;
                let inside = s![y, 1..=pairs.len()];
                let mut masks = (in_reference.slice_mut(inside), in_prediction.slice_mut(inside));
                let (Some(reference), Some(prediction)) =
                    (masks.0.as_slice_mut(), masks.1.as_slice_mut())
                else {
                    return;
                };
                for (at, (&r, &p)) in reference.iter_mut().zip(prediction).zip(pairs) {
                    let voxel = member(r, p);
                    (*at.0, *at.1) = (voxel.reference, voxel.prediction);
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
    // Sums of bytes without a branch, which compile to vector code, of as many as a byte can count.
    let mut sums = [0u64; 4];
    for (reference, prediction) in reference.chunks(MOST).zip(prediction.chunks(MOST)) {
        let [mut both, mut in_reference, mut in_prediction, mut total] = [0u8; 4];
        for (&r, &p) in reference.iter().zip(prediction) {
            let voxel = member(r, p);
            both += u8::from(voxel.reference & voxel.prediction);
            in_reference += u8::from(voxel.reference);
            in_prediction += u8::from(voxel.prediction);
            total += u8::from(voxel.counts);
        }
        for (sum, more) in sums.iter_mut().zip([both, in_reference, in_prediction, total]) {
            *sum += u64::from(more);
        }
    }
    let [both, r, p, total] = sums;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_more_voxels_than_a_byte_can_count() {
        let all = Array3::from_elem((2, 2, 600), true);
        let mut part = all.clone();
        part.slice_mut(s![.., .., 300..]).fill(false);
        let member =
            |reference: bool, prediction: bool| Member { counts: true, reference, prediction };

        let (counts, masks) = scan(3, &all.view(), &part.view(), member);

        let expected = Counts {
            true_positives: 1200,
            false_positives: 0,
            false_negatives: 1200,
            true_negatives: 0,
        };
        assert_eq!(counts, expected);
        let masks = masks.unwrap();
        assert_eq!(masks.prediction.dim(), (4, 4, 602));
        assert_eq!(masks.prediction.slice(s![1..3, 1..3, 1..601]), part);
        assert_eq!(masks.reference.iter().filter(|&&inside| inside).count(), 2400);
    }
}
