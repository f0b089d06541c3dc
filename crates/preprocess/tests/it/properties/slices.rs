use ndarray::{Array3, Array4};
use sconce_preprocess::{Fusion, PlanConfig, Prepared, Truth};
use volume::{Grid, Image, Label, LabelMap};

use super::plan;

/// A single slice across the array's axis `across`, with its label: 12 voxels of 0.5 mm by 10 of
/// 0.7 mm, 3 mm thick.
fn slice(across: usize, direction: [[f64; 3]; 3]) -> (Image, Label) {
    let spread = |thick: f64, rows: f64, columns: f64| match across {
        0 => [thick, rows, columns],
        1 => [rows, thick, columns],
        _ => [rows, columns, thick],
    };
    let size = spread(1.0, 12.0, 10.0).map(|extent| extent as usize);
    let grid = Grid { size, spacing: spread(3.0, 0.5, 0.7), origin: [1.0, 2.0, 3.0], direction };
    let value = |(z, y, x): (usize, usize, usize)| match across {
        0 => 10 * y + x,
        1 => 10 * z + x,
        _ => 10 * z + y,
    };
    let labels = Array3::from_shape_fn(size, |at| u16::from(value(at) % 7 > 2));
    let data = Array4::from_shape_fn((2, size[0], size[1], size[2]), |(c, z, y, x)| {
        (c * 200 + value((z, y, x)) + 1) as f32
    });
    let label = LabelMap::new(grid.clone(), labels).unwrap();
    (Image::new(grid, data).unwrap(), Label::Hard(label))
}

fn prepared(image: &Image, label: &Label, config: &PlanConfig) -> Prepared {
    let plan = plan(image, label, config);
    assert_eq!((plan.rank, plan.patch_size[0]), (2, 1), "{:?}", image.grid);
    assert_eq!(plan.spacing[1..], [0.5, 0.7], "{:?}", image.grid);
    let mut random = sconce_preprocess::rng(0, 0, "slice");
    plan.prepare(image, Some((label, 2, &Fusion::Mean, &mut random))).unwrap()
}

#[test]
fn a_single_slice_is_planned_and_prepared_in_its_plane_whatever_that_is() {
    for canonical in [true, false] {
        for across in 0..3 {
            let (image, label) = slice(across, volume::RAS);
            let config = PlanConfig { canonical: Some(canonical), ..PlanConfig::default() };

            let case = prepared(&image, &label, &config);

            assert_eq!(case.image.shape(), [2, 1, 12, 10]);
            let Some(Truth::Hard(truth)) = &case.truth else { panic!("hard stays hard") };
            let Label::Hard(labels) = &label else { panic!("made so") };
            // One order of rows and columns, whatever the plane.
            assert_eq!(truth.iter().collect::<Vec<_>>(), labels.data.iter().collect::<Vec<_>>());
            let one_hot = case.truth.as_ref().unwrap().to_soft(2);
            assert_eq!(&case.restore.labels(&one_hot).unwrap(), labels);
        }
    }
}

#[test]
fn one_slice_stored_in_two_ways_is_prepared_in_one() {
    // Sagittal: rows along S, columns along A. The second file has the slice axis first, and its
    // columns run towards P.
    let (image, label) = slice(2, volume::RAS);
    let moved = |array: Array3<u16>| {
        let mut array = array.permuted_axes([2, 0, 1]);
        array.invert_axis(ndarray::Axis(2));
        array.as_standard_layout().into_owned()
    };
    let Label::Hard(labels) = &label else { panic!("made so") };
    let direction = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
    let origin = [1.0, 2.0 + 9.0 * 0.7, 3.0];
    let grid = Grid { size: [1, 12, 10], spacing: [3.0, 0.5, 0.7], origin, direction };
    let other = Label::Hard(LabelMap::new(grid.clone(), moved(labels.data.clone())).unwrap());
    let channels: Vec<Array3<f32>> = image
        .data
        .outer_iter()
        .map(|channel| moved(channel.mapv(|value| value as u16)).mapv(f32::from))
        .collect();
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    let data = ndarray::stack(ndarray::Axis(0), &views).unwrap();
    let same = Image::new(grid, data).unwrap();

    let (one, two) = (
        prepared(&image, &label, &PlanConfig::default()),
        prepared(&same, &other, &PlanConfig::default()),
    );

    assert_eq!(one.image, two.image);
    assert_eq!(one.truth, two.truth);
}
