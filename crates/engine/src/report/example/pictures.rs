//! Pictures that nobody took.

use ndarray::{Array2, Array3};

use super::noise;
use crate::report::picture::{Parts, Stack};
use crate::report::{Contour, Picture, Role, window};

/// A round organ with a lesion, three raters, and a prediction that is a little off.
pub(in crate::report) fn picture(title: &str, off: f64) -> Picture {
    const SIZE: usize = 128;
    let disc = |y: f64, x: f64, radius: f64, wave: f64| {
        Array2::from_shape_fn((SIZE, SIZE), |(row, column)| {
            let (dy, dx) = (row as f64 - y, (column as f64 - x) * 0.8);
            let angle = dy.atan2(dx);
            dy.hypot(dx)
                < radius * (1.0 + 0.1 * (3.0 * angle + wave).sin() + 0.05 * (7.0 * angle).cos())
        })
    };
    let organ = disc(64.0, 62.0, 36.0, 0.0);
    let mut draw = noise(3);
    let gray = Array2::from_shape_fn((SIZE, SIZE), |(row, column)| {
        let body = (row as f64 - 64.0).hypot((column as f64 - 64.0) * 0.85) < 58.0;
        let value =
            20.0 + 70.0 * f64::from(body) + 60.0 * f64::from(organ[[row, column]]) + 40.0 * draw();
        #[expect(clippy::cast_possible_truncation, reason = "a test picture")]
        let value = value as f32;
        value
    });
    let predicted = disc(64.0 + 14.0 * off, 62.0 - 10.0 * off, 36.0 - 8.0 * off, off);
    #[expect(clippy::cast_possible_truncation, reason = "a test picture")]
    let probability = Array2::from_shape_fn((SIZE, SIZE), |(row, column)| {
        let distance = (row as f64 - 64.0 - 14.0 * off).hypot((column as f64 - 62.0) * 0.8) - 36.0;
        (1.0 / (1.0 + (distance / 3.0).exp())) as f32
    });
    let gray = window(&gray.view(), None);
    let mut picture = Picture::new(title, "slice 41 of 96, Dice 0.912", gray, [1.0, 0.8]).unwrap();
    for rater in 1..=3 {
        let mask = disc(64.0, 62.0, 34.0 + f64::from(rater), f64::from(rater) * 0.3);
        let name = format!("rater {rater}");
        picture =
            picture.with_contour(Contour { name, role: Role::Rater, class: 0, mask }).unwrap();
    }
    for (name, role, mask) in
        [("reference", Role::Reference, organ), ("prediction", Role::Prediction, predicted)]
    {
        let name = name.to_owned();
        picture = picture.with_contour(Contour { name, role, class: 0, mask }).unwrap();
    }
    picture.with_probability(probability).unwrap()
}

/// A ball with what was predicted beside it, in a body that is one, too.
pub(in crate::report) fn stack(off: f64) -> Stack {
    const SIZE: (usize, usize, usize) = (24, 72, 72);
    let ball = |[z, y, x]: [f64; 3], radius: f64| {
        move |(k, j, i): (usize, usize, usize)| {
            let (dz, dy, dx) = (3.0 * (k as f64 - z), j as f64 - y, i as f64 - x);
            radius - (dz * dz + dy * dy + dx * dx).sqrt()
        }
    };
    let (body, organ) = (ball([12.0, 36.0, 36.0], 34.0), ball([12.0, 36.0, 35.0], 18.0));
    let predicted = ball([12.0 + off, 36.0 + 6.0 * off, 34.0], 17.0);
    let mut draw = noise(5);
    #[expect(clippy::cast_possible_truncation, reason = "a test picture")]
    let gray = Array3::from_shape_fn(SIZE, |at| {
        let level = f64::from(body(at) > 0.0) + f64::from(organ(at) > 0.0);
        (60.0 * level + 30.0 * draw()) as f32
    });
    #[expect(clippy::cast_possible_truncation, reason = "a test picture")]
    let probability =
        Array3::from_shape_fn(SIZE, |at| (1.0 / (1.0 + (-predicted(at) / 3.0).exp())) as f32);
    Stack::of(&Parts {
        spacing: [3.0, 1.0, 1.0],
        gray: &gray,
        reference: &Array3::from_shape_fn(SIZE, |at| u8::from(organ(at) > 0.0)),
        prediction: Some(Array3::from_shape_fn(SIZE, |at| u8::from(predicted(at) > 0.0))),
        probability: Some(&probability),
    })
}
