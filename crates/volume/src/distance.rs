//! Exact Euclidean distances on anisotropic grids.
//!
//! All functions take the voxels to measure to as a predicate on an array of any type, so that a
//! class of a label map needs no mask of its own: `|&label| label == 3`.

use ndarray::{Array3, ArrayRef3, ArrayViewMut3, Axis, Zip};
use rayon::prelude::*;

/// Columns that are measured together: enough for whole cache lines, few enough to stay cached.
const COLUMNS: usize = 32;

/// The distance, mm, of every voxel `(z, y, x)` to the nearest one that is a `feature`: 0 for
/// features themselves, infinity everywhere where there is none.
///
/// Distances are between voxel centres, at `spacing` mm along `(z, y, x)`. They are exact up to the
/// rounding of `f64`, and do not depend on the number of threads.
///
/// With `|&inside| !inside` this is `scipy.ndimage.distance_transform_edt`, but for a mask
/// without background, where scipy returns numbers without meaning.
///
/// # Source
///
/// Felzenszwalb, Huttenlocher: *Distance Transforms of Sampled Functions*, Theory of Computing 8
/// (2012): axis by axis, the lower envelope of parabolas. The time is linear in the voxels.
///
/// # Examples
///
/// ```
/// use ndarray::arr3;
///
/// let labels = arr3(&[[[3, 0, 0], [0, 0, 0]]]);
/// let distance = sconce_volume::distance_to(&labels, |&label| label == 3, [9.0, 4.0, 3.0]);
/// assert_eq!(distance, arr3(&[[[0.0, 3.0, 6.0], [4.0, 5.0, 52f64.sqrt()]]]));
/// ```
pub fn distance_to<T: Sync>(
    array: &ArrayRef3<T>,
    feature: impl Fn(&T) -> bool + Sync,
    spacing: [f64; 3],
) -> Array3<f64> {
    let mut squared = Array3::from_elem(array.dim(), f64::INFINITY);
    Zip::from(&mut squared).and(array).par_for_each(|squared, value| {
        if feature(value) {
            *squared = 0.0;
        }
    });
    spread(&mut squared, spacing);
    squared.par_mapv_inplace(f64::sqrt);
    squared
}

/// Distances, and which features they lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// The distance of each voxel to the nearest feature, mm; see [`distance_to`].
    pub distance: Array3<f64>,
    /// Which voxel that is, as its position in standard order: `(z · H + y) · W + x`. `None` where
    /// there is no feature at all. Of features at equal distance, which one is not specified, but
    /// it is the same one each time.
    pub feature: Array3<Option<usize>>,
}

/// As [`distance_to`], together with the position of the nearest feature.
pub fn nearest<T: Sync>(
    array: &ArrayRef3<T>,
    feature: impl Fn(&T) -> bool + Sync,
    spacing: [f64; 3],
) -> Nearest {
    let (_, height, width) = array.dim();
    let mut sites = Array3::from_elem(array.dim(), Site { squared: f64::INFINITY, at: 0 });
    Zip::indexed(&mut sites).and(array).par_for_each(|(z, y, x), site, value| {
        if feature(value) {
            *site = Site { squared: 0.0, at: (z * height + y) * width + x };
        }
    });
    spread(&mut sites, spacing);
    Nearest {
        distance: Zip::from(&sites).par_map_collect(|site| site.squared.sqrt()),
        feature: Zip::from(&sites)
            .par_map_collect(|site| (site.squared < f64::INFINITY).then_some(site.at)),
    }
}

/// The distance, mm, of every voxel to the boundary of a mask: positive outside, the distance to
/// the nearest voxel `inside`; negative inside, that to the nearest voxel outside.
///
/// No voxel has distance 0: the boundary runs between voxels. Where nothing is inside, the
/// distance is infinity everywhere; where everything is, minus infinity: a loss over such a class
/// must leave it out, not multiply it by 0. What lies beyond the array does not count as outside.
///
/// # Source
///
/// The maps of the boundary loss: Kervadec et al.: *Boundary loss for highly unbalanced
/// segmentation*, MIDL 2019. Its published code shifts the inside by one voxel, so that the
/// innermost border has distance 0; add the spacing to negative values for that on isotropic grids.
pub fn signed_distance<T: Sync>(
    array: &ArrayRef3<T>,
    inside: impl Fn(&T) -> bool + Sync,
    spacing: [f64; 3],
) -> Array3<f64> {
    let mut signed = distance_to(array, &inside, spacing);
    let depth = distance_to(array, |value| !inside(value), spacing);
    Zip::from(&mut signed).and(&depth).par_for_each(|signed, &depth| {
        if depth > 0.0 {
            *signed = -depth;
        }
    });
    signed
}

/// What travels along the axes: a squared distance, and perhaps whose it is.
trait Parabola: Copy + Send + Sync {
    fn height(self) -> f64;
    fn at_height(self, height: f64) -> Self;
}

impl Parabola for f64 {
    fn height(self) -> f64 {
        self
    }

    fn at_height(self, height: f64) -> Self {
        height
    }
}

#[derive(Clone, Copy)]
struct Site {
    squared: f64,
    at: usize,
}

impl Parabola for Site {
    fn height(self) -> f64 {
        self.squared
    }

    fn at_height(self, squared: f64) -> Self {
        Self { squared, at: self.at }
    }
}

/// Turns 0 at features and infinity elsewhere into squared distances.
///
/// Axes are taken slowest first, so that squares are summed in the order in which numpy does it.
/// But where two features are equally far, distances then have the very bits that scipy gives them,
/// and what lies exactly at some tolerance for others does so here.
fn spread<P: Parabola>(values: &mut Array3<P>, spacing: [f64; 3]) {
    let first = (0..3).find(|&axis| values.len_of(Axis(axis)) > 1);
    for (axis, &mm) in spacing.iter().enumerate().take(2) {
        if values.len_of(Axis(axis)) > 1 {
            let scan = first == Some(axis);
            values
                .axis_chunks_iter_mut(Axis(2), COLUMNS)
                .into_par_iter()
                .for_each(|block| spread_block(block, axis, mm, scan));
        }
    }
    let width = values.len_of(Axis(2));
    if let Some(flat) = values.as_slice_mut().filter(|_| width > 1) {
        flat.par_chunks_mut(COLUMNS * width).for_each(|lines| {
            let mut envelope = Envelope::new(width, spacing[2]);
            for line in lines.chunks_mut(width) {
                envelope.lower(line);
            }
        });
    }
}

/// Lowers all lines of a narrow block along `axis`, 0 or 1; with `scan`, where there are only
/// features and infinities so far.
fn spread_block<P: Parabola>(
    mut block: ArrayViewMut3<'_, P>,
    axis: usize,
    spacing: f64,
    scan: bool,
) {
    let length = block.len_of(Axis(axis));
    // Not a power of two, or all lines would compete for the same few places of the cache.
    let stride = length + 9;
    let Some(&filler) = block.first() else { return };
    let mut lines = vec![filler; stride * block.len_of(Axis(2))];
    let mut envelope = Envelope::new(length, spacing);
    for mut sheet in block.axis_iter_mut(Axis(1 - axis)) {
        for (at, row) in sheet.outer_iter().enumerate() {
            for (x, &value) in row.iter().enumerate() {
                lines[x * stride + at] = value;
            }
        }
        for line in lines.chunks_mut(stride) {
            let line = &mut line[..length];
            if scan { lower_features(line, spacing) } else { envelope.lower(line) }
        }
        for (at, mut row) in sheet.outer_iter_mut().enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = lines[x * stride + at];
            }
        }
    }
}

/// What [`Envelope::lower`] does, where there are only features and infinities: two scans do.
fn lower_features<P: Parabola>(line: &mut [P], spacing: f64) {
    let mut last: Option<usize> = None;
    for at in 0..line.len() {
        if line[at].height() == 0.0 {
            last = Some(at);
        } else if let Some(last) = last {
            line[at] = line[last].at_height(square(at - last, spacing));
        }
    }
    let mut next: Option<usize> = None;
    for at in (0..line.len()).rev() {
        if line[at].height() == 0.0 {
            next = Some(at);
        } else if let Some(next) = next {
            let height = square(next - at, spacing);
            if height < line[at].height() {
                line[at] = line[next].at_height(height);
            }
        }
    }
}

/// The square of a number of voxels in mm.
fn square(voxels: usize, spacing: f64) -> f64 {
    let mm = voxels as f64 * spacing;
    mm * mm
}

/// The lower envelope of one line's parabolas, kept to save its memory.
struct Envelope<P> {
    spacing: f64,
    /// `1 / (2 · mm² · n)` for n voxels, what a difference of heights moves the meeting by.
    weights: Vec<f64>,
    /// The parabolas that reach the envelope: where each stands, and from where on it is lowest.
    parts: Vec<(usize, f64, P)>,
}

impl<P: Parabola> Envelope<P> {
    fn new(length: usize, spacing: f64) -> Self {
        let weights = (0..length).map(|gap| 0.5 / (spacing * spacing * gap as f64)).collect();
        Self { spacing, weights, parts: Vec::with_capacity(length) }
    }

    fn lower(&mut self, line: &mut [P]) {
        self.parts.clear();
        let mut level = true;
        for (at, &value) in line.iter().enumerate() {
            if value.height() == f64::INFINITY {
                continue;
            }
            level &= value.height() == 0.0;
            let mut from = f64::NEG_INFINITY;
            while let Some(&(other, start, lowest)) = self.parts.last() {
                // Where the two meet, in voxels; counted from the other, which keeps digits.
                let gap = at - other;
                let rise = (value.height() - lowest.height()) * self.weights[gap];
                let meet = other as f64 + (rise + 0.5 * gap as f64);
                if meet > start {
                    from = meet;
                    break;
                }
                self.parts.pop();
            }
            self.parts.push((at, from, value));
        }
        if self.parts.is_empty() || (level && self.parts.len() == line.len()) {
            return;
        }
        let mut part = 0;
        for (at, value) in line.iter_mut().enumerate() {
            while self.parts.get(part + 1).is_some_and(|next| next.1 < at as f64) {
                part += 1;
            }
            let (other, _, lowest) = self.parts[part];
            let height = lowest.height() + square(at.abs_diff(other), self.spacing);
            *value = lowest.at_height(height);
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use ndarray::arr3;

    use super::*;

    #[test]
    fn without_features_the_distance_is_infinite() {
        let empty = arr3(&[[[false, false]]]);

        let found = nearest(&empty, |&f| f, [1.0; 3]);

        assert_eq!(found.distance, arr3(&[[[f64::INFINITY; 2]]]));
        assert_eq!(found.feature, arr3(&[[[None; 2]]]));
        assert_eq!(distance_to(&empty, |&f| f, [1.0; 3]), found.distance);
    }

    #[test]
    fn a_far_slice_is_further_than_a_near_row() {
        // Features at (0, 0, 0) and (1, 1, 1); z is 5 mm, y 2 mm, x 1 mm.
        let array = arr3(&[[[1, 0], [0, 0]], [[0, 0], [0, 1]]]);

        let found = nearest(&array, |&f| f == 1, [5.0, 2.0, 1.0]);

        let (edge, diagonal) = (1.0, 5f64.sqrt());
        assert_eq!(
            found.distance,
            arr3(&[[[0.0, edge], [2.0, diagonal]], [[diagonal, 2.0], [edge, 0.0]]]),
        );
        assert_eq!(
            found.feature,
            arr3(&[[[Some(0), Some(0)], [Some(0), Some(0)]], [[Some(7); 2], [Some(7); 2]]]),
        );
    }

    #[test]
    fn a_hidden_parabola_is_dropped() {
        // Along x, the middle one is nowhere lowest: 9 > 4 + 1 and 9 > 0 + 1.
        let mut line = [4.0, 9.0, 0.0];

        Envelope::new(3, 1.0).lower(&mut line);

        assert_eq!(line, [4.0, 1.0, 0.0]);
    }

    #[test]
    fn a_whole_number_of_voxels_is_exactly_that_many_spacings() {
        // 0.4² · 5² is a little more than 2².
        let array = arr3(&[[[1], [0], [0], [0], [0], [0]]]);
        let distance = distance_to(&array, |&f| f == 1, [1.0, 0.4, 1.0]);

        assert_eq!(distance[[0, 5, 0]], 2.0);
    }

    #[test]
    fn signed_distance_changes_sign_between_voxels() {
        let mask = arr3(&[[[false, false, true, true, true]]]);

        let signed = signed_distance(&mask, |&m| m, [1.0, 1.0, 2.0]);

        assert_eq!(signed, arr3(&[[[4.0, 2.0, -2.0, -4.0, -6.0]]]));
    }

    #[test]
    fn masks_without_a_boundary_are_infinitely_far_from_it() {
        let signed = |inside: bool| signed_distance(&arr3(&[[[inside; 2]]]), |&m| m, [1.0; 3]);

        assert_eq!(signed(false), arr3(&[[[f64::INFINITY; 2]]]));
        assert_eq!(signed(true), arr3(&[[[f64::NEG_INFINITY; 2]]]));
    }
}
