//! DICOM files, as scanners and annotation tools would write them.

use std::path::Path;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use sconce_data::read_image;

use crate::folder::{Folder, one_line};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(super) const ENHANCED: &str = "1.2.840.10008.5.1.4.1.1.2.1";
const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// What differs between the slices of a test.
#[derive(Clone)]
pub(super) struct Slice {
    pub(super) series: &'static str,
    pub(super) position: [f64; 3],
    pub(super) columns: u16,
    pub(super) values: Vec<i16>,
}

impl Slice {
    /// Slice number `z` of a stack of 4 mm, 3 rows of 2 columns: its values tell where they lie.
    pub(super) fn new(z: u8) -> Self {
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
pub(super) fn text(tag: Tag, vr: VR, value: impl ToString) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value.to_string()))
}

pub(super) fn word(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

pub(super) fn joined(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join("\\")
}

pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

pub(super) fn item(elements: Vec<DataElement<InMemDicomObject>>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

pub(super) fn write(path: &Path, class: &str, object: InMemDicomObject) {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(EXPLICIT)
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid("1.2.3.4");
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// What an image file holds beside where it lies.
pub(super) fn pixels(class: &str, rows: u16, columns: u16, values: &[i16]) -> InMemDicomObject {
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
    pub(super) fn slice(&self, name: &str, slice: &Slice) -> &Self {
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
    pub(super) fn series(&self, folder: &str) -> &Self {
        for (name, z) in [("IM1", 2), ("IM2", 0), ("IM3", 3), ("IM4", 1)] {
            self.slice(&format!("{folder}/{name}"), &Slice::new(z));
        }
        self
    }

    pub(super) fn refused(&self, folder: &str) -> String {
        one_line(&read_image(self.root().join(folder)).unwrap_err())
    }

    /// A segmentation whose frames are of these segments, at these heights.
    pub(super) fn segments(
        &self,
        name: &str,
        fractional: bool,
        frames: &[(u16, f64, [u8; 6])],
    ) -> &Self {
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
