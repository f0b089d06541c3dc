//! What must hold for any image and any label.

mod augmentation;
mod path;
mod restoration;
mod settings;
mod slices;

use ndarray::{Array3, Array4};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sconce_preprocess::{Fingerprint, NormalizeScheme, Plan, PlanConfig, rng};
use volume::{Grid, Image, Label, LabelMap, SoftLabelMap};

/// So many cases of a property; failures are printed, not written down.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Directions that volumes are stored in, from axial to oblique.
const DIRECTIONS: [[[f64; 3]; 3]; 4] = [
    volume::RAS,
    [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
    [[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]],
    [[0.0, 0.1, 0.995], [0.0, -0.995, 0.1], [-1.0, 0.0, 0.0]],
];

/// A small grid of any orientation, thick slices included.
fn grid() -> impl Strategy<Value = Grid> {
    let extent = 2usize..9;
    let spacing = prop::sample::select(vec![0.7, 1.0, 1.3, 4.0]);
    (
        [extent.clone(), extent.clone(), extent],
        [spacing.clone(), spacing.clone(), spacing],
        0usize..4,
    )
        .prop_map(|(size, spacing, direction): (_, _, usize)| Grid {
            size,
            spacing,
            origin: [3.0, -7.0, 11.0],
            direction: DIRECTIONS[direction],
        })
}

/// An image of two channels with an empty first slice and an empty edge, and randomness for more.
fn image(grid: &Grid, seed: u64) -> (Image, ChaCha8Rng) {
    let mut rng = rng(seed, 0, "image");
    let [d, h, w] = grid.size;
    let data = Array4::from_shape_fn((2, d, h, w), |(_, z, y, x)| {
        let value = rng.random_range(1.0..100.0f32);
        if z == 0 || (y == 0 && 2 * x < w) { 0.0 } else { value }
    });
    (Image::new(grid.clone(), data).unwrap(), rng)
}

/// Blocks of two voxels of one class each, so that labels are no mere noise.
fn label_map(grid: &Grid, most: u16, rng: &mut ChaCha8Rng) -> LabelMap {
    let coarse = Array3::from_shape_fn([5; 3], |_| rng.random_range(0..=most));
    let data =
        Array3::from_shape_fn(
            grid.size,
            |(z, y, x)| {
                if z == 0 { 0 } else { coarse[[z / 2, y / 2, x / 2]] }
            },
        );
    LabelMap::new(grid.clone(), data).unwrap()
}

fn soft_label_map(grid: &Grid, classes: usize, rng: &mut ChaCha8Rng) -> SoftLabelMap {
    let [d, h, w] = grid.size;
    let mut data = Array4::from_shape_fn((classes, d, h, w), |_| rng.random_range(0.01..1.0f32));
    let sums = data.sum_axis(ndarray::Axis(0));
    data.outer_iter_mut().for_each(|mut class| class /= &sums);
    SoftLabelMap::new(grid.clone(), data).unwrap()
}

/// A plan for the case alone, that changes the spacing.
fn plan(image: &Image, label: &Label, config: &PlanConfig) -> Plan {
    let mut fingerprint = Fingerprint::new(2);
    fingerprint.add(image, Some(label));
    let config = PlanConfig {
        normalize: Some(vec![NormalizeScheme::ZScore, NormalizeScheme::ZScoreMasked]),
        ..config.clone()
    };
    Plan::new(&config, &fingerprint, &["T1".to_owned(), "FLAIR".to_owned()]).unwrap()
}
