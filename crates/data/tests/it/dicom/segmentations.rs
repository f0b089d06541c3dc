//! Segmentations that are written.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use ndarray::{Array3, Array4};
use sconce_data::{
    SegmentationOf, read_image, read_label_map, read_soft_labels, write_fractional_segmentation,
    write_label_map, write_segmentation,
};
use volume::{Grid, LabelMap, SoftLabelMap};

use super::files::{Slice, text};
use crate::folder::{Folder, one_line};

/// Leaning slices, 4 of 3 × 5, in no plane of the body.
fn oblique() -> Grid {
    let (sin, cos) = 0.3_f64.sin_cos();
    Grid {
        size: [4, 3, 5],
        spacing: [2.5, 0.75, 1.25],
        origin: [-11.0, 7.5, 100.25],
        direction: [[0.0, -sin, cos], [0.0, cos, sin], [1.0, 0.0, 0.0]],
    }
    .checked()
    .unwrap()
}

/// Labels 0 to 3, of which 2 is in no voxel; no slice is empty.
fn labels(grid: &Grid) -> LabelMap {
    let data = Array3::from_shape_fn(grid.size, |(z, y, x)| match (z * 7 + y * 3 + x) % 5 {
        1 => 1,
        3 => 3,
        _ => 0,
    });
    LabelMap::new(grid.clone(), data).unwrap()
}

#[test]
fn labels_come_back_where_they_were() {
    let folder = Folder::new();
    for grid in [oblique(), Grid::new([4, 3, 5], [3.0, 1.0, 0.5]).unwrap()] {
        let path = folder.place("labels.dcm");
        let labels = labels(&grid);

        write_label_map(&path, &labels).unwrap();
        let read = read_label_map(&path).unwrap();

        assert!(read.grid.matches(&grid), "{:?}", read.grid.difference(&grid));
        assert_eq!(read.data, labels.data);
    }
    let left: Vec<_> = std::fs::read_dir(folder.root()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the file is left");
}

#[test]
fn probabilities_come_back_to_half_a_part() {
    let folder = Folder::new();
    let path = folder.place("soft.dcm");
    let grid = oblique();
    let raw = |c: usize, z: usize, y: usize, x: usize| ((c * 31 + z * 7 + y * 3 + x) % 11) as f32;
    let data = Array4::from_shape_fn((3, 4, 3, 5), |(c, z, y, x)| {
        let sum: f32 = (0..3).map(|class| raw(class, z, y, x)).sum();
        raw(c, z, y, x) / sum
    });
    let soft = SoftLabelMap::new(grid.clone(), data).unwrap();

    write_fractional_segmentation(&path, &soft, SegmentationOf::default()).unwrap();
    let read = read_soft_labels(&path).unwrap();

    assert!(read.grid.matches(&grid));
    for (read, written) in read.data.iter().zip(&soft.data) {
        assert!((read - written).abs() < 1.0 / 255.0, "{read} {written}");
    }
    let message = one_line(&read_label_map(&path).unwrap_err());
    assert!(message.contains("fractions of segments"), "{message}");
}

#[test]
fn an_empty_segmentation_is_one_of_zeros() {
    let folder = Folder::new();
    let path = folder.place("none.dcm");
    let labels = LabelMap::new(oblique(), Array3::zeros([4, 3, 5])).unwrap();

    write_label_map(&path, &labels).unwrap();

    assert!(read_label_map(&path).unwrap().data.iter().all(|&label| label == 0));
}

#[test]
fn a_segmentation_belongs_to_the_images_that_it_shows() {
    let folder = Folder::new();
    for z in 0..4 {
        let slice = folder.place(&format!("series/{z}.dcm"));
        folder.slice(&format!("series/{z}.dcm"), &Slice::new(z));
        let mut object = dicom_object::open_file(&slice).unwrap();
        object.put(text(tags::SOP_INSTANCE_UID, VR::UI, format!("1.2.3.{z}")));
        object.write_to_file(&slice).unwrap();
    }
    let series = folder.root().join("series");
    let image = read_image(&series).unwrap();
    let data = Array3::from_shape_fn(image.grid.size, |(z, y, x)| u16::from(z < 2 && y == x));
    let labels = LabelMap::new(image.grid.clone(), data).unwrap();
    let classes = ["background".to_owned(), "lésion".to_owned()];
    let of = SegmentationOf { images: Some(&series), classes: &classes };
    let path = folder.place("seg.dcm");

    write_segmentation(&path, &labels, of).unwrap();

    let object = dicom_object::open_file(&path).unwrap();
    let told = |name: &str| {
        object.element_by_name(name).unwrap().to_str().unwrap().trim_end_matches('\0').to_owned()
    };
    assert_eq!(told("PatientName"), "Doe^Jane");
    assert_eq!(told("Modality"), "SEG");
    assert_ne!(told("SeriesInstanceUID"), "1.2.3");
    let shown = object.element_by_name("ReferencedSeriesSequence").unwrap().items().unwrap();
    let series_of = shown[0].element_by_name("SeriesInstanceUID").unwrap();
    assert_eq!(series_of.to_str().unwrap().trim_end_matches('\0'), "1.2.3");
    let segments = object.element_by_name("SegmentSequence").unwrap().items().unwrap();
    let label = segments[0].element_by_name("SegmentLabel").unwrap().to_str().unwrap();
    assert_eq!(label.trim(), "lésion");
    let frames = object.element_by_name("PerFrameFunctionalGroupsSequence").unwrap();
    let derived = frames.items().unwrap()[1].element_by_name("DerivationImageSequence").unwrap();
    assert_eq!(derived.items().unwrap().len(), 1, "it is known of which slice it is");
    // Slices without a segment have no frame; they are filled in on the image's grid.
    assert_eq!(told("NumberOfFrames").trim(), "2");

    // The segmentation itself is no image.
    let nobody = SegmentationOf { images: Some(folder.root()), classes: &[] };
    let message = one_line(&write_segmentation(&path, &labels, nobody).unwrap_err());
    assert!(message.contains("holds no DICOM image of a series"), "{message}");
}

#[test]
fn images_of_several_series_and_classes_without_a_name_are_refused() {
    let folder = Folder::new();
    folder.slice("series/0.dcm", &Slice::new(0));
    folder.slice("series/1.dcm", &Slice { series: "1.2.4", ..Slice::new(1) });
    let series = folder.root().join("series");
    let path = folder.place("seg.dcm");
    let labels = labels(&oblique());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();

    let of = SegmentationOf { images: Some(&series), classes: &[] };
    let message = one_line(&write_segmentation(&path, &labels, of).unwrap_err());
    assert!(message.contains("several series"), "{message}");
    // Labels go up to 3.
    let classes = names(&["liver", "tumour", "vessel"]);
    let of = SegmentationOf { images: None, classes: &classes };
    let message = one_line(&write_segmentation(&path, &labels, of).unwrap_err());
    assert!(message.contains("background first"), "{message}");
    assert!(!path.exists());
}

#[test]
fn no_two_segmentations_have_one_name() {
    let folder = Folder::new();
    let labels = labels(&oblique());
    let uid = |name: &str| {
        let path = folder.place(name);
        write_label_map(&path, &labels).unwrap();
        let object = dicom_object::open_file(&path).unwrap();
        object.element(tags::SOP_INSTANCE_UID).unwrap().to_str().unwrap().into_owned()
    };

    assert_ne!(uid("a.dcm"), uid("b.dcm"));
}
