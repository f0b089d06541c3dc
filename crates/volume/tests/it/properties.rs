//! What holds for any mask and any grid.

use ndarray::{Array3, Array4};
use proptest::prelude::*;
use sconce_volume::{
    BoundingBox, Components, Connectivity, Grid, LabelMap, Orientation, SoftLabelMap, border,
    dilate, distance_to, erode, fill_holes, nearest, signed_distance,
};

fn masks() -> impl Strategy<Value = Array3<bool>> {
    // From nearly empty to nearly full, so that large and small parts and holes all occur.
    (1usize..6, 1usize..7, 1usize..9, 1u8..10).prop_flat_map(|(depth, height, width, density)| {
        proptest::collection::vec(0u8..10, depth * height * width).prop_map(move |noise| {
            let mask = noise.into_iter().map(|value| value < density).collect();
            Array3::from_shape_vec((depth, height, width), mask).unwrap()
        })
    })
}

fn spacings() -> impl Strategy<Value = [f64; 3]> {
    prop_oneof![Just([1.0; 3]), [0.3..4.0, 0.3..4.0, 0.3..4.0]]
}

fn connectivities() -> impl Strategy<Value = Connectivity> {
    prop_oneof![Just(Connectivity::Faces), Just(Connectivity::Edges), Just(Connectivity::Corners),]
}

/// Grids that run along the axes of the patient, in any order and direction, somewhere.
fn grids() -> impl Strategy<Value = Grid> {
    let order = Just([0usize, 1, 2]).prop_shuffle();
    let place = [-99.0..99.0, -99.0..99.0, -99.0..99.0];
    let tilt = -0.3..0.3f64;
    ([1usize..5, 1..5, 1..5], spacings(), order, [any::<bool>(); 3], place, tilt).prop_map(
        |(size, spacing, order, flips, origin, tilt)| {
            let mut direction = [[0.0; 3]; 3];
            for axis in 0..3 {
                direction[order[axis]][axis] = if flips[axis] { -1.0 } else { 1.0 };
            }
            // Turned about S, which mixes R and A.
            let (sin, cos) = tilt.sin_cos();
            let [right, anterior, superior] = direction;
            let mix = |a: f64, b: f64| std::array::from_fn(|i| a * right[i] + b * anterior[i]);
            Grid { size, spacing, origin, direction: [mix(cos, -sin), mix(sin, cos), superior] }
        },
    )
}

fn neighbours(connectivity: Connectivity) -> Vec<[isize; 3]> {
    let steps = match connectivity {
        Connectivity::Faces => 1,
        Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let all = (-1..=1).flat_map(|z| (-1..=1).flat_map(move |y| (-1..=1).map(move |x| [z, y, x])));
    all.filter(|step: &[isize; 3]| {
        (1..=steps).contains(&step.iter().filter(|&&along| along != 0).count())
    })
    .collect()
}

fn step(array: &Array3<bool>, at: [usize; 3], by: [isize; 3]) -> Option<[usize; 3]> {
    let mut to = [0; 3];
    for axis in 0..3 {
        to[axis] = at[axis].checked_add_signed(by[axis])?;
        if to[axis] >= array.shape()[axis] {
            return None;
        }
    }
    Some(to)
}

/// Components by flood fill.
fn flooded(mask: &Array3<bool>, connectivity: Connectivity) -> (Array3<u32>, Vec<usize>) {
    let mut labels = Array3::zeros(mask.dim());
    let mut sizes = Vec::new();
    for ((z, y, x), &inside) in mask.indexed_iter() {
        if !inside || labels[[z, y, x]] != 0 {
            continue;
        }
        sizes.push(0);
        let label = u32::try_from(sizes.len()).unwrap();
        labels[[z, y, x]] = label;
        let mut open = vec![[z, y, x]];
        while let Some(at) = open.pop() {
            sizes[label as usize - 1] += 1;
            for by in neighbours(connectivity) {
                let Some(next) = step(mask, at, by) else { continue };
                if mask[next] && labels[next] == 0 {
                    labels[next] = label;
                    open.push(next);
                }
            }
        }
    }
    (labels, sizes)
}

fn squared(a: (usize, usize, usize), b: (usize, usize, usize), spacing: [f64; 3]) -> f64 {
    let along = |a: usize, b: usize, mm: f64| (a.abs_diff(b) as f64 * mm).powi(2);
    along(a.0, b.0, spacing[0]) + along(a.1, b.1, spacing[1]) + along(a.2, b.2, spacing[2])
}

proptest! {
    #[test]
    fn components_are_those_of_a_flood_fill(mask in masks(), connectivity in connectivities()) {
        let found = Components::of(&mask, |&m| m, connectivity);

        let (labels, sizes) = flooded(&mask, connectivity);
        prop_assert_eq!(found.labels(), &labels);
        prop_assert_eq!(found.sizes(), &sizes[..]);
    }

    #[test]
    fn distances_are_those_of_a_search_of_all_features(mask in masks(), spacing in spacings()) {
        let found = nearest(&mask, |&m| m, spacing);

        prop_assert_eq!(&found.distance, &distance_to(&mask, |&m| m, spacing));
        let (_, height, width) = mask.dim();
        for (at, &distance) in found.distance.indexed_iter() {
            let features = mask.indexed_iter().filter(|&(_, &feature)| feature);
            let least = features.map(|(feature, _)| squared(at, feature, spacing));
            let expected = least.fold(f64::INFINITY, f64::min).sqrt();
            prop_assert!(
                approx::relative_eq!(distance, expected, max_relative = 1e-13),
                "{} is {} mm away, not {}", format!("{at:?}"), expected, distance,
            );
            let Some(flat) = found.feature[at] else {
                prop_assert!(distance == f64::INFINITY);
                continue;
            };
            let feature = (flat / (height * width), flat / width % height, flat % width);
            prop_assert!(mask[feature]);
            prop_assert!((squared(at, feature, spacing).sqrt() - distance).abs() <= 1e-13 * distance);
        }
    }

    #[test]
    fn signed_distance_of_the_complement_is_the_negative(mask in masks(), spacing in spacings()) {
        let inside = signed_distance(&mask, |&m| m, spacing);
        let outside = signed_distance(&mask, |&m| !m, spacing);

        prop_assert_eq!(inside.mapv(|d| d < 0.0), mask);
        prop_assert_eq!(inside, -outside);
    }

    #[test]
    fn growing_is_one_step_to_all_neighbours(mask in masks(), connectivity in connectivities()) {
        let grown = dilate(&mask, connectivity, 1);

        let expected = Array3::from_shape_fn(mask.dim(), |(z, y, x)| {
            let reached = |&by: &[isize; 3]| step(&mask, [z, y, x], by).is_some_and(|at| mask[at]);
            mask[[z, y, x]] || neighbours(connectivity).iter().any(reached)
        });
        prop_assert_eq!(grown, expected);
    }

    #[test]
    fn shrinking_is_growing_of_the_rest(mask in masks(), connectivity in connectivities()) {
        // With a margin, so that nothing depends on what lies beyond the array.
        let (depth, height, width) = mask.dim();
        let margin = usize::from(depth > 1);
        let mut padded = Array3::from_elem((depth + 2 * margin, height + 2, width + 2), false);
        let inner = BoundingBox {
            start: [margin, 1, 1],
            end: [margin + depth, 1 + height, 1 + width],
        };
        inner.paste(&mask, &mut padded).unwrap();

        let rest = padded.mapv(|m| !m);
        let expected = dilate(&rest, connectivity, 1).mapv(|m| !m);
        prop_assert_eq!(erode(&padded, connectivity, 1), expected.clone());
        prop_assert_eq!(inner.crop(&expected).unwrap(), erode(&mask, connectivity, 1));
        let rim = border(&mask, connectivity);
        prop_assert!(rim.iter().zip(&mask).all(|(&rim, &inside)| inside || !rim));
    }

    #[test]
    fn what_is_filled_has_no_holes(mask in masks()) {
        let filled = fill_holes(&mask, |&m| m);

        prop_assert!(mask.iter().zip(&filled).all(|(&before, &after)| after || !before));
        prop_assert_eq!(fill_holes(&filled, |&m| m), filled);
    }

    #[test]
    fn turning_there_and_back_changes_no_bit(grid in grids()) {
        let mut next = 0;
        let labels = Array3::from_shape_simple_fn(grid.size, || { next += 1; next });
        let labels = LabelMap::new(grid.clone(), labels).unwrap();
        let [depth, height, width] = grid.size;
        let soft = Array4::from_shape_fn((2, depth, height, width), |(class, z, y, x)| {
            let first = f32::from(labels.data[[z, y, x]]) / 64.0;
            if class == 0 { first } else { 1.0 - first }
        });
        let soft = SoftLabelMap::new(grid.clone(), soft).unwrap();

        for way in [Orientation::of(&grid), Orientation::closest(&grid)] {
            let there = way.apply(&labels);
            let back = way.inverse().apply(&there);

            prop_assert_eq!(&back, &labels);
            let bits = |grid: &Grid| format!("{grid:?}");
            prop_assert_eq!(bits(&back.grid), bits(&labels.grid));
            prop_assert_eq!(way.inverse().apply(&way.apply(&soft)), soft.clone());
            prop_assert_eq!(&there.grid, way.target());
            prop_assert_eq!(way.inverse().inverse(), way);
        }
    }

    #[test]
    fn turning_moves_no_voxel_in_the_patient(grid in grids()) {
        let labels = Array3::from_shape_fn(grid.size, |(z, y, x)| {
            u16::try_from((z * 5 + y) * 5 + x).unwrap()
        });
        let labels = LabelMap::new(grid, labels).unwrap();

        let turned = Orientation::of(&labels.grid).apply(&labels);

        let place = |map: &LabelMap, label: u16| {
            let ((z, y, x), _) = map.data.indexed_iter().find(|&(_, &at)| at == label).unwrap();
            map.grid.position([z as f64, y as f64, x as f64])
        };
        for label in labels.values() {
            let (before, after) = (place(&labels, label), place(&turned, label));
            prop_assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-9));
        }
        // Canonical, and stays so.
        let planar = turned.grid.size.contains(&1);
        prop_assert_eq!(planar, turned.grid.is_planar());
        prop_assert!(planar || turned.grid.axis_codes() == "RAS");
        prop_assert!(Orientation::of(&turned.grid).is_identity());
    }
}
