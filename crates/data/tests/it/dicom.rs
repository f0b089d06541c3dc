//! DICOM: series, files of many frames, segmentations.

use std::path::Path;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use ndarray::s;
use sconce_data::{ImageInfo, find_images, read_image, read_label_map, read_soft_labels};
use volume::Label;

use crate::folder::{Folder, hard, one_line};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const ENHANCED: &str = "1.2.840.10008.5.1.4.1.1.2.1";
const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// What differs between the slices of a test.
#[derive(Clone)]
struct Slice {
    series: &'static str,
    position: [f64; 3],
    columns: u16,
    values: Vec<i16>,
}

impl Slice {
    /// Slice number `z` of a stack of 4 mm, 3 rows of 2 columns: its values tell where they lie.
    fn new(z: u8) -> Self {
        let values = (0..6).map(|at| i16::from(z) * 10 + at).collect();
        Self {
            series: "1.2.3",
            position: [-10.0, -20.0, 100.0 + 4.0 * f64::from(z)],
            columns: 2,
            values,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
fn text(tag: Tag, vr: VR, value: impl ToString) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value.to_string()))
}

fn word(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

fn joined(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join("\\")
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn item(elements: Vec<DataElement<InMemDicomObject>>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

fn write(path: &Path, class: &str, object: InMemDicomObject) {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(EXPLICIT)
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid("1.2.3.4");
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// What an image file holds beside where it lies.
fn pixels(class: &str, rows: u16, columns: u16, values: &[i16]) -> InMemDicomObject {
    item(vec![
        text(tags::SOP_CLASS_UID, VR::UI, class),
        word(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        word(tags::ROWS, rows),
        word(tags::COLUMNS, columns),
        word(tags::BITS_ALLOCATED, 16),
        word(tags::BITS_STORED, 12),
        word(tags::HIGH_BIT, 11),
        word(tags::PIXEL_REPRESENTATION, 1),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            // Twelve bits are stored; those above are noise.
            PrimitiveValue::U16(
                values.iter().map(|value| value.cast_unsigned() & 0xfff | 0xa000).collect(),
            ),
        ),
    ])
}

/// A file of one slice.
pub(crate) fn sample() -> Vec<u8> {
    let folder = Folder::new();
    folder.slice("slice.dcm", &Slice::new(0));
    std::fs::read(folder.root().join("slice.dcm")).unwrap()
}

impl Folder {
    fn slice(&self, name: &str, slice: &Slice) -> &Self {
        let rows = u16::try_from(slice.values.len()).unwrap() / slice.columns;
        let mut object = pixels(CT, rows, slice.columns, &slice.values);
        for element in [
            text(tags::SERIES_INSTANCE_UID, VR::UI, slice.series),
            text(tags::PATIENT_NAME, VR::PN, "Doe^Jane"),
            text(tags::IMAGE_POSITION_PATIENT, VR::DS, joined(&slice.position)),
            text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
            text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.75"),
            text(tags::SLICE_THICKNESS, VR::DS, "5"),
            text(tags::RESCALE_SLOPE, VR::DS, "2"),
            text(tags::RESCALE_INTERCEPT, VR::DS, "-1000"),
        ] {
            object.put(element);
        }
        write(&self.place(name), CT, object);
        self
    }

    /// Four slices, whose names are in another order than they.
    fn series(&self, folder: &str) -> &Self {
        for (name, z) in [("IM1", 2), ("IM2", 0), ("IM3", 3), ("IM4", 1)] {
            self.slice(&format!("{folder}/{name}"), &Slice::new(z));
        }
        self
    }

    fn refused(&self, folder: &str) -> String {
        one_line(&read_image(self.root().join(folder)).unwrap_err())
    }

    /// A segmentation whose frames are of these segments, at these heights.
    fn segments(&self, name: &str, fractional: bool, frames: &[(u16, f64, [u8; 6])]) -> &Self {
        let mut object = item(vec![
            text(tags::SOP_CLASS_UID, VR::UI, SEGMENTATION),
            text(tags::SEGMENTATION_TYPE, VR::CS, if fractional { "FRACTIONAL" } else { "BINARY" }),
            word(tags::MAXIMUM_FRACTIONAL_VALUE, 200),
            text(tags::NUMBER_OF_FRAMES, VR::IS, frames.len()),
            word(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            word(tags::ROWS, 3),
            word(tags::COLUMNS, 2),
            word(tags::BITS_ALLOCATED, if fractional { 8 } else { 1 }),
            word(tags::BITS_STORED, if fractional { 8 } else { 1 }),
            word(tags::HIGH_BIT, if fractional { 7 } else { 0 }),
            word(tags::PIXEL_REPRESENTATION, 0),
        ]);
        let numbers: std::collections::BTreeSet<u16> = frames.iter().map(|frame| frame.0).collect();
        let listed =
            numbers.into_iter().map(|number| item(vec![word(tags::SEGMENT_NUMBER, number)]));
        object.put(sequence(tags::SEGMENT_SEQUENCE, listed.collect()));
        let orientation = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
        let measures = vec![
            text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.75"),
            text(tags::SPACING_BETWEEN_SLICES, VR::DS, "4"),
        ];
        let shared = item(vec![
            sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![item(vec![orientation])]),
            sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![item(measures)]),
        ]);
        object.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]));
        let of_frame = |&(segment, height, _): &(u16, f64, [u8; 6])| {
            let position =
                text(tags::IMAGE_POSITION_PATIENT, VR::DS, joined(&[-10.0, -20.0, height]));
            let number = item(vec![word(tags::REFERENCED_SEGMENT_NUMBER, segment)]);
            item(vec![
                sequence(tags::PLANE_POSITION_SEQUENCE, vec![item(vec![position])]),
                sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![number]),
            ])
        };
        let groups = frames.iter().map(of_frame).collect();
        object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups));
        let values: Vec<u8> = frames.iter().flat_map(|frame| frame.2).collect();
        let bytes = if fractional {
            values
        } else {
            values
                .chunks(8)
                .map(|bits| (0..).zip(bits).fold(0, |byte, (at, bit)| byte | bit << at))
                .collect()
        };
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into())));
        write(&self.place(name), SEGMENTATION, object);
        self
    }
}

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
    assert!(tilted.contains("slant of 14.0°"), "{tilted}");
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
    assert_eq!(found.images[0].read().unwrap().data.shape(), [1, 4, 3, 2]);
    assert_eq!(found.images[0].extension(), ".nii.gz");
}
