use ndarray::{Array4, Axis, s};
use proptest::prelude::*;
use rand::Rng;
use rayon::prelude::*;
use sconce_preprocess::{Fusion, GridRule, Interpolation, PlanConfig, Resampling, Truth};
use volume::Label;

use super::{cases, grid, image, label_map, plan};

/// A config that resamples, or does not.
fn config(resample: bool) -> PlanConfig {
    PlanConfig {
        resample: Some(resample),
        // Thick slices, perhaps across another axis than those of the file.
        spacing: Some([4.1, 0.9, 1.1]),
        rank: Some(3),
        patch_size: Some([4; 3]),
        ..PlanConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn without_resampling_the_way_back_is_exact(grid in grid(), seed in any::<u64>()) {
        let (image, mut random) = image(&grid, seed);
        let labels = label_map(&grid, 2, &mut random);
        let label = Label::Hard(labels.clone());
        let plan = plan(&image, &label, &config(false));
        let truth = Some((&label, 3, &Fusion::Mean, &mut random));
        let case = plan.prepare(&image, truth).unwrap();

        let one_hot = case.truth.unwrap().to_soft(3);

        prop_assert_eq!(case.restore.grid(), &grid);
        prop_assert_eq!(&case.restore.labels(&one_hot).unwrap(), &labels);
        let soft = case.restore.probabilities(&one_hot).unwrap();
        prop_assert_eq!(soft.data, Truth::Hard(labels.data).to_soft(3));
    }

    #[test]
    fn streamed_labels_are_those_of_the_whole_array(grid in grid(), seed in any::<u64>()) {
        let (image, mut random) = image(&grid, seed);
        let label = Label::Hard(label_map(&grid, 2, &mut random));
        let case = plan(&image, &label, &config(true)).prepare(&image, None).unwrap();
        let restore = &case.restore;
        let [d, h, w] = restore.network_size();
        let mut logits = Array4::from_shape_fn((4, d, h, w), |_| random.random_range(-3.0..3.0f32));

        let labels = restore.labels(&logits).unwrap();
        let positive = restore.regions(&logits, 0.0, &[1, 2, 3, 4]).unwrap();

        // The same by way of the full array.
        let back = Resampling {
            from: restore.network_size(),
            to: restore.region().size,
            separate: sconce_preprocess::separate_axis(
                case.spacing,
                restore.orientation().turn(grid.spacing),
            ),
            steps: None,
        };
        let full = back.probabilities(logits.view());
        let turned = restore.orientation().view(labels.data.view());
        let painted = restore.orientation().view(positive.data.view());
        let start = restore.region().start;
        for ((z, y, x), &label) in turned.indexed_iter() {
            let inside: Option<Vec<usize>> =
                [z, y, x].iter().zip(start).map(|(&at, start)| at.checked_sub(start)).collect();
            let Some([z0, y0, x0]) = inside.as_deref().and_then(|v| <[usize; 3]>::try_from(v).ok()) else {
                prop_assert_eq!(label, 0);
                continue;
            };
            let Some(column) = full.get([0, z0, y0, x0]).map(|_| (0..4).map(|c| full[[c, z0, y0, x0]])) else {
                prop_assert_eq!(label, 0);
                continue;
            };
            let column: Vec<f32> = column.collect();
            let best = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(column[usize::from(label)] > best - 1e-5, "{:?} but {}", column, label);
            let last = column.iter().rposition(|&value| value > 0.0).map_or(0, |c| c + 1);
            let near_zero = column.iter().any(|value| value.abs() < 1e-5);
            prop_assert!(near_zero || usize::from(painted[[z, y, x]]) == last);
        }

        // Brought back as they are, logits choose the same labels; what was cut off is filled.
        let whole = restore.array(&logits, &[9.0, -9.0, -9.0, -9.0]).unwrap();
        for ((z, y, x), &label) in labels.data.indexed_iter() {
            let chosen = whole[[usize::from(label), z, y, x]];
            prop_assert!((0..4).all(|class| whole[[class, z, y, x]] <= chosen));
        }
        let cut_off = whole.index_axis(Axis(0), 0).iter().filter(|&&value| value > 8.0).count();
        let count = |size: [usize; 3]| size.iter().product::<usize>();
        prop_assert_eq!(cut_off, count(grid.size) - count(restore.region().size));

        // Probabilities agree with them, and sum to 1 everywhere.
        logits.mapv_inplace(f32::exp);
        let sums = logits.sum_axis(Axis(0));
        logits.outer_iter_mut().for_each(|mut class| class /= &sums);
        let soft = restore.probabilities(&logits).unwrap();
        let near = |sum: &f32| (sum - 1.0).abs() < 1e-6;
        prop_assert!(soft.data.sum_axis(Axis(0)).iter().all(near));
        prop_assert_eq!(&soft.grid, &grid);
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn slabs_of_any_height_give_the_same_bits(
        grid in grid(), seed in any::<u64>(), heights in prop::collection::vec(1..5usize, 1..6)
    ) {
        let (image, mut random) = image(&grid, seed);
        let label = Label::Hard(label_map(&grid, 2, &mut random));
        let case = plan(&image, &label, &config(true)).prepare(&image, None).unwrap();
        let restore = &case.restore;
        let [d, h, w] = restore.network_size();
        let values = Array4::from_shape_fn((3, d, h, w), |_| random.random_range(-3.0..3.0f32));
        let whole = restore.array(&values, &[0.0; 3]).unwrap();

        let mut found = Array4::zeros(whole.dim());
        let mut back = restore.returning(3);
        let mut given = 0;
        for height in heights.into_iter().cycle() {
            if given == d {
                break;
            }
            let next = (given + height).min(d);
            back.push(values.slice(s![.., given..next, .., ..])).unwrap();
            given = next;
            let (first, end) = (back.next(), back.ready());
            let mut kept = restore.kept_channels_mut(found.view_mut());
            let mut ready = kept.slice_mut(s![.., first..end, .., ..]);
            let targets: Vec<_> = ready.axis_iter_mut(Axis(1)).collect();
            back.each(end, targets.into_par_iter(), |mut target, slice| {
                target.assign(&slice.values());
            });
        }

        prop_assert_eq!(back.next(), back.slices());
        prop_assert_eq!(found, whole);
        prop_assert!(back.push(values.slice(s![.., ..1, .., ..])).is_err());
    }
}

#[test]
fn equal_sizes_are_not_equal_places_where_monai_sets_the_grid() {
    // Five voxels of 1 mm are five of 1.1 mm, whose last lies elsewhere.
    let grid = volume::Grid::new([5, 5, 5], [1.0; 3]).unwrap();
    let (image, mut random) = image(&grid, 3);
    let label = Label::Hard(label_map(&grid, 1, &mut random));
    let mut plan = plan(&image, &label, &config(true));
    (plan.grid, plan.interpolation) = (GridRule::Monai, Interpolation::Linear);
    (plan.spacing, plan.crop_to_nonzero) = ([1.1; 3], false);
    let case = plan.prepare(&image, None).unwrap();
    let restore = &case.restore;
    assert_eq!(restore.network_size(), [5; 3]);
    // A ramp along each axis in turn goes back the same way.
    let ramp = |axis: usize| {
        let values = Array4::from_shape_fn((1, 5, 5, 5), |(_, z, y, x)| [z, y, x][axis] as f32);
        let back = restore.array(&values, &[0.0]).unwrap().index_axis_move(Axis(0), 0);
        let line = |at: usize| {
            let mut place = [2; 3];
            place[axis] = at;
            back[place]
        };
        (0..5).map(line).collect::<Vec<f32>>()
    };
    let (z, y, x) = (ramp(0), ramp(1), ramp(2));

    assert_eq!((&y, &x), (&z, &z));
    let position = |at: usize| at as f32 / 1.1;
    for (at, value) in x.iter().enumerate() {
        approx::assert_relative_eq!(*value, position(at), epsilon = 1e-5);
    }
}

#[test]
fn arrays_of_another_size_are_refused() {
    let grid = volume::Grid::new([4, 5, 6], [1.0; 3]).unwrap();
    let (image, mut random) = image(&grid, 1);
    let label = Label::Hard(label_map(&grid, 1, &mut random));
    let case = plan(&image, &label, &config(false)).prepare(&image, None).unwrap();

    let error = case.restore.labels(&Array4::zeros((2, 4, 5, 6))).unwrap_err();

    // The empty first slice was cut off.
    let text = "an array of shape [2, 4, 5, 6] was given where [2, 3, 5, 6] is needed";
    assert_eq!(error.to_string(), text);
    let error = case.restore.probabilities(&Array4::ones((2, 3, 5, 6))).unwrap_err();
    assert!(error.to_string().contains("sum to 2"), "{error}");
    let error = case.restore.regions(&Array4::ones((2, 3, 5, 6)), 0.0, &[1]).unwrap_err();
    assert_eq!(error.to_string(), "2 regions, but 1 labels for them");
    let error = case.restore.array(&Array4::ones((2, 3, 5, 6)), &[0.0]).unwrap_err();
    assert_eq!(error.to_string(), "2 channels, but 1 values to fill them with");
}
