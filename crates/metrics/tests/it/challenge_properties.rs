//! What holds for the rules of any challenge, for lesions, and for distances between distributions.

use ndarray::{Array3, Axis, s};
use proptest::prelude::*;
use sconce_metrics::{
    Better, ChallengeConfig, Dice, Hd, Iou, MaskPair, Metric, Panoptic, PartScores, Region,
    Surface, crps, energy_distance,
};
use volume::{Connectivity, Grid, LabelMap};

/// Background around lesions, so that none touches the edge, and none grows beyond it.
const MARGIN: usize = 5;

/// A mask of up to four boxes, which may touch or not, with background around.
fn lesions() -> impl Strategy<Value = Array3<bool>> {
    let lesion = ([0usize..10, 0usize..10, 0usize..10], [1usize..5, 1usize..5, 1usize..5]);
    proptest::collection::vec(lesion, 0..5).prop_map(|lesions| {
        let mut mask = Array3::from_elem([14 + 2 * MARGIN; 3], false);
        for ([z, y, x], [d, h, w]) in lesions {
            let [z, y, x] = [z, y, x].map(|at| at + MARGIN);
            mask.slice_mut(s![z..z + d, y..y + h, x..x + w]).fill(true);
        }
        mask
    })
}

fn pair(reference: &Array3<bool>, prediction: &Array3<bool>) -> MaskPair {
    MaskPair::new(reference, prediction, &[2.0, 1.0, 1.0]).unwrap()
}

/// What every challenge says of every region of its own: challenge, region and score → value.
fn measured(pair: &MaskPair) -> Vec<(String, Option<f64>, Better)> {
    let mut found = Vec::new();
    for config in ChallengeConfig::defaults() {
        let challenge = config.as_dyn();
        for part in challenge.parts() {
            for score in PartScores::of(challenge, part, pair).scores {
                let name = format!("{} {} {}", challenge.name(), part.name, score.name);
                found.push((name, score.value, score.scale.better));
            }
        }
    }
    found
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => approx::relative_eq!(a, b, max_relative = 1e-9, epsilon = 1e-9),
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn mirroring_both_masks_changes_nothing(
        masks in [lesions(), lesions()],
        flips in any::<[bool; 3]>(),
    ) {
        let mirrored = masks.clone().map(|mut mask| {
            for axis in (0..3).filter(|&axis| flips[axis]) {
                mask.invert_axis(Axis(axis));
            }
            mask
        });
        let after = measured(&pair(&mirrored[0], &mirrored[1]));
        for ((name, before, _), (_, after, _)) in
            measured(&pair(&masks[0], &masks[1])).into_iter().zip(after)
        {
            prop_assert!(same(before, after), "{name}: {before:?} and {after:?}");
        }
    }

    #[test]
    fn more_background_changes_nothing(masks in [lesions(), lesions()]) {
        let wide = masks.clone().map(|mask| {
            let (d, h, w) = mask.dim();
            let mut wide = Array3::from_elem((d + 3, h + 1, w + 2), false);
            wide.slice_mut(s![2..2 + d, ..h, 1..1 + w]).assign(&mask);
            wide
        });
        let after = measured(&pair(&wide[0], &wide[1]));
        for ((name, before, _), (_, after, _)) in
            measured(&pair(&masks[0], &masks[1])).into_iter().zip(after)
        {
            if name.ends_with("specificity") {
                prop_assert!(after >= before, "{name}: {before:?} and {after:?}");
            } else {
                prop_assert!(same(before, after), "{name}: {before:?} and {after:?}");
            }
        }
    }

    #[test]
    fn nothing_scores_better_than_the_truth(masks in [lesions(), lesions()]) {
        let best = measured(&pair(&masks[0], &masks[0]));
        for ((name, value, better), (_, best, _)) in
            measured(&pair(&masks[0], &masks[1])).into_iter().zip(best)
        {
            let (Some(value), Some(best)) = (value, best) else { continue };
            // Whoever predicts nothing has fewer candidates than there are lesions.
            if name.ends_with(" candidates") {
                continue;
            }
            let worse = match better {
                Better::Larger => value <= best + 1e-9,
                Better::Smaller => value >= best - 1e-9,
                Better::NearZero => value.abs() >= best.abs() - 1e-9,
            };
            prop_assert!(worse, "{name}: {value}, but the truth has {best}");
        }
    }

    #[test]
    fn panoptic_quality_is_symmetric_and_a_product(masks in [lesions(), lesions()]) {
        let there = Panoptic::of(&pair(&masks[0], &masks[1]), Connectivity::Corners);
        let back = Panoptic::of(&pair(&masks[1], &masks[0]), Connectivity::Corners);

        prop_assert_eq!(there.true_positives, back.true_positives);
        prop_assert_eq!(there.false_positives, back.false_negatives);
        prop_assert!(same(there.quality(), back.quality()));
        if let (Some(quality), Some(segmentation), Some(recognition)) =
            (there.quality(), there.segmentation(), there.recognition())
        {
            prop_assert!(same(Some(quality), Some(segmentation * recognition)));
            prop_assert!((0.0..=1.0).contains(&quality) && segmentation > 0.5);
        }
    }

    #[test]
    fn a_way_by_a_third_mask_is_no_shorter(masks in [lesions(), lesions(), lesions()]) {
        let [a, b, c] = &masks;
        let pairs = [pair(a, b), pair(b, c), pair(a, c)];
        let no_shorter = |name: &str, all: [Option<f64>; 3]| {
            if let [Some(one), Some(other), Some(straight)] = all {
                prop_assert!(straight <= one + other + 1e-9, "{name}: {straight}, {one} + {other}");
            }
            Ok(())
        };
        for surface in Surface::ALL {
            let all = pairs.each_ref().map(|pair| (Hd { surface }).measure(pair));
            no_shorter("hd", all)?;
        }
        // One minus the intersection over union is a distance; one minus the Dice is none.
        let apart = pairs.each_ref().map(|pair| Iou::default().measure(pair).map(|iou| 1.0 - iou));
        no_shorter("iou", apart)?;
        for pair in &pairs {
            let (dice, iou) = (Dice::default().measure(pair), Iou::default().measure(pair));
            prop_assert!(same(dice, iou.map(|iou| 2.0 * iou / (1.0 + iou))));
        }
    }

    #[test]
    fn distances_of_distributions_are_none_to_themselves_and_never_negative(
        ours in proptest::collection::vec(lesions(), 1..4),
        theirs in proptest::collection::vec(lesions(), 1..4),
    ) {
        let maps = |masks: &[Array3<bool>]| -> Vec<LabelMap> {
            let map = |mask: &Array3<bool>| {
                let [d, h, w] = [mask.dim().0, mask.dim().1, mask.dim().2];
                let grid = Grid::new([d, h, w], [1.0; 3]).unwrap();
                LabelMap::new(grid, mask.mapv(u16::from)).unwrap()
            };
            masks.iter().map(map).collect()
        };
        let (ours, theirs) = (maps(&ours), maps(&theirs));
        let squared = |one: &[LabelMap], other: &[LabelMap]| {
            energy_distance(one, other, &Region::class(1)).unwrap()
        };
        prop_assert!((-1e-9..=2.0 + 1e-9).contains(&squared(&ours, &theirs).unwrap()));
        prop_assert!(same(squared(&ours, &ours), Some(0.0)));
        prop_assert!(same(squared(&ours, &theirs), squared(&theirs, &ours)));
    }

    #[test]
    fn a_forecast_is_as_far_from_what_came_as_its_values_or_nearer(
        forecast in proptest::collection::vec(-50.0..50.0, 1..8),
        truth in -50.0..50.0,
    ) {
        let found = crps(&forecast, truth).unwrap();
        let mean = forecast.iter().map(|value| (value - truth).abs()).sum::<f64>()
            / forecast.len() as f64;

        prop_assert!((-1e-9..=mean + 1e-9).contains(&found));
        // Of one value it is the absolute error.
        prop_assert!(same(crps(&forecast[..1], truth), Some((forecast[0] - truth).abs())));
    }
}
