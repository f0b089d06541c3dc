//! The outline of a mask, as a path.

use std::collections::BTreeMap;

use ndarray::ArrayView2;

use super::svg::short;
use super::text::put;

/// A corner of the pixel grid, doubled so that the middle of an edge is whole: `[y, x]`.
type Corner = [i64; 2];

/// The outline of `mask` `(H, W)` as the data of an SVG path, in pixels: `x` to the right, `y` down,
/// `(0, 0)` the outer corner of the first pixel.
///
/// It runs through the middles of the pixel edges between inside and outside, so that it lies where
/// a contour at one half lies, and a single pixel is a diamond. The border of the array counts as
/// outside; pixels that touch at a corner only are parted. An empty mask has an empty path.
pub(super) fn path(mask: &ArrayView2<'_, bool>) -> String {
    let mut data = String::new();
    for ring in rings(mask) {
        let points = without_straight_parts(&ring);
        for (index, [y, x]) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            put!(data, "{command}{} {}", half(*x), half(*y));
        }
        data.push('Z');
    }
    data
}

/// Closed rings of edge middles, each with the inside on its right.
fn rings(mask: &ArrayView2<'_, bool>) -> Vec<Vec<Corner>> {
    let mut edges = edges(mask);
    let mut rings = Vec::new();
    while let Some((&start, _)) = edges.first_key_value() {
        let mut ring = Vec::new();
        let mut at = start;
        let mut came: Option<Corner> = None;
        while let Some(next) = take(&mut edges, at, came) {
            ring.push([i64::midpoint(at[0], next[0]), i64::midpoint(at[1], next[1])]);
            came = Some([next[0] - at[0], next[1] - at[1]]);
            at = next;
        }
        rings.push(ring);
    }
    rings
}

/// The edges between inside and outside: from each corner to where edges lead from it.
fn edges(mask: &ArrayView2<'_, bool>) -> BTreeMap<Corner, Vec<Corner>> {
    let mut edges: BTreeMap<Corner, Vec<Corner>> = BTreeMap::new();
    let inside = |y: Option<usize>, x: Option<usize>| {
        y.zip(x).and_then(|at| mask.get(at)).copied().unwrap_or(false)
    };
    for ((row, column), _) in mask.indexed_iter().filter(|(_, set)| **set) {
        let (y, x) = (2 * row.cast_signed() as i64, 2 * column.cast_signed() as i64);
        let sides = [
            (row.checked_sub(1), Some(column), [y, x], [y, x + 2]),
            (Some(row), Some(column + 1), [y, x + 2], [y + 2, x + 2]),
            (Some(row + 1), Some(column), [y + 2, x + 2], [y + 2, x]),
            (Some(row), column.checked_sub(1), [y + 2, x], [y, x]),
        ];
        for (other_row, other_column, from, to) in sides {
            if !inside(other_row, other_column) {
                edges.entry(from).or_default().push(to);
            }
        }
    }
    edges
}

/// Removes and returns where an edge leads from `at`; of two, the one that turns right, which keeps
/// pixels that touch at a corner apart.
fn take(
    edges: &mut BTreeMap<Corner, Vec<Corner>>,
    at: Corner,
    came: Option<Corner>,
) -> Option<Corner> {
    let ways = edges.get_mut(&at)?;
    let right = came.map(|[dy, dx]| [at[0] + dx, at[1] - dy]);
    let index = ways.iter().position(|way| Some(*way) == right).unwrap_or(0);
    let next = ways.swap_remove(index);
    if ways.is_empty() {
        edges.remove(&at);
    }
    Some(next)
}

/// The ring without points that lie on the line between their neighbors.
fn without_straight_parts(ring: &[Corner]) -> Vec<Corner> {
    let count = ring.len();
    (0..count)
        .filter(|&index| {
            let ([ay, ax], [by, bx], [cy, cx]) =
                (ring[(index + count - 1) % count], ring[index], ring[(index + 1) % count]);
            (bx - ax) * (cy - by) != (by - ay) * (cx - bx)
        })
        .map(|index| ring[index])
        .collect()
}

fn half(doubled: i64) -> String {
    short(doubled as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn a_pixel_is_a_diamond() {
        let mask = array![[false, false], [false, true]];

        assert_eq!(path(&mask.view()), "M1.5 1L2 1.5L1.5 2L1 1.5Z");
    }

    #[test]
    fn straight_sides_have_no_points_between() {
        let mask = Array2::from_elem((3, 4), true);

        // Each corner is cut, so that a rectangle has eight points.
        assert_eq!(path(&mask.view()).matches(['M', 'L']).count(), 8);
    }

    #[test]
    fn a_hole_is_a_second_ring_and_touching_corners_are_parted() {
        let mut ring = Array2::from_elem((3, 3), true);
        ring[[1, 1]] = false;
        let touching = array![[true, false], [false, true]];

        assert_eq!(path(&ring.view()).matches('Z').count(), 2);
        assert_eq!(path(&touching.view()).matches('Z').count(), 2);
    }

    #[test]
    fn an_empty_mask_has_no_outline() {
        assert_eq!(path(&Array2::from_elem((2, 2), false).view()), "");
        assert_eq!(path(&Array2::from_elem((0, 0), false).view()), "");
    }

    proptest::proptest! {
        /// Twice the signed area of all rings is that of the mask, but for the cut corners: each
        /// convex one takes 1/8 of a pixel, each concave one gives it back.
        #[test]
        fn rings_close_and_enclose_the_mask(bits in proptest::collection::vec(proptest::bool::ANY, 30)) {
            let mask = Array2::from_shape_vec((5, 6), bits).unwrap();
            let mut doubled = 0;
            for ring in rings(&mask.view()) {
                for (index, [ay, ax]) in ring.iter().enumerate() {
                    let [by, bx] = ring[(index + 1) % ring.len()];
                    doubled += ax * by - bx * ay;
                    // Neighbors are the middles of edges that share a corner.
                    proptest::prop_assert!((ax - bx).abs() + (ay - by).abs() == 2);
                }
            }
            let pixels = mask.iter().filter(|set| **set).count();
            // In units where a pixel has area 4, twice that is 8, and a cut corner is 1 of them.
            let (full, cut) = corners(&mask);
            proptest::prop_assert_eq!(doubled, 8 * i64::try_from(pixels).unwrap() - full + cut);
        }
    }

    /// The numbers of convex and of concave corners of a mask.
    fn corners(mask: &Array2<bool>) -> (i64, i64) {
        let (height, width) = mask.dim();
        let at = |y: usize, x: usize| {
            y > 0 && x > 0 && y <= height && x <= width && mask[[y - 1, x - 1]]
        };
        let (mut convex, mut concave) = (0, 0);
        for y in 0..=height {
            for x in 0..=width {
                let around = [at(y, x), at(y, x + 1), at(y + 1, x), at(y + 1, x + 1)];
                match around.iter().filter(|set| **set).count() {
                    1 => convex += 1,
                    3 => concave += 1,
                    // Two pixels that touch at a corner only.
                    2 if around[0] == around[3] => convex += 2,
                    _ => (),
                }
            }
        }
        (convex, concave)
    }
}
