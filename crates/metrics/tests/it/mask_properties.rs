//! What holds for any two masks.

use ndarray::{Array3, Axis};
use proptest::prelude::*;
use sconce_metrics::{
    Assd, Dice, Hd, Hd95, Iou, MaskPair, Mcc, Metric, MetricConfig, NonNegative, Nsd, Region,
    Sides, Specificity, Surface, VolumeDifference,
};
use volume::{Connectivity, Grid, LabelMap, border};

/// Two masks of one shape: blobs that overlap in part, or noise, or nothing.
fn pairs() -> impl Strategy<Value = [Array3<bool>; 2]> {
    (1usize..6, 1usize..8, 2usize..9).prop_flat_map(|(depth, height, width)| {
        let voxels = depth * height * width;
        let mask = (proptest::collection::vec(0u8..10, voxels), 0u8..8).prop_map(
            move |(noise, density)| {
                let voxels = noise.into_iter().map(|value| value < density).collect();
                Array3::from_shape_vec((depth, height, width), voxels).unwrap()
            },
        );
        [mask.clone(), mask]
    })
}

fn spacings() -> impl Strategy<Value = [f64; 3]> {
    prop_oneof![Just([1.0; 3]), [0.3..4.0, 0.3..4.0, 0.3..4.0]]
}

fn pair(masks: &[Array3<bool>; 2], spacing: [f64; 3]) -> MaskPair {
    MaskPair::new(&masks[0], &masks[1], &spacing).unwrap()
}

fn distances() -> Vec<Box<dyn Metric>> {
    let mut all: Vec<Box<dyn Metric>> = Vec::new();
    for surface in Surface::ALL {
        all.push(Box::new(Hd { surface }));
        all.push(Box::new(Assd { surface }));
        for sides in [Sides::Worse, Sides::Pooled] {
            all.push(Box::new(Hd95 { surface, sides }));
        }
    }
    all
}

fn nsd(surface: Surface, tolerance: f64, pair: &MaskPair) -> Option<f64> {
    let tolerance = NonNegative::try_from(tolerance).unwrap();
    Nsd { tolerance, surface, ..Nsd::default() }.measure(pair)
}

/// Equal up to rounding, or both undefined.
fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => approx::relative_eq!(a, b, max_relative = 1e-9, epsilon = 1e-9),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn which_mask_is_the_reference_does_not_matter(masks in pairs(), spacing in spacings()) {
        let [reference, prediction] = masks.clone();
        let (there, back) = (pair(&masks, spacing), pair(&[prediction, reference], spacing));

        for metric in distances() {
            prop_assert!(same(metric.measure(&there), metric.measure(&back)), "{:?}", metric);
        }
        let overlaps: [&dyn Metric; 4] =
            [&Dice::default(), &Iou::default(), &Mcc {}, &Nsd::default()];
        for metric in overlaps {
            prop_assert!(same(metric.measure(&there), metric.measure(&back)), "{:?}", metric);
        }
    }

    #[test]
    fn turning_and_mirroring_both_masks_changes_nothing(
        masks in pairs(),
        spacing in spacings(),
        order in Just([0usize, 1, 2]).prop_shuffle(),
        flips in any::<[bool; 3]>(),
    ) {
        let turned = masks.clone().map(|mask| {
            let mut mask = mask.permuted_axes(order);
            for axis in (0..3).filter(|&axis| flips[axis]) {
                mask.invert_axis(Axis(axis));
            }
            mask
        });
        let before = pair(&masks, spacing);
        let after = pair(&turned, order.map(|axis| spacing[axis]));

        for metric in MetricConfig::defaults() {
            let (a, b) = (metric.as_dyn().measure(&before), metric.as_dyn().measure(&after));
            prop_assert!(same(a, b), "{:?}: {:?} and {:?}", metric, a, b);
        }
        for metric in distances() {
            // A percentile of areas may fall on the next distance by rounding alone.
            if !format!("{metric:?}").contains("Elements") {
                prop_assert!(same(metric.measure(&before), metric.measure(&after)), "{:?}", metric);
            }
        }
    }

    #[test]
    fn distances_are_in_order(masks in pairs(), spacing in spacings()) {
        let pair = pair(&masks, spacing);
        for surface in Surface::ALL {
            let Some(hd) = (Hd { surface }).measure(&pair) else {
                prop_assert!(pair.has_empty());
                continue;
            };
            for sides in [Sides::Worse, Sides::Pooled] {
                let hd95 = Hd95 { surface, sides }.measure(&pair).unwrap();
                prop_assert!((0.0..=hd).contains(&hd95));
            }
            let assd = (Assd { surface }).measure(&pair).unwrap();
            prop_assert!((0.0..=hd + 1e-9).contains(&assd));
        }
    }

    #[test]
    fn surface_dice_grows_with_the_tolerance(masks in pairs(), spacing in spacings()) {
        let pair = pair(&masks, spacing);
        for surface in Surface::ALL {
            let shares: Vec<Option<f64>> =
                [0.0, 0.5, 1.0, 2.0, 4.0].map(|mm| nsd(surface, mm, &pair)).to_vec();
            let in_order = |two: &[Option<f64>]| two[0].unwrap_or(0.0) <= two[1].unwrap_or(0.0);
            prop_assert!(shares.windows(2).all(in_order));
            prop_assert!(shares.iter().flatten().all(|share| (0.0..=1.0).contains(share)));
            if let Some(hd) = (Hd { surface }).measure(&pair) {
                prop_assert!(same(nsd(surface, hd, &pair), Some(1.0)));
            }
        }
    }

    #[test]
    fn hausdorff_is_that_of_a_search_of_all_border_voxels(
        masks in pairs(),
        spacing in spacings(),
    ) {
        let (depth, height, width) = masks[0].dim();
        // With background around, so that the edge of the array is outside.
        let borders = masks.clone().map(|mask| {
            let mut wide = Array3::from_elem((depth + 2, height + 2, width + 2), false);
            wide.slice_mut(ndarray::s![1..=depth, 1..=height, 1..=width]).assign(&mask);
            let border = border(&wide, Connectivity::Faces);
            let voxels = border.indexed_iter().filter(|&(_, &here)| here);
            voxels.map(|((z, y, x), _)| [z, y, x].map(|at| at as f64)).collect::<Vec<_>>()
        });
        let apart = |a: &[f64; 3], b: &[f64; 3]| {
            (0..3).map(|i| ((a[i] - b[i]) * spacing[i]).powi(2)).sum::<f64>().sqrt()
        };
        let farthest = |from: &[[f64; 3]], to: &[[f64; 3]]| {
            let nearest = |a| to.iter().map(|b| apart(a, b)).fold(f64::INFINITY, f64::min);
            from.iter().map(nearest).fold(f64::NEG_INFINITY, f64::max)
        };
        let expected =
            farthest(&borders[0], &borders[1]).max(farthest(&borders[1], &borders[0]));

        let found = Hd { surface: Surface::Voxels }.measure(&pair(&masks, spacing));
        prop_assert!(same(found, Some(expected).filter(|mm| mm.is_finite())));
    }

    #[test]
    fn more_background_changes_only_what_counts_it(masks in pairs(), spacing in spacings()) {
        let (depth, height, width) = masks[0].dim();
        let wide = masks.clone().map(|mask| {
            let mut wide = Array3::from_elem((depth + 3, height + 2, width + 4), false);
            wide.slice_mut(ndarray::s![2..2 + depth, ..height, 3..3 + width]).assign(&mask);
            wide
        });
        let (before, after) = (pair(&masks, spacing), pair(&wide, spacing));

        for metric in MetricConfig::defaults() {
            if !["specificity", "accuracy", "balanced_accuracy", "mcc"].contains(&metric.name()) {
                let (a, b) = (metric.as_dyn().measure(&before), metric.as_dyn().measure(&after));
                prop_assert!(same(a, b), "{:?}: {:?} and {:?}", metric, a, b);
            }
        }
        let specificity = |pair: &MaskPair| Specificity {}.measure(pair);
        prop_assert!(specificity(&after) >= specificity(&before));
    }

    #[test]
    fn label_maps_are_scored_as_their_masks(masks in pairs(), spacing in spacings()) {
        let (depth, height, width) = masks[0].dim();
        let grid = Grid::new([depth, height, width], spacing).unwrap();
        let map = |mask: &Array3<bool>| {
            LabelMap::new(grid.clone(), mask.mapv(|inside| if inside { 3 } else { 1 })).unwrap()
        };
        let maps = MaskPair::of(&map(&masks[0]), &map(&masks[1]), 3).unwrap();
        let masks = match [depth, height, width].iter().position(|&voxels| voxels == 1) {
            None => pair(&masks, spacing),
            Some(axis) => {
                let plane = masks.clone().map(|mask| mask.index_axis_move(Axis(axis), 0));
                let mut spacing = spacing.to_vec();
                spacing.remove(axis);
                MaskPair::new(&plane[0], &plane[1], &spacing).unwrap()
            }
        };

        for metric in MetricConfig::defaults() {
            prop_assert_eq!(metric.as_dyn().measure(&maps), metric.as_dyn().measure(&masks));
        }
    }

    #[test]
    fn what_is_ignored_might_as_well_be_background(masks in pairs(), spacing in spacings()) {
        let (depth, height, width) = masks[0].dim();
        let grid = Grid::new([depth, height, width], spacing).unwrap();
        let map = |labels| LabelMap::new(grid.clone(), labels).unwrap();
        let reference = masks[0].mapv(|inside| if inside { 1 } else { 9 });
        let prediction = masks[1].mapv(u16::from);
        let region = Region::class(1).ignoring(Some(9));

        let pair = MaskPair::of_region(&map(reference), &map(prediction), &region).unwrap();

        let inside = masks[0].iter().filter(|&&inside| inside).count();
        prop_assert_eq!(pair.counts().total(), inside as u64);
        prop_assert_eq!(pair.counts().false_positives, 0);
        let difference = VolumeDifference {}.measure(&pair);
        prop_assert!(difference <= Some(0.0));
    }
}
