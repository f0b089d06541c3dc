use ndarray::Array4;

use super::*;

fn classes(names: &[&str]) -> Vec<Class> {
    names.iter().map(|name| Class::new(*name, [])).collect()
}

/// A volume whose intensity grows to superior, anterior and right; a mark at one voxel.
fn volume(spacing: [f64; 3], at: [usize; 3]) -> (Image, LabelMap) {
    let grid = Grid::new([4, 5, 6], spacing).unwrap();
    let data = Array4::from_shape_fn((1, 4, 5, 6), |(_, z, y, x)| (30 * z + 6 * y + x) as f32);
    let mut labels = Array3::zeros((4, 5, 6));
    labels[at] = 1;
    (Image::new(grid.clone(), data).unwrap(), LabelMap::new(grid, labels).unwrap())
}

fn snapshot(image: &Image, labels: &LabelMap) -> Picture {
    let reference = Reference::hard(labels.clone());
    let classes = classes(&["background", "organ"]);
    let snapshot = Snapshot {
        title: "a",
        caption: "",
        image,
        reference: &reference,
        labels: Some(labels),
        probabilities: None,
        regions: false,
        channels: &["CT".to_owned()],
        classes: &classes,
        raters: &[],
    };
    snapshot.picture().unwrap()
}

/// The place of the mark in a picture.
fn mark(picture: &Picture) -> (usize, usize) {
    let mask = &picture.contours()[0].mask;
    mask.indexed_iter().find(|(_, inside)| **inside).unwrap().0
}

#[test]
fn an_axial_slice_has_the_front_above_and_the_right_on_the_left() {
    let (image, labels) = volume([1.0; 3], [2, 4, 5]);

    let picture = snapshot(&image, &labels);

    // The most anterior, rightmost voxel: the upper left corner.
    assert_eq!(mark(&picture), (0, 0));
    assert_eq!(picture.gray().dim(), (5, 6));
    assert!(picture.gray()[[0, 0]] > picture.gray()[[4, 5]]);
    assert_eq!(picture.caption(), "slice 3 of 4");
}

#[test]
fn slices_are_taken_along_the_thickest_voxels() {
    let (image, labels) = volume([1.0, 3.0, 1.0], [3, 1, 5]);

    let picture = snapshot(&image, &labels);

    // Coronal: superior above, the right on the left.
    assert_eq!((picture.gray().dim(), mark(&picture)), ((4, 6), (0, 0)));
    assert_eq!(picture.caption(), "slice 2 of 5");
}

#[test]
fn photographs_stay_as_they_are() {
    let grid = Grid::new([1, 2, 3], [1.0; 3]).unwrap();
    let image = Image::new(grid.clone(), Array4::zeros((1, 1, 2, 3))).unwrap();
    let mut labels = Array3::zeros((1, 2, 3));
    labels[[0, 0, 1]] = 1;
    let labels = LabelMap::new(grid, labels).unwrap();

    let picture = snapshot(&image, &labels);

    assert_eq!(mark(&picture), (0, 1));
    assert_eq!(picture.caption(), "");
}

#[test]
fn where_nothing_is_drawn_the_prediction_decides_and_then_the_middle() {
    let grid = Grid::new([5, 2, 2], [1.0; 3]).unwrap();
    let nothing = Array3::<u16>::zeros((5, 2, 2));
    let mut something = nothing.clone();
    something[[4, 0, 0]] = 2;

    assert_eq!(fullest(&nothing, 0, |label| label > 0), None);
    assert_eq!(fullest(&something, 0, |label| label > 0), Some(4));
    let image = Image::new(grid.clone(), Array4::zeros((1, 5, 2, 2))).unwrap();
    let picture = snapshot(&image, &LabelMap::new(grid, nothing).unwrap());
    assert_eq!(picture.caption(), "slice 3 of 5");
}

#[test]
fn small_foreground_is_looked_at_closely() {
    let mask = |size: usize, at: usize| {
        let mut mask = Array2::from_elem((size, size), false);
        mask[[at, at]] = true;
        mask
    };

    let cut = |masks: Vec<Array2<bool>>| close_up(masks.into_iter());
    assert_eq!(cut(vec![mask(512, 256)]), [(224, 288); 2]);
    assert_eq!(cut(vec![mask(512, 0)]), [(0, 64); 2]);
    assert_eq!(cut(vec![mask(512, 511)]), [(448, 512); 2]);
    assert_eq!(cut(vec![mask(512, 10), mask(512, 300)]), [(0, 512); 2]);
    assert_eq!(cut(vec![mask(64, 3)]), [(0, 64); 2]);
    assert_eq!(cut(vec![Array2::from_elem((512, 512), false)]), [(0, 512); 2]);
}

#[test]
fn a_volume_is_shown_in_three_planes_the_first_of_which_has_all_slices() {
    let (image, labels) = volume([1.0; 3], [2, 4, 5]);
    let reference = Reference::hard(labels.clone());
    let (classes, channels) = (classes(&["background", "organ"]), ["CT".to_owned()]);
    let case = Snapshot {
        title: "a",
        caption: "",
        image: &image,
        reference: &reference,
        labels: Some(&labels),
        probabilities: None,
        regions: false,
        channels: &channels,
        classes: &classes,
        raters: &[],
    };

    let figures: Vec<String> =
        case.planes().unwrap().iter().enumerate().map(|(at, it)| it.figure(at)).collect();

    assert_eq!(figures.len(), 3);
    for (figure, title) in figures.iter().zip(["<h3>a</h3>", "a, coronal", "a, sagittal"]) {
        assert!(figure.contains(title), "{figure}");
    }
    let viewers = figures.iter().map(|figure| figure.matches("class=\"viewer\"").count());
    assert_eq!(viewers.collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn the_worst_cases_come_first_and_none_twice() {
    let of = |values: &[f64]| {
        let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
        let found = crate::report::example::evaluation("model", &values);
        shown(&found).iter().map(|(kind, id, _)| format!("{kind} {id}")).collect::<Vec<_>>()
    };

    assert_eq!(of(&[0.5]), ["Worst case_000"]);
    assert_eq!(of(&[0.5, 0.4]), ["Worst case_001", "Best case_000"]);
    assert_eq!(
        of(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        [
            "Worst case_000",
            "Second worst case_001",
            "Third worst case_002",
            "Median case_003",
            "Best case_006",
        ]
    );
    assert!(of(&[]).is_empty());
}
