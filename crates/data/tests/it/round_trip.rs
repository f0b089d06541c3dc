//! What is written is read again: voxels bit for bit, geometry to the precision of the format.

use std::fs;

use ndarray::{Array3, Array4};
use proptest::prelude::*;
use sconce_data::{
    read_image, read_label_map, read_soft_labels, write_image, write_label_map, write_soft_labels,
};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use crate::samples;

/// Grids of any handedness, turned by any rotation.
pub(crate) fn grids() -> impl Strategy<Value = Grid> {
    let size = prop::array::uniform3(1..5_usize);
    let spacing = prop::array::uniform3(0.2..7.0_f64);
    let origin = prop::array::uniform3(-300.0..300.0_f64);
    let angles = prop::array::uniform3(-3.1..3.1_f64);
    (size, spacing, origin, angles, any::<bool>()).prop_map(
        |(size, spacing, origin, [a, b, c], mirrored)| {
            let (sa, ca, sb, cb, sc, cc) = (a.sin(), a.cos(), b.sin(), b.cos(), c.sin(), c.cos());
            let sign = if mirrored { -1.0 } else { 1.0 };
            let direction = [
                [ca * cb, ca * sb * sc - sa * cc, sign * (ca * sb * cc + sa * sc)],
                [sa * cb, sa * sb * sc + ca * cc, sign * (sa * sb * cc - ca * sc)],
                [-sb, cb * sc, sign * cb * cc],
            ];
            Grid { size, spacing, origin, direction }.checked().unwrap()
        },
    )
}

pub(crate) fn images() -> impl Strategy<Value = Image> {
    (grids(), 1..4_usize, any::<bool>(), any::<u64>()).prop_map(|(grid, channels, whole, seed)| {
        let [d, h, w] = grid.size;
        let mut state = seed | 1;
        let data = Array4::from_shape_simple_fn((channels, d, h, w), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = u32::try_from(state >> 32).unwrap();
            if whole {
                return f32::from(u8::try_from(bits >> 24).unwrap());
            }
            // A NaN that signals is made quiet by any conversion: only what it says besides is kept.
            let quiet = if f32::from_bits(bits).is_nan() { 0x0040_0000 } else { 0 };
            f32::from_bits(bits | quiet)
        });
        Image::new(grid, data).unwrap()
    })
}

pub(crate) fn label_maps() -> impl Strategy<Value = LabelMap> {
    (grids(), prop::sample::select(vec![1_u16, 3, 254, 255, 256, u16::MAX]), any::<u16>()).prop_map(
        |(grid, most, seed)| {
            let mut value = seed;
            let data = Array3::from_shape_simple_fn(grid.size, || {
                value = value.wrapping_mul(25_173).wrapping_add(13_849);
                if value % 3 == 0 { most } else { value % most }
            });
            LabelMap::new(grid, data).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn images_come_back_from_volumes(image in images(), format in 0..4_usize) {
        let folder = tempfile::tempdir().unwrap();
        let name = ["image.v1.nii.gz", "image.v1.nii", "image.v1.nrrd", "image.v1.mha"][format];
        let path = folder.path().join(name);

        write_image(&path, &image).unwrap();
        let back = read_image(&path).unwrap();

        prop_assert_eq!(image.grid.difference(&back.grid), None);
        let bits = |image: &Image| image.data.map(|value| value.to_bits());
        prop_assert_eq!(bits(&image), bits(&back));
        // Nothing else is left in the folder, and the same image makes the same file.
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let first = fs::read(&path).unwrap();
        write_image(&path, &image).unwrap();
        prop_assert_eq!(first, fs::read(&path).unwrap());
    }

    #[test]
    fn labels_come_back_from_volumes(labels in label_maps(), format in 0..3_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(["labels.nii.gz", "labels.seg.nrrd", "labels.mha"][format]);

        write_label_map(&path, &labels).unwrap();
        let back = read_label_map(&path).unwrap();

        prop_assert_eq!(labels.grid.difference(&back.grid), None);
        prop_assert_eq!(labels.data, back.data);
    }

    #[test]
    fn slices_come_back_from_png(labels in label_maps(), image in images()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slice.png");

        let written = write_label_map(&path, &labels);
        if labels.grid.size[0] == 1 {
            prop_assert_eq!(labels.data, read_label_map(&path).unwrap().data);
        } else {
            prop_assert!(written.unwrap_err().to_string().contains("PNG holds one slice"));
        }

        let bytes = image.data.iter().all(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0);
        let holds = image.grid.size[0] == 1 && bytes && image.channels() != 2;
        let written = write_image(&path, &image);
        prop_assert_eq!(written.is_ok(), holds, "{:?}", written);
        if holds {
            prop_assert_eq!(image.data, read_image(&path).unwrap().data);
        }
    }

    #[test]
    fn probabilities_come_back_from_volumes(grid in grids(), p in 0.0..1.0_f32, format in 0..3_usize) {
        let [d, h, w] = grid.size;
        let data = Array4::from_shape_fn((3, d, h, w), |(class, _, _, x)| match (class, x % 2) {
            (0, 0) | (2, 1) => p,
            (1, _) => 1.0 - p,
            _ => 0.0,
        });
        let soft = SoftLabelMap::new(grid, data).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(["soft.nii.gz", "soft.nrrd", "soft.mha"][format]);

        write_soft_labels(&path, &soft).unwrap();
        let back = read_soft_labels(&path).unwrap();

        prop_assert_eq!(soft.grid.difference(&back.grid), None);
        prop_assert_eq!(soft.data, back.data);
    }
}

#[test]
fn a_palette_holds_labels_by_place_and_an_image_by_colour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    fs::write(&path, samples::palette_png()).unwrap();

    let labels = read_label_map(&path).unwrap();
    assert_eq!(
        labels.data.iter().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 0, 1, 1, 1, 1, 1, 3, 2, 1, 0, 3],
    );
    let image = read_image(&path).unwrap();
    assert_eq!(image.data.shape(), [3, 1, 3, 5]);
    assert_eq!(image.data[[0, 0, 0, 1]], 200.0);
    assert_eq!(image.data[[2, 0, 2, 0]], 200.0);
}

#[test]
fn pages_of_a_tiff_are_slices_and_colours_channels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    fs::write(&path, samples::pages_tiff()).unwrap();
    let pages = read_image(&path).unwrap();
    assert_eq!(pages.data.shape(), [1, 2, 5, 6]);
    // Pixel 7 of page 1 is 7 / 4 + 1.
    assert_eq!(pages.data[[0, 1, 1, 1]], 2.75);

    fs::write(&path, samples::colour_tiff()).unwrap();
    let colour = read_image(&path).unwrap();
    assert_eq!(colour.data.shape(), [3, 1, 3, 4]);
    assert_eq!(colour.data[[2, 0, 1, 0]], 1400.0);
}

#[test]
fn a_value_that_is_no_label_is_named_with_its_voxel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let grid = Grid::new([2, 2, 2], [1.0; 3]).unwrap();
    for (value, text) in [(1.5, "1.5"), (-1.0, "-1"), (70_000.0, "70000"), (f32::NAN, "NaN")] {
        let mut data = Array4::zeros((1, 2, 2, 2));
        data[[0, 1, 0, 1]] = value;
        write_image(&path, &Image::new(grid.clone(), data).unwrap()).unwrap();

        let error = read_label_map(&path).unwrap_err().to_string();

        let expected = format!("as labels: voxel [1, 0, 1] (z, y, x) holds {text};");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn names_that_no_writer_knows_are_refused() {
    let grid = Grid::new([1, 2, 2], [1.0; 3]).unwrap();
    let labels = LabelMap::new(grid, Array3::zeros((1, 2, 2))).unwrap();
    for name in ["a.mgz", "a.HDR", "a.mhd", "a.nhdr", "a"] {
        let error = write_label_map(name, &labels).unwrap_err().to_string();

        assert!(error.contains("name it .nii.gz"), "{error}");
    }
    let error = write_label_map("/nowhere/at/all.nii", &labels).unwrap_err().to_string();
    assert!(error.starts_with("cannot write /nowhere/at/all.nii: "), "{error}");
    assert!(error.ends_with("; make its folder first"), "{error}");
}
