//! DICOM: series, files of many frames, segmentations.

mod files;
mod segmentations;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use ndarray::s;
use sconce_data::{ImageInfo, find_images, read_image, read_label_map, read_soft_labels};
use volume::Label;

use self::files::{ENHANCED, Slice, item, joined, pixels, sequence, text, write};
use crate::folder::{Folder, hard, one_line};

pub(crate) use self::files::sample;

#[test]
fn slices_lie_where_their_positions_say_whatever_they_are_called() {
    let folder = Folder::new();
    folder.series("ct").text("ct/notes.txt", "not a slice").text("ct/DICOMDIR", "nor is this");

    let image = read_image(folder.root().join("ct")).unwrap();
    assert_eq!(image.data.shape(), [1, 4, 3, 2]);
    for z in 0..4_u8 {
        // 2 · stored − 1000.
        let expected = f32::from(z) * 20.0 - 1000.0;
        assert_eq!(image.data[[0, usize::from(z), 0, 0]], expected);
        assert_eq!(image.data[[0, usize::from(z), 2, 1]], expected + 10.0);
    }
    assert_eq!(image.grid.spacing, [4.0, 0.5, 0.75]);
    assert_eq!(image.grid.origin, [10.0, 20.0, 100.0]);
    let info = ImageInfo::read(folder.root().join("ct")).unwrap();
    assert_eq!((info.axes.as_deref(), &*info.voxel_type), (Some("LPS"), "int16"));
    // One slice by itself has the thickness that its header states; stored values are signed, 12 bits.
    folder.slice("one.dcm", &Slice { values: vec![-1, -2048, 2047, 0, 1, 2], ..Slice::new(0) });
    let one = read_image(folder.root().join("one.dcm")).unwrap();
    assert_eq!(one.grid.spacing, [5.0, 0.5, 0.75]);
    assert_eq!(one.data.iter().copied().collect::<Vec<_>>()[..3], [-1002.0, -5096.0, 3094.0]);
}

#[test]
fn a_stack_that_makes_no_volume_is_refused_with_the_reason() {
    let folder = Folder::new();
    let with = |name: &str, slices: &[Slice]| {
        for (number, slice) in slices.iter().enumerate() {
            folder.slice(&format!("{name}/{number}"), slice);
        }
        folder.refused(name)
    };
    let at = |z: u8| Slice::new(z);
    let gap = with("gap", &[at(0), at(1), at(2), at(4), at(5)]);
    assert!(
        gap.contains("slices are missing") && gap.contains("8.000 mm between 2 and 3"),
        "{gap}"
    );
    let twice = with("twice", &[at(0), at(1), at(1)]);
    assert!(twice.contains("1 and 2 lie at the same place"), "{twice}");
    let lean = |z: u8| {
        let mut slice = at(z);
        slice.position[1] += f64::from(z);
        slice
    };
    let tilted = with("tilted", &[lean(0), lean(1), lean(2)]);
    assert!(tilted.contains("at a slant") && tilted.contains("that of 1 by 14.0°"), "{tilted}");
    let mut aside = at(1);
    aside.position[0] += 40.0;
    let shifted = with("shifted", &[at(0), aside, at(2)]);
    assert!(shifted.contains("at a slant"), "{shifted}");
    let mixed = with("mixed", &[at(0), Slice { series: "1.2.9", ..at(1) }]);
    assert!(mixed.contains("of different series"), "{mixed}");
    let sizes = with("sizes", &[at(0), Slice { columns: 3, ..at(1) }]);
    assert!(sizes.contains("of different sizes"), "{sizes}");
    folder.text("empty/readme.txt", "");
    assert!(folder.refused("empty").contains("a folder without DICOM files"));
}

#[test]
fn frames_of_one_file_are_slices_in_the_order_of_their_positions() {
    let folder = Folder::new();
    let heights = [108.0, 100.0, 104.0];
    let values: Vec<i16> = (0..3).flat_map(|frame| (0..6).map(move |at| frame * 10 + at)).collect();
    let mut object = pixels(ENHANCED, 3, 2, &values);
    object.put(text(tags::NUMBER_OF_FRAMES, VR::IS, 3));
    let orientation = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
    let rescale =
        vec![text(tags::RESCALE_SLOPE, VR::DS, "1"), text(tags::RESCALE_INTERCEPT, VR::DS, "-5")];
    let shared = item(vec![
        sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![item(vec![orientation])]),
        sequence(
            tags::PIXEL_MEASURES_SEQUENCE,
            vec![item(vec![text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.75")])],
        ),
        sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![item(rescale)]),
    ]);
    object.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]));
    let groups = heights.map(|height| {
        let position = text(tags::IMAGE_POSITION_PATIENT, VR::DS, joined(&[0.0, 0.0, height]));
        item(vec![sequence(tags::PLANE_POSITION_SEQUENCE, vec![item(vec![position])])])
    });
    object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups.to_vec()));
    write(&folder.place("many.dcm"), ENHANCED, object);

    let image = read_image(folder.root().join("many.dcm")).unwrap();
    assert_eq!(image.grid.spacing, [4.0, 0.5, 0.75]);
    assert_eq!(image.grid.origin, [0.0, 0.0, 100.0]);
    let first: Vec<f32> = image.data.slice(s![0, .., 0, 0]).to_vec();
    assert_eq!(first, [5.0, 15.0, -5.0]);
}

#[test]
fn segments_are_labels_of_the_image_that_they_were_drawn_on() {
    let folder = Folder::new();
    folder.series("case1/ct").segments(
        "case1/seg.dcm",
        false,
        &[
            (1, 104.0, [1, 0, 0, 0, 0, 0]),
            (2, 104.0, [0, 1, 0, 0, 0, 0]),
            (1, 112.0, [0, 0, 0, 0, 0, 1]),
        ],
    );
    // By itself it has the slices from its first frame to its last.
    let alone = read_label_map(folder.root().join("case1/seg.dcm")).unwrap();
    assert_eq!(alone.grid.size, [3, 3, 2]);
    assert_eq!((alone.data[[0, 0, 1]], alone.data[[1, 0, 0]], alone.data[[2, 2, 1]]), (2, 0, 1));

    let dataset = folder.open(
        r#"[pairs]
        image = "{id}/ct/"
        label = "{id}/seg.dcm"
        channels = ["CT"]
        classes = [{ name = "background", values = [0] }, { name = "liver", values = [1] },
                   { name = "tumour", values = [2] }]"#,
    );
    let case = dataset.read("case1").unwrap();
    let labels = hard(&case);
    assert_eq!(labels.len(), 24);
    let marked: Vec<_> = labels.iter().enumerate().filter(|(_, label)| **label > 0).collect();
    assert_eq!(marked, [(6, &1), (7, &2), (23, &1)]);

    folder.segments("overlap.dcm", false, &[(1, 0.0, [1; 6]), (2, 0.0, [0, 0, 1, 0, 0, 0])]);
    let error = one_line(&read_label_map(folder.root().join("overlap.dcm")).unwrap_err());
    assert!(error.contains("segments 1 and 2 overlap"), "{error}");
}

#[test]
fn fractions_of_segments_are_soft_labels() {
    let folder = Folder::new();
    folder.series("case1/ct").segments(
        "case1/seg.dcm",
        true,
        &[(1, 104.0, [200, 100, 0, 0, 0, 0]), (4, 104.0, [0, 50, 0, 0, 0, 0])],
    );
    let soft = read_soft_labels(folder.root().join("case1/seg.dcm")).unwrap();
    assert_eq!(soft.classes(), 3);
    let at = |x: usize| soft.data.slice(s![.., 0, 0, x]).to_vec();
    assert_eq!((at(0), at(1)), (vec![0.0, 1.0, 0.0], vec![0.25, 0.5, 0.25]));
    let error = one_line(&read_label_map(folder.root().join("case1/seg.dcm")).unwrap_err());
    assert!(error.contains("fractions of segments"), "{error}");

    let dataset = folder.open(
        r#"[pairs]
        image = "{id}/ct/"
        label = "{id}/seg.dcm"
        soft = true
        classes = [{ name = "background", values = [0] }, { name = "a", values = [1] },
                   { name = "b", values = [4] }]"#,
    );
    let Some(Label::Soft(soft)) = dataset.read("case1").unwrap().label else { panic!("soft") };
    assert_eq!(soft.grid.size, [4, 3, 2]);
    assert_eq!(soft.data.slice(s![.., 1, 0, 1]).to_vec(), [0.25, 0.5, 0.25]);
    assert_eq!(soft.data.slice(s![.., 3, 0, 1]).to_vec(), [1.0, 0.0, 0.0]);
    folder.segments("much.dcm", true, &[(1, 0.0, [150; 6]), (2, 0.0, [100; 6])]);
    let error = one_line(&read_soft_labels(folder.root().join("much.dcm")).unwrap_err());
    assert!(error.contains("add up to 1.25"), "{error}");
}

#[test]
fn a_segmentation_alone_in_its_folder_is_one_and_among_slices_it_is_named() {
    let folder = Folder::new();
    let frames = [(3, 100.0, [1, 0, 0, 0, 0, 0]), (3, 108.0, [0, 1, 0, 0, 0, 0])];
    folder.segments("seg/1-1.dcm", false, &frames);
    let labels = read_label_map(folder.root().join("seg")).unwrap();
    assert_eq!((labels.grid.size, labels.values()), ([3, 3, 2], vec![0, 3]));
    folder.series("ct").segments("ct/seg.dcm", false, &frames);
    let message = folder.refused("ct");
    assert!(message.contains("seg.dcm: it is a segmentation among slices"), "{message}");
}

#[test]
fn labels_are_not_spread_where_voxels_are_of_another_size() {
    let folder = Folder::new();
    folder.series("case1/ct");
    // Slices of 4 mm on an image of 4 mm, but pixels of 0.5 × 0.75 mm on an image of twice as many.
    let wide = |z: u8| Slice { columns: 4, values: vec![1; 12], ..Slice::new(z) };
    for z in 0..3 {
        folder.slice(&format!("case2/ct/{z}"), &wide(z));
    }
    for case in ["case1", "case2"] {
        folder.segments(&format!("{case}/seg.dcm"), false, &[(1, 104.0, [1, 0, 0, 0, 0, 0])]);
    }
    let dataset = folder.open("[pairs]\nimage = \"{id}/ct/\"\nlabel = \"{id}/seg.dcm\"");
    assert_eq!(hard(&dataset.read("case1").unwrap()).iter().sum::<u16>(), 1);
    // Pixels are as large, the image is only wider: the part is found.
    assert_eq!(hard(&dataset.read("case2").unwrap()).iter().sum::<u16>(), 1);
}

#[test]
fn sequences_within_sequences_without_end_are_refused() {
    let folder = Folder::new();
    let mut bytes = sample();
    // Each holds the next: a tag, a kind, a length; then an item of what is left.
    let count = 5000_u32;
    let mut nested = Vec::new();
    for level in 0..count {
        let left = (count - level) * 20 - 12;
        nested.extend([0x08, 0x00, 0x40, 0x11, b'S', b'Q', 0, 0]);
        nested.extend(left.to_le_bytes());
        nested.extend([0xfe, 0xff, 0x00, 0xe0]);
        nested.extend((left - 8).to_le_bytes());
    }
    // After the first group, whose length is stated.
    let length = u32::from_le_bytes(bytes[140..144].try_into().unwrap()) as usize;
    bytes.splice(144 + length..144 + length, nested);
    folder.bytes("deep.dcm", &bytes);
    assert!(folder.refused("deep.dcm").contains("nested too deeply"));
}

#[test]
fn a_folder_of_slices_is_an_image_to_be_predicted() {
    let folder = Folder::new();
    folder.series("scans/p1").series("scans/p2").text("scans/notes.txt", "");
    let ids = |path: &str| -> Vec<String> {
        let found = find_images(&[folder.root().join(path)], 1, None).unwrap();
        found.images.iter().map(|image| image.id.clone()).collect()
    };
    assert_eq!(ids("scans/p1"), ["p1"]);
    assert_eq!(ids("scans"), ["p1", "p2"]);
    let found = find_images(&[folder.root().join("scans/p2")], 1, None).unwrap();
    assert_eq!(found.images[0].read(1).unwrap().image.data.shape(), [1, 4, 3, 2]);
    assert_eq!(found.images[0].extension(), ".dcm");
}
