use ndarray::{Array3, Array4, Axis, s};
use proptest::prelude::*;
use sconce_preprocess::augment::{
    Affine, Displacement, blur_axis, gaussian_kernel, low_resolution, warp, warp_elastically,
};
use sconce_preprocess::{
    Augmentation, Boundary, Fusion, Patch, PatchSampler, PlanConfig, Truth, rng,
};
use volume::{Grid, Label};

use super::{cases, image, label_map, plan};

fn patch(size: [usize; 3], seed: u64) -> Patch {
    let grid = Grid::new(size, [1.0; 3]).unwrap();
    let (image, mut random) = image(&grid, seed);
    let truth = Truth::Hard(label_map(&grid, 2, &mut random).data);
    Patch { image: image.data, truth, further: Vec::new(), outside: None, corner: [0; 3] }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn quarter_turns_move_voxels_without_mixing_them(size in 2usize..8, seed in any::<u64>()) {
        let patch = patch([4, size, size], seed);
        let quarter = std::f64::consts::FRAC_PI_2;
        let affine = Affine::new([quarter, 0.0, 0.0], [1.0; 3], [4, size, size], [4, size, size]);

        let turned = warp(&patch, &affine);

        // (y, x) ← (−x, y)
        let mut expected = patch.image.view();
        expected.invert_axis(Axis(2));
        expected.swap_axes(2, 3);
        let far = turned.image.iter().zip(expected).any(|(a, e)| (a - e).abs() > 1e-3);
        prop_assert!(!far);
        let (Truth::Hard(labels), Truth::Hard(before)) = (&turned.truth, &patch.truth) else {
            panic!("hard stays hard")
        };
        let mut expected = before.view();
        expected.invert_axis(Axis(1));
        expected.swap_axes(1, 2);
        prop_assert_eq!(labels, &expected);
    }

    #[test]
    fn a_deformation_moves_hard_and_soft_truth_alike(seed in any::<u64>(), alpha in 0.0f64..900.0) {
        let mut patch = patch([4, 10, 10], seed);
        let Truth::Hard(labels) = &patch.truth else { panic!("hard") };
        let one_hot = Array4::from_shape_fn((3, 4, 10, 10), |(class, z, y, x)| {
            f32::from(u8::from(usize::from(labels[[z, y, x]]) == class))
        });
        patch.further = vec![Truth::Soft(one_hot)];
        let still = Affine::new([0.1, 0.0, 0.0], [1.1; 3], [4, 10, 10], [4, 8, 8]);
        let moved = Displacement::new([4, 8, 8], 1..3, alpha, 4.0, &mut rng(seed, 0, "elastic"));

        let warped = warp_elastically(&patch, &still, &moved);

        let (Truth::Hard(labels), Truth::Soft(soft)) = (&warped.truth, &warped.further[0]) else {
            panic!("kinds stay")
        };
        for (place, &label) in labels.indexed_iter() {
            let (z, y, x) = place;
            let all = soft.slice(s![.., z, y, x]).to_vec();
            prop_assert!((all.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            // The class of the most weight, but for ties.
            let most = all.iter().copied().fold(0.0, f32::max);
            prop_assert!(all[usize::from(label)] >= most - 1e-5, "{place:?} {label} {all:?}");
        }
        let never = Displacement::new([4, 8, 8], 1..3, 0.0, 4.0, &mut rng(seed, 0, "elastic"));
        prop_assert_eq!(warp_elastically(&patch, &still, &never), warp(&patch, &still));
    }

    #[test]
    fn nothing_to_do_changes_nothing(seed in any::<u64>()) {
        let patch = patch([6, 7, 8], seed);
        let still = Affine::new([0.0; 3], [1.0; 3], [6, 7, 8], [6, 7, 8]);

        let warped = warp(&patch, &still);
        prop_assert_eq!(&warped, &patch);
        let same = Augmentation::none().apply(patch.clone(), [6, 7, 8], 3, &mut rng(seed, 0, ""));
        prop_assert_eq!(&same, &patch);
        // Without a transform that needs more, the input is as large as the output.
        prop_assert_eq!(Augmentation::none().input_size([6, 7, 8], 3), [6, 7, 8]);
        let middle = patch.clone().middle([2, 3, 8]);
        prop_assert_eq!(middle.image, patch.image.slice(s![.., 2..4, 2..5, ..]).to_owned());
        prop_assert_eq!(middle.corner, [2, 2, 0]);
    }

    #[test]
    fn blurring_and_coarsening_leave_constants_alone(value in -5.0f64..5.0, sigma in 0.3f64..2.0) {
        let constant = Array3::from_elem((5, 6, 7), value);
        let mut blurred = constant.clone();
        for axis in 0..3 {
            let kernel = gaussian_kernel(sigma, 3);
            blur_axis(blurred.view_mut(), axis, &kernel, Boundary::Mirror);
        }
        let mut coarse = constant.clone();
        low_resolution(coarse.view_mut(), [0.5, 0.7, 0.9]);

        for changed in [blurred, coarse] {
            prop_assert!(changed.iter().all(|v| (v - value).abs() < 1e-12));
        }
    }

    #[test]
    fn patches_show_the_case_where_they_say(seed in any::<u64>(), force in any::<bool>()) {
        let grid = Grid::new([6, 9, 8], [1.0; 3]).unwrap();
        let (image, mut random) = image(&grid, seed);
        let label = Label::Hard(label_map(&grid, 2, &mut random));
        let config = PlanConfig {
            crop_to_nonzero: Some(false), resample: Some(false), patch_size: Some([4; 3]),
            ..PlanConfig::default()
        };
        let plan = plan(&image, &label, &config);
        let truth = Some((&label, 3, &Fusion::Mean, &mut random));
        let case = plan.prepare(&image, truth).unwrap();
        let size = [8, 4, 5];

        let patch = PatchSampler::new(size).sample(&case, force, &mut random);

        // The case is shorter than the patch along z alone: there it is in the middle.
        prop_assert_eq!(patch.corner[0], -1);
        prop_assert!((0..=5).contains(&patch.corner[1]) && (0..=3).contains(&patch.corner[2]));
        let Truth::Hard(labels) = &patch.truth else { panic!("hard stays hard") };
        let whole = case.truth.as_ref().unwrap();
        let Truth::Hard(whole) = whole else { panic!("hard stays hard") };
        for ((z, y, x), &label) in labels.indexed_iter() {
            let at: [isize; 3] = std::array::from_fn(|axis| patch.corner[axis] + [z, y, x][axis].cast_signed());
            let inside = (0..6).contains(&at[0]);
            let [cz, cy, cx] = at.map(isize::unsigned_abs);
            let expected = if inside { whole[[cz, cy, cx]] } else { 0 };
            prop_assert_eq!(label, expected);
            let value = if inside { case.image[[1, cz, cy, cx]] } else { 0.0 };
            prop_assert_eq!(patch.image[[1, z, y, x]].to_bits(), value.to_bits());
        }
        if force && whole.iter().any(|&label| label > 0) {
            prop_assert!(labels.iter().any(|&label| label > 0), "foreground was asked for");
        }
    }
}

#[test]
fn slices_of_volumes_are_sampled_one_by_one() {
    let grid = Grid::new([6, 9, 8], [4.0, 1.0, 1.0]).unwrap();
    let (image, mut random) = image(&grid, 3);
    let label = Label::Hard(label_map(&grid, 2, &mut random));
    let config = PlanConfig { rank: Some(2), ..PlanConfig::default() };
    let plan = plan(&image, &label, &config);
    let truth = Some((&label, 3, &Fusion::Mean, &mut random));
    let case = plan.prepare(&image, truth).unwrap();

    let patch = PatchSampler::new([1, 4, 4]).sample(&case, true, &mut random);

    assert_eq!(plan.patch_size[0], 1);
    assert_eq!(patch.size(), [1, 4, 4]);
    assert!(matches!(&patch.truth, Truth::Hard(labels) if labels.iter().any(|&l| l > 0)));
}

#[test]
fn cases_without_label_are_ignored_everywhere() {
    let grid = Grid::new([4, 4, 4], [1.0; 3]).unwrap();
    let (image, mut random) = image(&grid, 3);
    let label = Label::Hard(label_map(&grid, 1, &mut random));
    let case = plan(&image, &label, &PlanConfig::default()).prepare(&image, None).unwrap();

    let patch = PatchSampler::new([3; 3]).sample(&case, true, &mut random);

    assert_eq!(patch.truth.weight(2), Some(Array3::zeros((3, 3, 3))));
    assert_eq!(patch.truth.to_soft(2), Array4::<f32>::zeros((2, 3, 3, 3)));
}

#[test]
fn slices_become_channels_around_the_truth_of_the_middle_one() {
    let patch = patch([3, 4, 5], 3);
    let channels = patch.image.shape()[0];

    let flat = patch.clone().slices_as_channels();

    assert_eq!(flat.image.shape(), [3 * channels, 1, 4, 5]);
    for channel in 0..channels {
        for slice in 0..3 {
            let expected = patch.image.slice(s![channel, slice, .., ..]);
            assert_eq!(flat.image.slice(s![3 * channel + slice, 0, .., ..]), expected);
        }
    }
    assert_eq!(flat.truth, patch.part([1, 0, 0], [1, 4, 5]).truth);
    assert_eq!(flat.corner, [1, 0, 0]);
    let alone = patch.part([1, 0, 0], [1, 4, 5]);
    assert_eq!(alone.clone().slices_as_channels(), alone);
}
