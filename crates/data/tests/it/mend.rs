use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array4;
use sconce_data::{
    LayoutConfig, Mended, ProblemKind, Report, mend, read_image, read_label_map, write_image,
};
use volume::{Grid, Image};

use crate::folder::{Folder, block, one_line};

fn mended(folder: &Folder, output: &Path) -> sconce_data::Result<Mended> {
    mended_as("[pairs]", folder, output)
}

fn mended_as(settings: &str, folder: &Folder, output: &Path) -> sconce_data::Result<Mended> {
    let layout = toml::from_str::<LayoutConfig>(settings).unwrap();
    mend(layout.as_dyn(), folder.root(), output, &|_, _| ())
}

fn of_kind(report: &Report, kind: ProblemKind) -> Vec<&str> {
    let problems = report.problems.iter().filter(|problem| problem.kind == kind);
    problems.filter_map(|problem| problem.case.as_deref()).collect()
}

/// Every file below a folder with what it holds.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn what_is_beyond_doubt_is_mended_in_a_copy_and_the_rest_is_left() {
    let folder = Folder::new();
    let mask = [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let grid = Grid { origin: [40.0, -7.0, 3.0], ..block() };
    let moved = |by: f64| Grid { origin: [40.0, -7.0 + by, 3.0], ..block() };
    let lost = Grid::new(block().size, [1.0; 3]).unwrap();
    for (case, of_label, values) in [
        ("far", moved(30.0), mask),
        ("lost", lost, mask),
        ("many", grid.clone(), [0, 7, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("nan", grid.clone(), mask),
        ("near", moved(0.3), mask),
        ("photo", moved(0.2), mask.map(|value| 255 * value)),
        ("sound", grid.clone(), mask),
    ] {
        folder.labels(&format!("labels/{case}.nii.gz"), &of_label, &values);
        let data = Array4::from_shape_fn((1, 2, 2, 3), |(_, z, y, x)| match (case, x) {
            ("nan", 1) => f32::NEG_INFINITY,
            ("nan", 2) => f32::NAN,
            _ => (case.len() * 100 + z * 10 + y * 4 + x) as f32 - 50.5,
        });
        write_image(
            folder.place(&format!("images/{case}.nii.gz")),
            &Image::new(grid.clone(), data).unwrap(),
        )
        .unwrap();
    }
    folder.text("notes/read me.txt", "kept as it is");
    let before = contents(folder.root());
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("mended");

    let mended = mended(&folder, &output).unwrap();

    assert_eq!(contents(folder.root()), before, "the folder itself is not touched");
    let names: Vec<_> = mended.files.keys().map(|path| path.to_str().unwrap()).collect();
    let labels = ["lost", "near", "photo"].map(|case| format!("labels/{case}.nii.gz"));
    assert_eq!(names, [&["images/nan.nii.gz".to_owned()][..], &labels].concat());
    assert_eq!(mended.files[Path::new("labels/photo.nii.gz")].len(), 2);
    assert_eq!(of_kind(&mended.report, ProblemKind::Geometry), ["far"]);
    assert_eq!(of_kind(&mended.report, ProblemKind::LabelValues), ["many"]);
    assert_eq!(of_kind(&mended.report, ProblemKind::NonFinite), [""; 0]);
    assert!(mended.to_string().contains("mended: labels/photo.nii.gz: "), "{mended}");

    let photo = read_label_map(output.join("labels/photo.nii.gz")).unwrap();
    assert!(photo.grid.matches(&grid));
    assert_eq!(photo.data.iter().copied().collect::<Vec<_>>(), mask);
    let image = read_image(output.join("images/nan.nii.gz")).unwrap();
    let least = 300.0 - 50.5;
    assert_eq!([image.data[[0, 0, 0, 1]], image.data[[0, 1, 1, 2]]], [least, least]);
    assert_eq!(image.data[[0, 1, 1, 0]], least + 14.0);
    // What needs no mending is the same file.
    for (path, bytes) in &before {
        let name = path.strip_prefix(folder.root()).unwrap();
        if !mended.files.contains_key(name) {
            assert_eq!(&fs::read(output.join(name)).unwrap(), bytes, "{}", name.display());
        }
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn headers_that_contradict_themselves_are_made_one_and_guesses_stay_guesses() {
    let folder = Folder::new();
    let grid = block();
    folder.image("images/a.nii", &grid, 1).image("images/b.nii", &grid, 1);
    let mut both = fs::read(folder.root().join("images/a.nii")).unwrap();
    // The qform says where the sform does not.
    both[268..272].copy_from_slice(&90.0_f32.to_le_bytes());
    folder.bytes("images/a.nii", &both);
    let mut neither = fs::read(folder.root().join("images/b.nii")).unwrap();
    neither[252..256].fill(0);
    folder.bytes("images/b.nii", &neither);
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("mended");

    let settings = "[pairs]\nimage = \"images/{id}.nii\"";
    let mended = mended_as(settings, &folder, &output).unwrap();

    let names: Vec<_> = mended.files.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["images/a.nii"], "{mended}");
    let first = folder.root().join("images/a.nii");
    let (was, is) = (read_image(first).unwrap(), read_image(output.join("images/a.nii")).unwrap());
    assert_eq!(was, is);
    assert!(mended.report.to_string().contains("images/b.nii: there is no orientation"));
}

#[test]
fn a_copy_is_made_beside_the_folder_and_over_nothing() {
    let folder = Folder::new();
    folder.image("images/a.nii", &block(), 1);
    let within = folder.root().join("copy");
    let full = tempfile::tempdir().unwrap();
    fs::write(full.path().join("a"), "").unwrap();

    let message = one_line(&mended(&folder, &within).unwrap_err());
    assert!(message.contains("lies within"), "{message}");
    assert!(!within.exists());
    let message = one_line(&mended(&folder, Path::new(".")).unwrap_err());
    assert!(message.contains("is there already") || message.contains("no name"), "{message}");
    let message = one_line(&mended(&folder, full.path()).unwrap_err());
    assert!(message.contains("is there already"), "{message}");
}

#[test]
fn what_cannot_be_mended_is_not_touched_in_either_of_its_files() {
    let folder = Folder::new();
    let grid = block();
    folder.image("images/a.hdr", &grid, 1);
    let header = folder.root().join("images/a.hdr");
    let mut sheared = fs::read(&header).unwrap();
    // A lean of the axes, of which readers remark, and which writing anew does not change.
    sheared[284..288].copy_from_slice(&0.7_f32.to_le_bytes());
    fs::write(&header, &sheared).unwrap();
    let before = contents(folder.root());
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("mended");

    let settings = "[pairs]\nimage = \"images/{id}.hdr\"";
    let mended = mended_as(settings, &folder, &output).unwrap();

    assert!(mended.report.to_string().contains("right angles"), "{mended}");
    assert!(mended.files.is_empty(), "{mended}");
    let after = contents(&output);
    assert!(before.values().eq(after.values()), "neither half was touched");
}
