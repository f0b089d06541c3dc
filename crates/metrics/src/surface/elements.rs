use ndarray::{Array3, s};

use super::{Surfaces, parts, tree};
use crate::scan::Masks;

/// Distances between surface elements: the corners of the voxel grid where not all voxels around
/// are alike.
pub(super) fn distances(masks: &Masks, rank: usize, spacing: [f64; 3]) -> Surfaces {
    let (depth, height, width) = masks.reference.dim();
    let size = [depth + 2 - rank, height - 1, width - 1];
    let parts = parts::find([&masks.reference, &masks.prediction], size, |mask, row, codes| {
        encode(mask, rank, row, codes);
    });
    tree::between(parts, Some(&areas(rank, spacing)), spacing)
}

/// For each corner of a row between the voxels of a mask, which of the voxels around it are inside:
/// bit `4 z + 2 y + x` for the one that lies on the far side along the axes that are 1. No bit is
/// set where all of them are.
fn encode(mask: &Array3<bool>, rank: usize, [z, y]: [usize; 2], codes: &mut [u8]) {
    let row = |z: usize, y: usize| mask.slice(s![z, y, ..]).to_slice().unwrap_or_default();
    codes.fill(0);
    add_bits::<0>(codes, row(z, y), row(z, y + 1));
    let mut all = 0b1111;
    if rank == 3 {
        add_bits::<4>(codes, row(z + 1, y), row(z + 1, y + 1));
        all = 0b1111_1111;
    }
    for code in codes {
        *code = if *code == all { 0 } else { *code };
    }
}

/// Sets the bits of the voxels of two rows, `FIRST` and three more. Compiles to vector code.
fn add_bits<const FIRST: u32>(codes: &mut [u8], near: &[bool], far: &[bool]) {
    let near = near.iter().zip(&near[1..]);
    let far = far.iter().zip(&far[1..]);
    for ((code, near), far) in codes.iter_mut().zip(near).zip(far) {
        let bit = |inside: &bool, bit: u32| u8::from(*inside) << (FIRST + bit);
        *code |= bit(near.0, 0) | bit(near.1, 1) | bit(far.0, 2) | bit(far.1, 3);
    }
}

/// The area of the surface through a corner, mm² (in the plane its length, mm), for each code.
///
/// Inside and outside change places without changing the surface, so that at most four voxels
/// need to be looked at. The surface cuts edges between an inside and an outside voxel in the
/// middle; voxels that share no face have nothing to do with each other, and each group of those
/// that do is one of six shapes. The areas agree with the 256 triangulated cases of marching cubes
/// that DeepMind's surface-distance lists.
fn areas(rank: usize, spacing: [f64; 3]) -> Vec<f64> {
    if rank == 2 {
        let [_, y, x] = spacing;
        return (0..16).map(|code| length(code, y, x)).collect();
    }
    let [z, y, x] = spacing;
    let faces = [y * x, z * x, z * y];
    (0..=u8::MAX).map(|code| groups(code).iter().map(|group| area(group, faces)).sum()).collect()
}

/// In the plane: a cut corner is half a diagonal, a straight border a whole edge.
fn length(code: u8, y: f64, x: f64) -> f64 {
    let diagonal = 0.5 * y.hypot(x);
    match code {
        0b0000 | 0b1111 => 0.0,
        0b0011 | 0b1100 => x,
        0b0101 | 0b1010 => y,
        0b0110 | 0b1001 => 2.0 * diagonal,
        _ => diagonal,
    }
}

/// The voxels around a corner that are inside, or outside where these are fewer, in groups that
/// are connected by faces.
fn groups(code: u8) -> Vec<Vec<u8>> {
    let code = if code.count_ones() > 4 { !code } else { code };
    let mut rest: Vec<u8> = (0..8).filter(|bit| code >> bit & 1 == 1).collect();
    let mut groups = Vec::new();
    while let Some(first) = rest.pop() {
        let mut group = vec![first];
        while let Some(at) = rest.iter().position(|&a| group.iter().any(|&b| adjacent(a, b))) {
            group.push(rest.swap_remove(at));
        }
        groups.push(group);
    }
    groups
}

fn adjacent(a: u8, b: u8) -> bool {
    (a ^ b).is_power_of_two()
}

/// The area that separates a group of connected voxels from the rest. Each piece of it is given by
/// how much of a voxel's face it covers when looked at along z, y and x.
fn area(group: &[u8], faces: [f64; 3]) -> f64 {
    let piece = |covered: [f64; 3]| {
        covered.iter().zip(faces).map(|(share, face)| (share * face).powi(2)).sum::<f64>().sqrt()
    };
    let without =
        |axis: usize, share: f64| std::array::from_fn(|i| if i == axis { 0.0 } else { share });
    let only =
        |axis: usize, share: f64| std::array::from_fn(|i| if i == axis { share } else { 0.0 });

    let neighbours = |a: u8| group.iter().filter(|&&b| adjacent(a, b)).count();
    let links = || {
        let pairs = group.iter().flat_map(|&a| group.iter().map(move |&b| (a, b)));
        pairs.filter(|&(a, b)| adjacent(a, b))
    };
    // Bits 4, 2 and 1 are the axes z, y and x.
    let axis = |(a, b): (u8, u8)| 2 - (a ^ b).trailing_zeros() as usize;
    let used: Vec<usize> = (0..3).filter(|&i| links().any(|link| axis(link) == i)).collect();
    let unused = (0..3).find(|i| !used.contains(i)).unwrap_or(0);
    match group.len() {
        1 => piece([1.0 / 8.0; 3]),
        2 => piece(without(used[0], 0.5)),
        // A triangle that cuts the face of the three, and a trapezoid.
        3 => piece(only(unused, 0.5)) + piece([3.0 / 8.0; 3]),
        // A whole face.
        _ if used.len() == 2 => piece(only(unused, 1.0)),
        // One voxel with its three neighbours: a regular hexagon, on cubes.
        _ if group.iter().any(|&a| neighbours(a) == 3) => piece([3.0 / 4.0; 3]),
        // A chain that turns twice: a hexagon that is not flat, bent about its middle link.
        _ => {
            let middle = links().find(|&(a, b)| neighbours(a) == 2 && neighbours(b) == 2);
            let sides = (0..3).filter(|&i| middle.is_none_or(|link| axis(link) != i));
            piece([1.0 / 2.0; 3]) + sides.map(|side| piece(without(side, 0.25))).sum::<f64>()
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use super::*;

    #[test]
    fn areas_of_the_six_shapes() {
        let areas = areas(3, [1.0; 3]);
        let at = |code: u8| areas[usize::from(code)];
        let (root2, root3) = (2f64.sqrt(), 3f64.sqrt());

        let close = |a: f64, b: f64| approx::assert_abs_diff_eq!(a, b, epsilon = 1e-15);
        close(at(0), 0.0);
        // An equilateral triangle of side 1/√2.
        close(at(0b0000_0001), root3 / 8.0);
        // A rectangle of 1 by 1/√2.
        close(at(0b0000_0011), root2 / 2.0);
        close(at(0b0000_0111), 0.5 + 3.0 * root3 / 8.0);
        close(at(0b0000_1111), 1.0);
        // A hexagon of side 1/√2.
        close(at(0b0001_0111), 3.0 * root3 / 4.0);
        close(at(0b0010_0111), root3 / 2.0 + root2 / 2.0);
        // Four voxels that touch only along edges.
        close(at(0b0110_1001), root3 / 2.0);
    }

    #[test]
    fn inside_and_outside_have_the_same_surface() {
        for rank in [2, 3] {
            let areas = areas(rank, [2.5, 1.0, 0.7]);
            assert_eq!(areas.len(), 1 << (1 << rank));
            let mirrored: Vec<f64> = areas.iter().rev().copied().collect();
            for (a, b) in areas.iter().zip(mirrored) {
                approx::assert_relative_eq!(*a, b, max_relative = 1e-14);
            }
        }
    }

    #[test]
    fn a_wall_has_the_area_of_its_faces() {
        let areas = areas(3, [5.0, 2.0, 1.0]);

        // Inside below, left of or in front of a corner: all voxels of one face.
        assert_eq!(areas[0b0000_1111], 2.0);
        assert_eq!(areas[0b0011_0011], 5.0);
        assert_eq!(areas[0b0101_0101], 10.0);
    }
}
