use std::ops::Range;

use ndarray::{Array3, ArrayRef3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which neighbours of a voxel touch it.
///
/// In a single slice, and wherever else an axis has one voxel only, the neighbours across that
/// axis do not exist: what is 6, 18 or 26 in space is 4, 8 or 8 in the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Those that share a face: 6 in space, 4 in the plane.
    #[default]
    Faces,
    /// Those that share a face or an edge: 18 in space, 8 in the plane.
    Edges,
    /// Those that share a face, an edge or a corner: 26 in space, 8 in the plane.
    Corners,
}

impl Connectivity {
    /// How far along x a neighbour `dz` slices and `dy` rows away may be; `None` where no voxel
    /// there is a neighbour. `dz` and `dy` are −1, 0 or 1.
    pub fn reach(self, dz: isize, dy: isize) -> Option<usize> {
        let steps = match self {
            Self::Faces => 1,
            Self::Edges => 2,
            Self::Corners => 3,
        };
        let used = dz.unsigned_abs() + dy.unsigned_abs();
        (used <= steps).then(|| (steps - used).min(1))
    }
}

/// The connected parts of a mask.
///
/// Labels run from 1, in the order in which the parts' first voxels come in the array: the numbers
/// are those of `scipy.ndimage.label`, and do not depend on the number of threads.
///
/// # Source
///
/// Runs of voxels joined by union-find: He, Chao, Suzuki: *A Run-Based Two-Scan Labeling
/// Algorithm*, IEEE Transactions on Image Processing 17 (2008).
///
/// # Examples
///
/// ```
/// use ndarray::arr3;
/// use sconce_volume::{Components, Connectivity};
///
/// let mask = arr3(&[[[true, false], [false, true]]]);
/// assert_eq!(Components::of(&mask, |&m| m, Connectivity::Faces).sizes(), [1, 1]);
/// assert_eq!(Components::of(&mask, |&m| m, Connectivity::Edges).sizes(), [2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    labels: Array3<u32>,
    sizes: Vec<usize>,
}

impl Components {
    /// The connected parts of the voxels that `belong`.
    pub fn of<T: Sync>(
        array: &ArrayRef3<T>,
        belongs: impl Fn(&T) -> bool + Sync,
        connectivity: Connectivity,
    ) -> Self {
        let (depth, height, width) = array.dim();
        let slices = (0..depth).into_par_iter().map(|z| {
            let mut slice = Runs::default();
            let mut inside = vec![false; width];
            for row in array.index_axis(Axis(0), z).outer_iter() {
                match row.to_slice() {
                    Some(row) => inside.iter_mut().zip(row).for_each(|(to, it)| *to = belongs(it)),
                    None => inside.iter_mut().zip(row).for_each(|(to, it)| *to = belongs(it)),
                }
                slice.push_row(&inside);
            }
            slice
        });
        let slices: Vec<Runs> = slices.collect();
        let mut runs = Runs::default();
        for slice in &slices {
            runs.append(slice);
        }

        let mut forest = Forest::of(runs.all.len());
        for row in 0..depth * height {
            let here = runs.row(row);
            if here.is_empty() {
                continue;
            }
            let (z, y) = (row / height, row % height);
            // The neighbouring rows that come earlier.
            for (dz, dy) in [(0, -1), (-1, -1), (-1, 0), (-1, 1)] {
                let Some(reach) = connectivity.reach(dz, dy) else { continue };
                let at = (z.checked_add_signed(dz), y.checked_add_signed(dy));
                if let (Some(z), Some(y)) = at
                    && y < height
                {
                    let there = runs.row(z * height + y);
                    touch(&runs.all, here.clone(), there, reach, |a, b| forest.join(a, b));
                }
            }
        }

        let (numbers, count) = forest.numbers();
        let mut sizes = vec![0; count];
        for (run, &number) in runs.all.iter().zip(&numbers) {
            sizes[number as usize - 1] += run.len();
        }
        let mut labels = Array3::zeros(array.dim());
        labels.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut slice)| {
            for (y, mut row) in slice.outer_iter_mut().enumerate() {
                for at in runs.row(z * height + y) {
                    row.slice_mut(ndarray::s![runs.all[at].clone()]).fill(numbers[at]);
                }
            }
        });
        Self { labels, sizes }
    }

    /// The label of each voxel, `(D, H, W)`: 0 outside the mask, then 1, 2, …
    pub fn labels(&self) -> &Array3<u32> {
        &self.labels
    }

    /// How many voxels each part has, that of label 1 first.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The number of parts.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether the mask is empty.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The label of the part with most voxels, the first of equals; `None` where there is none.
    pub fn largest(&self) -> Option<u32> {
        let (at, _) = self.sizes.iter().enumerate().rev().max_by_key(|&(_, &size)| size)?;
        u32::try_from(at + 1).ok()
    }

    /// The voxels of the part `label`.
    pub fn mask(&self, label: u32) -> Array3<bool> {
        self.labels.mapv(|other| other == label && label != 0)
    }
}

/// The part with most voxels of those that `belong`, the first of equals; empty where none does.
pub fn largest_component<T: Sync>(
    array: &ArrayRef3<T>,
    belongs: impl Fn(&T) -> bool + Sync,
    connectivity: Connectivity,
) -> Array3<bool> {
    let components = Components::of(array, belongs, connectivity);
    components.mask(components.largest().unwrap_or(0))
}

/// The voxels that `belong`, and all holes among them.
///
/// A hole is a part of the rest, connected by faces, that does not reach the edge of the array. In
/// a single slice (`D = 1`) holes are those of the plane.
pub fn fill_holes<T: Sync>(
    array: &ArrayRef3<T>,
    belongs: impl Fn(&T) -> bool + Sync,
) -> Array3<bool> {
    let rest = Components::of(array, |value| !belongs(value), Connectivity::Faces);
    let mut outside = vec![false; rest.len() + 1];
    for axis in 0..3 {
        if axis == 0 && rest.labels.dim().0 == 1 {
            continue;
        }
        for end in [0, rest.labels.len_of(Axis(axis)).saturating_sub(1)] {
            if !rest.labels.is_empty() {
                for &label in rest.labels.index_axis(Axis(axis), end) {
                    outside[label as usize] = true;
                }
            }
        }
    }
    outside[0] = false;
    rest.labels.mapv(|label| !outside[label as usize])
}

/// Voxels of each row of some slices that follow each other.
#[derive(Default)]
struct Runs {
    all: Vec<Range<usize>>,
    /// Where the runs of each row end.
    ends: Vec<usize>,
}

impl Runs {
    /// Adds a row, of which these are `inside`.
    fn push_row(&mut self, inside: &[bool]) {
        /// Voxels that are looked at in one go: most are like those around them.
        const MANY: usize = 32;
        let mut start = None;
        for (chunk, part) in inside.chunks(MANY).enumerate() {
            let count = part.iter().fold(0u8, |count, &inside| count + u8::from(inside));
            if usize::from(count) == if start.is_some() { part.len() } else { 0 } {
                continue;
            }
            for (x, &inside) in (chunk * MANY..).zip(part) {
                match start {
                    None if inside => start = Some(x),
                    Some(from) if !inside => {
                        self.all.push(from..x);
                        start = None;
                    }
                    _ => {}
                }
            }
        }
        self.all.extend(start.map(|from| from..inside.len()));
        self.ends.push(self.all.len());
    }

    /// Adds the rows of a slice that comes after.
    fn append(&mut self, slice: &Self) {
        let before = self.all.len();
        self.all.extend_from_slice(&slice.all);
        self.ends.extend(slice.ends.iter().map(|end| before + end));
    }

    /// The numbers of the runs of a row.
    fn row(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[row]
    }
}

/// Calls `join` for all pairs of runs of two rows that are at most `reach` apart along x.
fn touch(
    runs: &[Range<usize>],
    row: Range<usize>,
    other: Range<usize>,
    reach: usize,
    mut join: impl FnMut(usize, usize),
) {
    let (mut a, mut b) = (row.start, other.start);
    while a < row.end && b < other.end {
        let (run, near) = (&runs[a], &runs[b]);
        if run.start < near.end + reach && near.start < run.end + reach {
            join(a, b);
        }
        if run.end < near.end { a += 1 } else { b += 1 }
    }
}

/// Runs that belong together: each points to an earlier one, or to itself.
struct Forest {
    parents: Vec<usize>,
}

impl Forest {
    fn of(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The number of each run's tree, from 1 by order of first runs, and how many trees there are.
    fn numbers(mut self) -> (Vec<u32>, usize) {
        let mut numbers: Vec<u32> = Vec::with_capacity(self.parents.len());
        let mut count = 0u32;
        for at in 0..self.parents.len() {
            let root = self.root(at);
            if root == at {
                count += 1;
            }
            numbers.push(if root == at { count } else { numbers[root] });
        }
        (numbers, count as usize)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr3};

    use super::*;

    fn drawn(picture: &[&str]) -> Array3<bool> {
        let width = picture[0].len();
        let voxels = picture.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        Array3::from_shape_vec((1, picture.len(), width), voxels).unwrap()
    }

    #[test]
    fn a_part_that_joins_late_keeps_its_first_number() {
        let mask = drawn(&["#.#.#", "#.#..", "###.#"]);

        let parts = Components::of(&mask, |&m| m, Connectivity::Faces);

        assert_eq!(*parts.labels(), arr3(&[[[1, 0, 1, 0, 2], [1, 0, 1, 0, 0], [1, 1, 1, 0, 3]]]));
        assert_eq!(parts.sizes(), [7, 1, 1]);
        assert_eq!(parts.largest(), Some(1));
    }

    #[test]
    fn runs_may_begin_and_end_anywhere_in_a_row() {
        let runs = [0..5, 31..32, 33..64, 65..96, 97..128, 130..224, 255..256];
        let mask = Array3::from_shape_fn((1, 2, 256), |(_, y, x)| {
            y == 1 || runs.iter().any(|run| run.contains(&x))
        });
        let sizes = |rows| Components::of(&mask.slice(rows), |&m| m, Connectivity::Faces).sizes;

        assert_eq!(sizes(ndarray::s![.., ..1, ..]), runs.clone().map(|run| run.len()));
        let inside: usize = runs.iter().map(Range::len).sum();
        assert_eq!(sizes(ndarray::s![.., .., ..]), [256 + inside]);
        // Whose rows are not slices.
        assert_eq!(sizes(ndarray::s![.., ..1, ..;-1]).len(), runs.len());
    }

    #[test]
    fn two_voxels_touch_by_face_edge_or_corner() {
        let count = |b: [usize; 3], connectivity| {
            let mut mask = Array3::from_elem((3, 3, 3), false);
            mask[[1, 1, 1]] = true;
            mask[b] = true;
            Components::of(&mask, |&m| m, connectivity).len()
        };

        let all = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners];
        assert_eq!(all.map(|c| count([1, 0, 1], c)), [1, 1, 1]);
        assert_eq!(all.map(|c| count([0, 1, 2], c)), [2, 1, 1]);
        assert_eq!(all.map(|c| count([2, 0, 2], c)), [2, 2, 1]);
    }

    #[test]
    fn of_equal_parts_the_first_is_largest_and_of_none_nothing_is() {
        let mask = drawn(&["##.##"]);

        assert_eq!(largest_component(&mask, |&m| m, Connectivity::Faces), drawn(&["##..."]),);
        let empty = drawn(&["..."]);
        assert_eq!(largest_component(&empty, |&m| m, Connectivity::Faces), empty);
    }

    #[test]
    fn holes_of_a_slice_are_filled_and_bays_are_not() {
        let mask = drawn(&["####.", "#.#..", "####.", "#.#.."]);

        assert_eq!(fill_holes(&mask, |&m| m), drawn(&["####.", "###..", "####.", "#.#.."]));
    }

    #[test]
    fn a_hole_of_a_volume_is_closed_on_all_sides() {
        let mut mask = Array3::from_elem((3, 3, 3), true);
        mask[[1, 1, 1]] = false;
        assert!(fill_holes(&mask, |&m| m).iter().all(|&m| m));

        mask[[0, 1, 1]] = false;
        assert_eq!(fill_holes(&mask, |&m| m), mask);
    }

    #[test]
    fn labels_of_a_label_map_need_no_mask() {
        let labels = arr3(&[[[2u16, 2, 0, 1, 2]]]);

        assert_eq!(Components::of(&labels, |&l| l == 2, Connectivity::Faces).sizes(), [2, 1]);
    }
}
