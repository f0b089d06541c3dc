use std::ops::Range;

use rayon::prelude::*;

use super::parts::Part;
use super::{Distances, Surfaces};

/// Parts that are compared with a place in one go.
const LEAF: usize = 32;

/// Parts that are compared with a place at once.
const LANES: usize = 4;

/// Parts that one thread measures in one go.
const CHUNK: usize = 1 << 12;

/// The parts of a surface, ordered so that the nearest one to a place is soon found: a k-d tree.
///
/// A distance transform looks at each voxel around both masks; this looks at surfaces alone, of
/// which there is far less, and takes no memory for what lies between them. Of two surfaces a
/// few voxels apart it needs a small part, since neighbours in order are neighbours in space, and
/// where one was near, the next one begins.
struct Tree {
    spacing: [f64; 3],
    /// Those of one leaf after those of the other.
    parts: Vec<Part>,
    /// The same places, axis by axis; the first of a leaf again, where it is not full.
    leaves: Vec<[[i32; LEAF]; 3]>,
    /// Around each node, the root's at 1, those of the children of `n` at `2 n` and `2 n + 1`.
    boxes: Vec<Bounds>,
}

/// The distances between the parts of a reference's and of a prediction's surface; `areas` by their
/// codes, where they do not count alike.
pub(super) fn between(
    [reference, prediction]: [Vec<Part>; 2],
    areas: Option<&[f64]>,
    spacing: [f64; 3],
) -> Surfaces {
    let (reference, prediction) =
        rayon::join(|| Tree::new(reference, spacing), || Tree::new(prediction, spacing));
    let (from_reference, from_prediction) = rayon::join(
        || reference.distances_to(&prediction, areas),
        || prediction.distances_to(&reference, areas),
    );
    Surfaces { from_reference, from_prediction }
}

/// The least and the greatest place of several along each axis.
#[derive(Clone, Copy)]
struct Bounds {
    least: [i32; 3],
    greatest: [i32; 3],
}

impl Bounds {
    const NONE: Self = Self { least: [i32::MAX; 3], greatest: [i32::MIN; 3] };

    fn with(self, other: Self) -> Self {
        Self {
            least: std::array::from_fn(|i| self.least[i].min(other.least[i])),
            greatest: std::array::from_fn(|i| self.greatest[i].max(other.greatest[i])),
        }
    }

    fn of(parts: &[Part]) -> Self {
        parts
            .iter()
            .fold(Self::NONE, |all, part| all.with(Self { least: part.at, greatest: part.at }))
    }

    /// The axis along which they are longest, in mm.
    fn longest(self, spacing: [f64; 3]) -> usize {
        let mm = |i: usize| f64::from(self.greatest[i] - self.least[i]) * spacing[i];
        (1..3).fold(0, |longest, i| if mm(i) > mm(longest) { i } else { longest })
    }
}

impl Tree {
    fn new(mut parts: Vec<Part>, spacing: [f64; 3]) -> Self {
        let count = parts.len().div_ceil(LEAF).next_power_of_two();
        let total = parts.len();
        // Where each leaf starts.
        let starts = |leaf: usize| leaf * total / count;
        order(&mut parts, 0..count, &starts, spacing);

        let members = |leaf: usize| &parts[starts(leaf)..starts(leaf + 1)];
        let mut boxes = vec![Bounds::NONE; count];
        boxes.extend((0..count).map(|leaf| Bounds::of(members(leaf))));
        for node in (1..count).rev() {
            boxes[node] = boxes[2 * node].with(boxes[2 * node + 1]);
        }
        let leaves = (0..count).map(members).map(|all| {
            let at = |i: usize, axis: usize| all.get(i).or(all.first()).map_or(0, |it| it.at[axis]);
            std::array::from_fn(|axis| std::array::from_fn(|i| at(i, axis)))
        });
        let leaves = leaves.collect();
        Self { spacing, parts, leaves, boxes }
    }

    /// From each part to the nearest one of another surface.
    fn distances_to(&self, other: &Self, areas: Option<&[f64]>) -> Distances {
        let mm = if other.parts.is_empty() {
            vec![f64::INFINITY; self.parts.len()]
        } else {
            let chunks = self.parts.par_chunks(CHUNK).flat_map_iter(|parts| {
                let mut near = 0;
                parts.iter().map(move |part| {
                    // Where surfaces coincide, nothing has to be looked for.
                    if part.shared { 0.0 } else { other.squared(&part.at, &mut near).sqrt() }
                })
            });
            chunks.collect()
        };
        let area =
            |areas: &[f64]| self.parts.iter().map(|it| areas[usize::from(it.code)]).collect();
        Distances::sorted(mm, areas.map(area))
    }

    /// The square of the distance from a place to the nearest part, mm², beginning with the leaf
    /// `near`, which becomes the one where that part is.
    ///
    /// Squares are summed from the slowest axis on, so that distances have the very bits that
    /// distance transforms of scipy and of `volume` give them, and what lies exactly at some
    /// tolerance for others does so here.
    fn squared(&self, at: &[i32; 3], near: &mut usize) -> f64 {
        let mut best = self.within_leaf(*near, at);
        let mut node = self.leaves.len() + *near;
        while node > 1 {
            if self.least(node ^ 1, at) < best {
                self.look_below(node ^ 1, at, &mut best, near);
            }
            node /= 2;
        }
        best
    }

    /// Looks for a nearer part than at `best` below a node.
    fn look_below(&self, node: usize, at: &[i32; 3], best: &mut f64, near: &mut usize) {
        if let Some(leaf) = node.checked_sub(self.leaves.len()) {
            let found = self.within_leaf(leaf, at);
            if found < *best {
                (*best, *near) = (found, leaf);
            }
            return;
        }
        let (a, b) = (2 * node, 2 * node + 1);
        let (a, b) = ((a, self.least(a, at)), (b, self.least(b, at)));
        let (nearer, further) = if b.1 < a.1 { (b, a) } else { (a, b) };
        if nearer.1 < *best {
            self.look_below(nearer.0, at, best, near);
        }
        if further.1 < *best {
            self.look_below(further.0, at, best, near);
        }
    }

    /// The square of the distance to the nearest part of a leaf.
    fn within_leaf(&self, leaf: usize, at: &[i32; 3]) -> f64 {
        let square = |axis: usize, place: i32| {
            let mm = f64::from(place - at[axis]) * self.spacing[axis];
            mm * mm
        };
        let [z, y, x] = self.leaves[leaf].each_ref().map(|places| places.as_chunks::<LANES>().0);
        // Several at once: one alone would have to wait for each comparison.
        let mut least = [f64::INFINITY; LANES];
        for ((z, y), x) in z.iter().zip(y).zip(x) {
            for (i, least) in least.iter_mut().enumerate() {
                let sum = square(0, z[i]) + square(1, y[i]) + square(2, x[i]);
                *least = if sum < *least { sum } else { *least };
            }
        }
        least.into_iter().fold(f64::INFINITY, f64::min)
    }

    /// What the square of the distance to any part below a node is at least. As it is rounded like
    /// those, it is so to the last bit.
    #[inline]
    fn least(&self, node: usize, at: &[i32; 3]) -> f64 {
        let Bounds { least, greatest } = &self.boxes[node];
        let square = |axis: usize| {
            let voxels = (least[axis] - at[axis]).max(at[axis] - greatest[axis]).max(0);
            let mm = f64::from(voxels) * self.spacing[axis];
            mm * mm
        };
        square(0) + square(1) + square(2)
    }
}

/// Orders the parts of some leaves so that each of these fills a small box.
fn order(
    parts: &mut [Part],
    leaves: Range<usize>,
    starts: &(impl Fn(usize) -> usize + Sync),
    spacing: [f64; 3],
) {
    /// Parts for which a thread of their own is worth it.
    const MANY: usize = 1 << 13;
    let half = usize::midpoint(leaves.start, leaves.end);
    if half == leaves.start {
        return;
    }
    let axis = Bounds::of(parts).longest(spacing);
    let middle = starts(half) - starts(leaves.start);
    parts.select_nth_unstable_by_key(middle, |part| part.at[axis]);
    let (a, b) = parts.split_at_mut(middle);
    let mut a = || order(a, leaves.start..half, starts, spacing);
    let mut b = || order(b, half..leaves.end, starts, spacing);
    if middle < MANY {
        a();
        b();
    } else {
        rayon::join(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places in a cube of `side` voxels that look random.
    fn scattered(count: u32, side: u32, seed: u32) -> Vec<Part> {
        let mut state = seed;
        let mut place = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i32::try_from((state >> 8) % side).unwrap()
        };
        let parts = (0..count).map(|_| [place(), place(), place()]);
        parts.map(|at| Part { at, code: 1, shared: false }).collect()
    }

    #[test]
    fn the_nearest_part_is_that_of_a_search_of_all() {
        let spacing = [1.5, 0.7, 0.9];
        let from = scattered(200, 60, 7);
        for (count, side) in [(1, 9), (32, 9), (33, 9), (500, 12), (3000, 40), (100, 1)] {
            let to = scattered(count, side, 3);
            let least = |part: &Part| {
                let square = |axis: usize, to: &Part| {
                    (f64::from(to.at[axis] - part.at[axis]) * spacing[axis]).powi(2)
                };
                let all = to.iter().map(|to| square(0, to) + square(1, to) + square(2, to));
                all.fold(f64::INFINITY, f64::min).sqrt()
            };
            let expected = Distances::sorted(from.iter().map(least).collect(), None);

            let found = between([from.clone(), to.clone()], None, spacing);

            // To the last bit.
            assert_eq!(found.from_reference, expected);
            assert_eq!(found.from_prediction.len(), to.len());
        }
    }

    #[test]
    fn what_is_shared_is_not_looked_for_and_nothing_is_infinitely_far() {
        let mut parts = scattered(50, 9, 1);
        let to_nothing = between([parts.clone(), Vec::new()], None, [1.0; 3]);
        assert_eq!(to_nothing.from_reference.millimeters(), [f64::INFINITY; 50]);
        assert!(to_nothing.from_prediction.is_empty());

        for part in &mut parts {
            part.shared = true;
        }
        let far = vec![Part { at: [99; 3], code: 1, shared: true }];
        let found = between([parts, far], None, [1.0; 3]);
        assert_eq!(found.from_reference.maximum(), Some(0.0));
    }
}
