//! What a segmentation says of itself, of its segments and of its frames.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use volume::Grid;

use super::identity::{now, uid};
use super::images::{COPIED, Images, Instance};
use super::{Frame, Kind, WHOLE};

pub(super) type Element = DataElement<InMemDicomObject>;

/// What all of the file is.
pub(super) fn general(images: &Images, seed: u128, kind: Kind) -> Vec<Element> {
    let (date, time) = now();
    let study = images.study.clone().unwrap_or_else(|| uid(seed, "study"));
    let space = images.space.clone().unwrap_or_else(|| uid(seed, "frame of reference"));
    let mut elements = COPIED.map(|(tag, vr)| text(tag, vr, "")).to_vec();
    elements.extend(images.copied.iter().cloned());
    elements.extend([
        // Texts are Unicode, whatever they were in the images.
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, &study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &uid(seed, "series")),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &space),
        text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        text(tags::MODALITY, VR::CS, "SEG"),
        text(tags::SERIES_NUMBER, VR::IS, "300"),
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        text(tags::MANUFACTURER, VR::LO, "sconce"),
        text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "sconce"),
        text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "1"),
        text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION")),
        text(tags::CONTENT_DATE, VR::DA, &date),
        text(tags::CONTENT_TIME, VR::TM, &time),
        text(tags::CONTENT_LABEL, VR::CS, "SEGMENTATION"),
        text(tags::CONTENT_DESCRIPTION, VR::LO, "Segmentation"),
        text(tags::CONTENT_CREATOR_NAME, VR::PN, "sconce"),
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
        word(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        word(tags::PIXEL_REPRESENTATION, 0),
        text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
    ]);
    let (bits, name) = if kind == Kind::Binary { (1, "BINARY") } else { (8, "FRACTIONAL") };
    elements.extend([
        word(tags::BITS_ALLOCATED, bits),
        word(tags::BITS_STORED, bits),
        word(tags::HIGH_BIT, bits - 1),
        text(tags::SEGMENTATION_TYPE, VR::CS, name),
    ]);
    if kind == Kind::Fractional {
        elements.push(text(tags::SEGMENTATION_FRACTIONAL_TYPE, VR::CS, "PROBABILITY"));
        elements.push(word(tags::MAXIMUM_FRACTIONAL_VALUE, WHOLE.into()));
    }
    if let Some(series) = &images.series {
        let shown = images.instances.iter().map(|instance| item(named(instance)));
        elements.push(sequence(
            tags::REFERENCED_SERIES_SEQUENCE,
            vec![item([
                text(tags::SERIES_INSTANCE_UID, VR::UI, series),
                sequence(tags::REFERENCED_INSTANCE_SEQUENCE, shown.collect()),
            ])],
        ));
    }
    elements
}

pub(super) fn segment(number: u16, classes: &[String]) -> InMemDicomObject {
    let name = classes.get(usize::from(number)).cloned();
    // A word of at most 64 letters.
    let name: String = name.unwrap_or_else(|| format!("{number}")).chars().take(64).collect();
    // Whatever it is, it is tissue: SNOMED CT knows nothing more general.
    let tissue = || vec![code("85756007", "SCT", "Tissue")];
    item([
        word(tags::SEGMENT_NUMBER, number),
        text(tags::SEGMENT_LABEL, VR::LO, &name),
        text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC"),
        text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, "sconce"),
        sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, tissue()),
        sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, tissue()),
    ])
}

/// Towards left, posterior and superior.
fn to_lps([r, a, s]: [f64; 3]) -> [f64; 3] {
    [-r, -a, s]
}

pub(super) fn axis(grid: &Grid, axis: usize) -> [f64; 3] {
    to_lps(grid.direction.map(|row| row[axis]))
}

/// What holds for all frames.
pub(super) fn shared(grid: &Grid) -> InMemDicomObject {
    let [between, of_rows, of_columns] = grid.spacing;
    let along = [axis(grid, 2), axis(grid, 1)].concat();
    item([
        sequence(
            tags::PIXEL_MEASURES_SEQUENCE,
            vec![item([
                text(tags::PIXEL_SPACING, VR::DS, &decimals(&[of_rows, of_columns])),
                text(tags::SLICE_THICKNESS, VR::DS, &decimals(&[between])),
                text(tags::SPACING_BETWEEN_SLICES, VR::DS, &decimals(&[between])),
            ])],
        ),
        sequence(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![item([text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&along))])],
        ),
    ])
}

pub(super) fn of_frame(grid: &Grid, frame: &Frame, images: &Images) -> InMemDicomObject {
    let position = to_lps(grid.position([frame.slice as f64, 0.0, 0.0]));
    let slice = u32::try_from(frame.slice + 1).unwrap_or(u32::MAX);
    let index = [u32::from(frame.segment), slice];
    item([
        sequence(
            tags::FRAME_CONTENT_SEQUENCE,
            vec![item([DataElement::new(
                tags::DIMENSION_INDEX_VALUES,
                VR::UL,
                PrimitiveValue::U32(index.into()),
            )])],
        ),
        sequence(
            tags::PLANE_POSITION_SEQUENCE,
            vec![item([text(tags::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&position))])],
        ),
        sequence(
            tags::DERIVATION_IMAGE_SEQUENCE,
            images.at(position).map(derived_from).into_iter().collect(),
        ),
        sequence(
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            vec![item([word(tags::REFERENCED_SEGMENT_NUMBER, frame.segment)])],
        ),
    ])
}

/// Which image it is, in the words of the standard.
fn named(instance: &Instance) -> [Element; 2] {
    [
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &instance.class),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &instance.name),
    ]
}

/// That a frame is a segmentation of an image.
fn derived_from(instance: &Instance) -> InMemDicomObject {
    let mut source = item(named(instance));
    let purpose = code("121322", "DCM", "Source image for image processing operation");
    source.put(sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]));
    item([
        sequence(tags::DERIVATION_CODE_SEQUENCE, vec![code("113076", "DCM", "Segmentation")]),
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
    ])
}

fn code(value: &str, scheme: &str, meaning: &str) -> InMemDicomObject {
    item([
        text(tags::CODE_VALUE, VR::SH, value),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme),
        text(tags::CODE_MEANING, VR::LO, meaning),
    ])
}

pub(super) fn text(tag: Tag, vr: VR, value: &str) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

pub(super) fn word(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> Element {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

pub(super) fn item(elements: impl IntoIterator<Item = Element>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

/// Numbers in at most 16 letters each, as the standard has them.
fn decimals(values: &[f64]) -> String {
    let short = |&value: &f64| {
        // Rounding of axes leaves what is no more than 0.
        let value = if value.abs() < 1e-12 { 0.0 } else { value };
        let whole = value.to_string();
        if whole.len() <= 16 {
            return whole;
        }
        let texts = (0..14).rev().map(|digits| format!("{value:.digits$}"));
        let mut texts = texts.filter(|text| text.len() <= 16);
        texts.next().unwrap_or_else(|| format!("{value:.8e}"))
    };
    values.iter().map(short).collect::<Vec<_>>().join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_into_sixteen_letters() {
        let values = [1.0, -0.333_333_333_333_333_3, -123_456_789.123_456_78, 1e-13, 1e-9];
        for text in decimals(&values).split('\\') {
            assert!(text.len() <= 16, "{text}");
        }
        assert_eq!(decimals(&[0.5, -0.75]), "0.5\\-0.75");
    }
}
