//! Probabilities as nnU-Net saves them.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::Array4;
use sconce_data::{read_image, read_label_map, read_soft_labels, write_npz};
use volume::{Grid, Image, Label};

use crate::folder::{Folder, block};
use crate::samples::npz;

/// Two classes on 2 × 2 × 3 voxels.
fn foreground() -> Vec<f32> {
    (0..12).map(|at| at as f32 / 13.0).collect()
}

fn bytes<const N: usize>(of: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    let foreground = foreground();
    let both = foreground.iter().map(|p| 1.0 - p).chain(foreground.iter().copied());
    both.flat_map(of).collect()
}

fn header(kind: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
}

fn written(folder: &Path, name: &str, header: &str, values: &[u8]) -> PathBuf {
    let path = folder.join("case.npz");
    fs::write(&path, npz(name, header, values)).unwrap();
    path
}

#[test]
fn probabilities_of_any_precision_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, values, tolerance) in [
        ("<f4", bytes(f32::to_le_bytes), 1e-7),
        ("<f8", bytes(|p| f64::from(p).to_le_bytes()), 1e-7),
        ("<f2", bytes(|p| f16::from_f32(p).to_le_bytes()), 1e-3),
    ] {
        let header = header(kind, "False", "(2, 2, 2, 3)");
        for name in ["probabilities.npy", "softmax.npy"] {
            let soft = read_soft_labels(written(folder.path(), name, &header, &values)).unwrap();

            assert_eq!((soft.classes(), soft.grid.size), (2, [2, 2, 3]));
            for (found, expected) in soft.data.iter().skip(12).zip(foreground()) {
                assert!((found - expected).abs() <= tolerance, "{kind}: {found}, not {expected}");
            }
        }
    }
}

#[test]
fn probabilities_are_written_as_nnunet_saves_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.npz");
    let grid = Grid::new([2, 2, 3], [1.0; 3]).unwrap();
    let values = foreground().into_iter().map(|p| 1.0 - p).chain(foreground()).collect();
    let data = Array4::from_shape_vec((2, 2, 2, 3), values).unwrap();
    let image = Image::new(grid, data).unwrap();

    write_npz(&path, &image).unwrap();

    let bytes = fs::read(&path).unwrap();
    let soft = read_soft_labels(&path).unwrap();
    assert_eq!((soft.classes(), soft.grid.size), (2, [2, 2, 3]));
    for (found, expected) in soft.data.iter().zip(&image.data) {
        assert!((found - expected).abs() <= 1e-3, "{found}, not {expected}");
    }
    // Neither the hour nor what was there before shows.
    write_npz(&path, &image).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(write_npz(folder.path().join("none/case.npz"), &image).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn they_lie_where_the_image_lies() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz", &block(), 1);
    fs::create_dir_all(folder.root().join("labels")).unwrap();
    let header = header("<f4", "False", "(2, 2, 2, 3)");
    let file = npz("probabilities.npy", &header, &bytes(f32::to_le_bytes));
    fs::write(folder.root().join("labels/a.npz"), file).unwrap();

    let settings = "[pairs]\nsoft = true\nlabel = \"labels/{id}.npz\"";
    let case = folder.open(settings).read("a").unwrap();

    let Some(Label::Soft(soft)) = case.label else { panic!("no soft label") };
    assert_eq!(soft.grid, case.image.grid);
}

#[test]
fn what_is_no_array_of_probabilities_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let floats = bytes(f32::to_le_bytes);
    let shape = "(2, 2, 2, 3)";
    let refusal = |name: &str, header: &str, values: &[u8]| {
        read_image(written(folder.path(), name, header, values)).unwrap_err().to_string()
    };
    for (name, header, values, part) in [
        (
            "logits.npy",
            header("<f4", "False", shape),
            &floats[..],
            "no array `probabilities`, but logits.npy",
        ),
        ("probabilities.npy", header("<i4", "False", shape), &floats, "of type <i4"),
        ("probabilities.npy", header("<f4", "True", shape), &floats, "in Fortran's order"),
        (
            "probabilities.npy",
            header("<f4", "False", "(2, 12)"),
            &floats,
            "shape [2, 12], not (classes",
        ),
        (
            "probabilities.npy",
            header("<f4", "False", "(2, 2, 2, 4)"),
            &floats,
            "holds 24 of the 32 values",
        ),
        (
            "probabilities.npy",
            header("<f4", "False", "(2, 900, 900, 900)"),
            &floats,
            "more values than",
        ),
        ("probabilities.npy", "{}".to_owned(), &floats, "states no type"),
    ] {
        let error = refusal(name, &header, values);
        assert!(error.contains(part) && error.contains("case.npz"), "{error}, not {part}");
    }
    let path = written(folder.path(), "probabilities.npy", &header("<f4", "False", shape), &floats);
    let error = read_label_map(&path).unwrap_err().to_string();
    assert!(error.contains("case.npz"), "{error}");
    fs::write(&path, b"PK\x03\x04 and no more").unwrap();
    assert!(read_image(&path).unwrap_err().to_string().contains("case.npz"));
}
