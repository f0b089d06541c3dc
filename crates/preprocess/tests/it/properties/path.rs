use ndarray::{Array4, Axis};
use proptest::prelude::*;
use sconce_preprocess::augment::{Frame, Spatial, Transform, TransformConfig};
use sconce_preprocess::{
    Augmentation, Factors, Fraction, Fusion, Interval, Patch, PatchSampler, PlanConfig, Prepared,
    Truth, rng,
};
use volume::Label;

use super::{cases, grid, image, label_map, plan, soft_label_map};

/// Every transform, always.
fn everything() -> Augmentation {
    let always = Fraction::try_from(1.0).unwrap();
    let transforms = TransformConfig::defaults().into_iter().map(|transform| match transform {
        TransformConfig::Spatial(mut own) => {
            own.rotation_probability = always;
            own.scale_probability = always;
            own.into()
        }
        TransformConfig::Noise(mut own) => {
            own.probability = always;
            own.into()
        }
        TransformConfig::Blur(mut own) => {
            (own.probability, own.channel_probability) = (always, always);
            own.into()
        }
        TransformConfig::Brightness(mut own) => {
            own.probability = always;
            own.into()
        }
        TransformConfig::Contrast(mut own) => {
            own.probability = always;
            own.into()
        }
        TransformConfig::LowResolution(mut own) => {
            (own.probability, own.channel_probability) = (always, always);
            own.into()
        }
        TransformConfig::Gamma(mut own) => {
            own.probability = always;
            own.into()
        }
        other => other,
    });
    Augmentation::new(transforms.collect())
}

/// Prepares, samples and augments; the patch is larger than some cases, smaller than others.
fn patch(case: &Prepared, rank: usize, seed: u64) -> Patch {
    let out_size = if rank == 2 { [1, 6, 5] } else { [4, 6, 5] };
    let augmentation = everything();
    let sampler = PatchSampler::new(augmentation.input_size(out_size, rank)).for_output(out_size);
    let mut rng = rng(seed, 1, "patch");
    let patch = sampler.sample(case, seed.is_multiple_of(2), &mut rng);
    augmentation.apply(patch, out_size, rank, &mut rng)
}

fn all_sum_to_one(soft: &Array4<f32>) -> bool {
    let near = |sum: &f32| (sum - 1.0).abs() < 1e-5;
    soft.iter().all(|&p| p >= -1e-6) && soft.sum_axis(Axis(0)).iter().all(near)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn soft_labels_sum_to_one_from_the_raters_to_the_patch(
        grid in grid(), seed in any::<u64>(), rank in 2usize..=3, kind in 0usize..5,
    ) {
        let (image, mut random) = image(&grid, seed);
        let (label, fusion) = match kind {
            0 => (Label::Soft(soft_label_map(&grid, 3, &mut random)), Fusion::Mean),
            kind => {
                let masks = (0..3).map(|_| label_map(&grid, 2, &mut random)).collect();
                let fusion = match kind {
                    1 => Fusion::Mean,
                    2 => Fusion::Staple,
                    3 => Fusion::WeightedMean { quirk: true },
                    _ => Fusion::WeightedMean { quirk: false },
                };
                (Label::raters(masks).unwrap(), fusion)
            }
        };
        let config = PlanConfig {
            rank: Some(rank),
            spacing: Some([1.1, 0.9, 1.2]),
            patch_size: Some(if rank == 2 { [1, 4, 4] } else { [4; 3] }),
            ..PlanConfig::default()
        };
        let plan = plan(&image, &label, &config);

        let case = plan.prepare(&image, Some((&label, 3, &fusion, &mut random))).unwrap();
        let Some(Truth::Soft(soft)) = &case.truth else { panic!("soft stays soft") };
        prop_assert!(all_sum_to_one(soft), "prepared");

        let mut case = case;
        case.further = case.truth.iter().cloned().collect();
        let patch = patch(&case, rank, seed);
        let Truth::Soft(soft) = &patch.truth else { panic!("soft stays soft") };
        prop_assert!(all_sum_to_one(soft), "augmented");
        prop_assert!(patch.further[0] == patch.truth, "further truths go the same way");
        prop_assert!(patch.image.iter().all(|value| value.is_finite()));
        prop_assert!(patch.image.shape()[1..] == patch.truth.size());
    }

    #[test]
    fn further_probabilities_are_brought_where_the_truth_is(grid in grid(), seed in any::<u64>()) {
        let (image, mut random) = image(&grid, seed);
        let soft = soft_label_map(&grid, 3, &mut random);
        let label = Label::Soft(soft.clone());
        let config = PlanConfig {
            spacing: Some([0.8, 1.4, 1.0]), rank: Some(3), patch_size: Some([4; 3]),
            ..PlanConfig::default()
        };
        let plan = plan(&image, &label, &config);

        let case = plan.prepare(&image, Some((&label, 3, &Fusion::Mean, &mut random))).unwrap();

        prop_assert_eq!(case.restore.bring(soft).ok(), case.truth);
    }

    #[test]
    fn hard_labels_stay_among_the_classes(
        grid in grid(), seed in any::<u64>(), ignored in any::<bool>(),
    ) {
        let (image, mut random) = image(&grid, seed);
        let classes = if ignored { 2 } else { 3 };
        let label = Label::Hard(label_map(&grid, 2, &mut random));
        let config = PlanConfig {
            spacing: Some([0.8, 1.4, 1.0]), rank: Some(3), patch_size: Some([4; 3]),
            ..PlanConfig::default()
        };
        let plan = plan(&image, &label, &config);

        let truth = Some((&label, classes, &Fusion::Mean, &mut random));
        let case = plan.prepare(&image, truth).unwrap();
        let patch = patch(&case, 3, seed);

        let Truth::Hard(labels) = &patch.truth else { panic!("hard stays hard") };
        prop_assert!(labels.iter().all(|&label| label <= 2));
        let outside = patch.outside.as_ref();
        if let Some(outside) = outside {
            let masked = patch.image.index_axis(Axis(0), 1);
            let clean = masked.iter().zip(&outside.voxels).all(|(v, &o)| !o || v.abs() < 1e-9);
            prop_assert!(clean, "what is outside stays 0 where it was masked");
        }
    }

    #[test]
    fn one_thread_or_several_give_the_same_bits(grid in grid(), seed in any::<u64>()) {
        let (image, mut random) = image(&grid, seed);
        let label = Label::Soft(soft_label_map(&grid, 2, &mut random));
        let config = PlanConfig {
            spacing: Some([0.7, 0.8, 0.9]), rank: Some(3), patch_size: Some([4; 3]),
            ..PlanConfig::default()
        };
        let plan = plan(&image, &label, &config);
        let run = || {
            let mut random = rng(seed, 2, "threads");
            let truth = Some((&label, 2, &Fusion::Mean, &mut random));
            let case = plan.prepare(&image, truth).unwrap();
            let back = case.restore.probabilities(&case.truth.as_ref().unwrap().to_soft(2));
            (patch(&case, 3, seed), back.unwrap(), case)
        };
        let with = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
        };

        prop_assert!(with(1) == with(3));
    }
}

#[test]
fn ignored_voxels_stay_ignored_where_most_of_a_voxel_is() {
    let grid = volume::Grid::new([8, 8, 8], [1.0; 3]).unwrap();
    let (image, mut random) = image(&grid, 5);
    // Class 2 of two: no opinion, in one half.
    let mask = |value: u16| {
        let data =
            ndarray::Array3::from_shape_fn([8; 3], |(_, _, x)| if x < 4 { 2 } else { value });
        volume::LabelMap::new(grid.clone(), data).unwrap()
    };
    let label = Label::raters(vec![mask(0), mask(1)]).unwrap();
    let config = PlanConfig {
        spacing: Some([1.0, 1.0, 0.6]),
        patch_size: Some([8; 3]),
        ..PlanConfig::default()
    };

    let plan = plan(&image, &label, &config);
    let case = plan.prepare(&image, Some((&label, 2, &Fusion::Mean, &mut random))).unwrap();

    let truth = case.truth.unwrap();
    let weight = truth.weight(2).expect("something is ignored");
    let Truth::Soft(soft) = truth else { panic!("the mean is soft") };
    let width = weight.shape()[2];
    for ((z, y, x), &weight) in weight.indexed_iter() {
        let sum = soft[[0, z, y, x]] + soft[[1, z, y, x]];
        assert!((sum - weight).abs() < 1e-6, "{sum} at {x}");
        assert_eq!(weight > 0.5, 2 * x >= width, "at {x} of {width}");
    }
    assert!(
        case.locations
            .annotated
            .is_some_and(|voxels| { voxels.iter().all(|&at| 2 * (at as usize % width) >= width) })
    );
}

#[test]
fn spatial_transforms_of_every_angle_keep_a_ball_in_place() {
    let size = 21usize;
    let inside = |z: usize, y: usize, x: usize| {
        [z, y, x].iter().map(|&v| (v as f32 - 10.0).powi(2)).sum::<f32>() < 36.0
    };
    let truth = Truth::Hard(ndarray::Array3::from_shape_fn([size; 3], |(z, y, x)| {
        u16::from(inside(z, y, x))
    }));
    let image = Array4::from_shape_fn((1, size, size, size), |(_, z, y, x)| {
        f32::from(u8::from(inside(z, y, x)))
    });
    let patch =
        Patch { image, truth: truth.clone(), further: Vec::new(), outside: None, corner: [0; 3] };
    let always = Fraction::try_from(1.0).unwrap();
    let turn = Spatial {
        rotation_probability: always,
        scale: Factors::try_from([1.0, 1.0]).unwrap(),
        ..Spatial::default()
    };
    let frame = Frame { out_size: [size; 3], rank: 3 };

    for seed in 0..10 {
        let turned = turn.apply(patch.clone(), &frame, &mut rng(seed, 0, "ball"));

        let (Truth::Hard(before), Truth::Hard(after)) = (&truth, &turned.truth) else { panic!() };
        let differ = before.iter().zip(after).filter(|(a, b)| a != b).count();
        assert!(differ < before.len() / 100, "{differ} voxels");
    }
    assert!(Interval::try_from([1.0, 0.0]).is_err());
}
