//! Pairs of files, TIFF and JPEG: what is written is read again, as far as the format holds it.

use std::fs;
use std::path::Path;

use ndarray::{Array3, Array4};
use proptest::prelude::*;
use sconce_data::{
    ImageInfo, read_image, read_label_map, read_soft_labels, write_image, write_label_map,
    write_soft_labels,
};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use crate::round_trip::{grids, images, label_maps};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The bits of all values; one NaN is as good as another.
fn bits(image: &Image) -> Vec<u32> {
    let canonical = |value: f32| if value.is_nan() { f32::NAN } else { value };
    image.data.iter().map(|&value| canonical(value).to_bits()).collect()
}

fn message(outcome: sconce_data::Result<()>) -> String {
    let message = outcome.unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Probabilities of three classes on a grid.
fn soft(grid: Grid, p: f32) -> SoftLabelMap {
    let [d, h, w] = grid.size;
    let data = Array4::from_shape_fn((3, d, h, w), |(class, z, _, x)| match (class, (x + z) % 2) {
        (0, 0) | (2, 1) => p,
        (1, _) => 1.0 - p,
        _ => 0.0,
    });
    SoftLabelMap::new(grid, data).unwrap()
}

/// A slice whose values change as smoothly as those of a photograph.
fn ramp(most: f32) -> Image {
    let data = Array4::from_shape_fn((1, 1, 24, 32), |(_, _, y, x)| {
        (most * (y + x) as f32 / 54.0).round()
    });
    Image::new(Grid::new([1, 24, 32], [1.0; 3]).unwrap(), data).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn images_come_back_from_pairs(
        image in images(),
        compressed: bool,
        named_by_voxels: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let gz = if compressed { ".gz" } else { "" };
        let part = if named_by_voxels { "img" } else { "hdr" };
        let path = folder.path().join(format!("image.v1.{part}{gz}"));

        write_image(&path, &image).unwrap();
        let back = read_image(&path).unwrap();

        prop_assert_eq!(image.grid.difference(&back.grid), None);
        prop_assert_eq!(bits(&image), bits(&back));
        let both = [format!("image.v1.hdr{gz}"), format!("image.v1.img{gz}")];
        prop_assert_eq!(names(folder.path()), both.clone());
        // The same image makes the same files.
        let contents = || both.each_ref().map(|name| fs::read(folder.path().join(name)).unwrap());
        let first = contents();
        write_image(&path, &image).unwrap();
        prop_assert_eq!(first, contents());
    }

    #[test]
    fn labels_and_probabilities_come_back_from_pairs(labels in label_maps(), p in 0.0..1.0_f32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.hdr");
        write_label_map(&path, &labels).unwrap();
        let back = read_label_map(&path).unwrap();
        prop_assert_eq!(labels.grid.difference(&back.grid), None);
        prop_assert_eq!(labels.data, back.data);

        let soft = soft(labels.grid, p);
        let path = folder.path().join("soft.img.gz");
        write_soft_labels(&path, &soft).unwrap();
        let back = read_soft_labels(&path).unwrap();
        prop_assert_eq!(soft.grid.difference(&back.grid), None);
        prop_assert_eq!(soft.data, back.data);
    }

    #[test]
    fn values_come_back_from_tiff(
        image in images(),
        labels in label_maps(),
        grid in grids(),
        p in 0.0..1.0_f32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");

        write_image(&path, &image).unwrap();
        let back = read_image(&path).unwrap();
        prop_assert_eq!(image.data.shape(), back.data.shape());
        prop_assert_eq!(bits(&image), bits(&back));

        write_label_map(&path, &labels).unwrap();
        prop_assert_eq!(labels.data, read_label_map(&path).unwrap().data);

        let soft = soft(grid, p);
        write_soft_labels(&path, &soft).unwrap();
        prop_assert_eq!(soft.data, read_soft_labels(&path).unwrap().data);
        prop_assert_eq!(names(folder.path()), ["a.tif"]);
    }
}

#[test]
fn a_pair_takes_no_part_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, packed] = ["a.hdr", "a.hdr.gz"].map(|name| folder.path().join(name));
    write_image(&plain, &ramp(255.0)).unwrap();

    // Whoever reads a.hdr.gz would find the voxels of a.img first.
    let refusal = message(write_image(&packed, &ramp(100.0)));

    assert!(
        refusal.contains("a.hdr would be mistaken for its part; remove that file"),
        "{refusal}"
    );
    assert_eq!(names(folder.path()), ["a.hdr", "a.img"]);
    assert_eq!(bits(&read_image(&plain).unwrap()), bits(&ramp(255.0)));
}

#[test]
fn tiff_takes_the_narrowest_type_that_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tiff");
    let grid = Grid::new([2, 1, 2], [1.0; 3]).unwrap();
    for channels in 1..6 {
        for (value, bits) in
            [(255.0, "int8"), (256.0, "int16"), (-1.0, "float32"), (-0.0, "float32")]
        {
            let data = Array4::from_shape_fn((channels, 2, 1, 2), |(c, z, _, x)| {
                if (c, z, x) == (0, 1, 1) { value } else { (c + 2 * z + x) as f32 }
            });
            let image = Image::new(grid.clone(), data).unwrap();

            write_image(&path, &image).unwrap();

            let info = ImageInfo::read(&path).unwrap();
            assert_eq!((info.channels, info.voxel_type.as_str()), (channels, bits));
            assert_eq!(self::bits(&image), self::bits(&read_image(&path).unwrap()));
        }
    }
}

#[test]
fn jpeg_holds_grey_pictures_and_not_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let image = ramp(255.0);

    write_image(&path, &image).unwrap();

    let back = read_image(&path).unwrap();
    assert_eq!(image.data.shape(), back.data.shape());
    let most = (&image.data - &back.data).iter().fold(0.0_f32, |most, it| most.max(it.abs()));
    assert!(most <= 4.0, "off by {most}");
    assert_eq!(names(folder.path()), ["a.jpg"]);
    for wrong in [
        ramp(300.0),
        ramp(-20.0),
        Image::stack(&[ramp(9.0), ramp(9.0)]).unwrap(),
        Image::new(Grid::new([2, 1, 2], [1.0; 3]).unwrap(), Array4::zeros((1, 2, 1, 2))).unwrap(),
    ] {
        let refusal = message(write_image(&path, &wrong));
        assert!(refusal.contains("JPEG holds one slice of whole numbers from 0 to 255"));
        assert!(refusal.ends_with("; name it .nii.gz"), "{refusal}");
    }
    assert!(read_image(&path).is_ok(), "a refusal has cost the file");
}

#[test]
fn jpeg_is_refused_for_labels() {
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid::new([1, 2, 2], [1.0; 3]).unwrap();
    let labels = LabelMap::new(grid.clone(), Array3::zeros((1, 2, 2))).unwrap();
    for name in ["a.jpg", "a.JPEG"] {
        let path = folder.path().join(name);

        let refusal = message(write_label_map(&path, &labels));

        let cause = "JPEG loses label values; write PNG or NIfTI";
        assert_eq!(refusal, format!("cannot write {}: {cause}", path.display()));
        assert!(write_soft_labels(&path, &soft(grid.clone(), 0.5)).is_err());
    }
    assert!(names(folder.path()).is_empty());
}
