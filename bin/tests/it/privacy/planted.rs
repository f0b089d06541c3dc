//! Image files with a name in every field of text that their formats have.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use sconce::data::write_image;
use sconce::volume::Image;

/// Short enough for the shortest field: ten bytes in a header of NIfTI-1.
pub(super) const NAME: &str = "Planted^P";

/// Writes an image of one slice of bytes, and plants the name in the file.
pub(super) fn write(path: &Path, extension: &str, image: &Image) -> anyhow::Result<()> {
    match extension {
        "gif" => return gif(path, image),
        "dcm" => return dicom(path, image),
        _ => write_image(path, image)?,
    }
    let bytes = fs::read(path)?;
    let planted = match extension {
        "nii" => nifti(bytes),
        "nrrd" => {
            text(&bytes, &["NRRD"], "content: N\n# N\nPatientName:=N\nsample units: \"N\"\n")?
        }
        "mha" => text(&bytes, &[], "Comment = N\nName = N\nPatientName = N\n")?,
        "png" => png(&bytes),
        "jpg" => jpeg(&bytes),
        "tif" => tiff(bytes)?,
        _ => anyhow::bail!("nothing is planted in {extension}"),
    };
    assert!(planted.windows(NAME.len()).any(|part| part == NAME.as_bytes()), "{extension}");
    Ok(fs::write(path, planted)?)
}

/// Every text of the header, and an extension with a comment.
fn nifti(mut bytes: Vec<u8>) -> Vec<u8> {
    for (at, size) in [(4, 10), (14, 18), (148, 80), (228, 24), (328, 16)] {
        bytes[at..at + size].fill(0);
        bytes[at..at + NAME.len()].copy_from_slice(NAME.as_bytes());
    }
    bytes[108..112].copy_from_slice(&(352f32 + 32.0).to_le_bytes());
    bytes[348] = 1;
    // 32 bytes of a comment, which has the number 6.
    let mut extension = [32i32.to_le_bytes(), 6i32.to_le_bytes()].concat();
    extension.extend(NAME.as_bytes());
    extension.resize(32, 0);
    bytes.splice(352..352, extension);
    bytes
}

/// Lines after the first one, or before it.
fn text(bytes: &[u8], after: &[&str], lines: &str) -> anyhow::Result<Vec<u8>> {
    let end = bytes.iter().position(|&byte| byte == b'\n').context("a line")? + 1;
    let at = if after.is_empty() { 0 } else { end };
    assert!(after.iter().all(|magic| bytes.starts_with(magic.as_bytes())));
    let lines = lines.replace(" N", &format!(" {NAME}")).replace("=N", &format!("={NAME}"));
    let lines = lines.replace("\"N\"", &format!("\"{NAME}\""));
    Ok([&bytes[..at], lines.as_bytes(), &bytes[at..]].concat())
}

/// Chunks of text before the pixels.
fn png(bytes: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], body: &[u8]| {
        let checked = [kind.as_slice(), body].concat();
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [length.as_slice(), &checked, &crc(&checked).to_be_bytes()].concat()
    };
    let name = NAME.as_bytes();
    let after_header = 8 + 25;
    [
        &bytes[..after_header],
        &chunk(b"tEXt", &[b"Author\0", name].concat()),
        &chunk(b"iTXt", &[b"Comment\0\0\0en\0Comment\0".as_slice(), name].concat()),
        &chunk(b"eXIf", &[b"II*\0".as_slice(), name].concat()),
        &bytes[after_header..],
    ]
    .concat()
}

/// The check sum of PNG.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// A comment, and segments of applications.
fn jpeg(bytes: &[u8]) -> Vec<u8> {
    let segment = |kind: u8, prefix: &[u8]| {
        let body = [prefix, NAME.as_bytes()].concat();
        let length = u16::try_from(body.len() + 2).expect("short").to_be_bytes();
        [&[0xff, kind], length.as_slice(), &body].concat()
    };
    [
        &bytes[..2],
        &segment(0xfe, b""),
        &segment(0xe1, b"Exif\0\0II*\0"),
        &segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0"),
        &segment(0xed, b"Photoshop 3.0\0"),
        &bytes[2..],
    ]
    .concat()
}

/// A directory with every tag that holds text, in place of that which was there.
fn tiff(mut bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(bytes.starts_with(b"II*\0"), "it is little endian");
    let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let at = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    let count = usize::from(word(at));
    let entry = |index: usize| bytes[at + 2 + 12 * index..][..12].to_vec();
    let mut entries: Vec<Vec<u8>> = (0..count).map(entry).collect();
    let tag_of = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let place = u32::try_from(bytes.len())?;
    bytes.extend(NAME.as_bytes());
    bytes.push(0);
    for tag in [269u16, 270, 271, 272, 285, 305, 315, 316, 700, 33432] {
        entries.retain(|entry| tag_of(entry) != tag);
        let length = u32::try_from(NAME.len() + 1)?.to_le_bytes();
        let kind = if tag == 700 { 1u16 } else { 2 };
        entries.push(
            [&tag.to_le_bytes(), kind.to_le_bytes().as_slice(), &length, &place.to_le_bytes()]
                .concat(),
        );
    }
    entries.sort_by_key(|entry| tag_of(entry));
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let directory = u32::try_from(bytes.len())?.to_le_bytes();
    bytes[4..8].copy_from_slice(&directory);
    bytes.extend(u16::try_from(entries.len())?.to_le_bytes());
    bytes.extend(entries.concat());
    bytes.extend([0; 4]);
    Ok(bytes)
}

fn bytes_of(image: &Image) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    image.data.iter().map(|&value| value as u8).collect()
}

/// With extensions of comment and application.
fn gif(path: &Path, image: &Image) -> anyhow::Result<()> {
    let [_, rows, columns] = image.grid.size;
    let size = [u16::try_from(columns)?, u16::try_from(rows)?];
    let palette: Vec<u8> = (0..=255u8).flat_map(|value| [value; 3]).collect();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, size[0], size[1], &palette)?;
    let parts = [b"XMP DataXMP".as_slice(), NAME.as_bytes()];
    for (kind, parts) in [(0xfe, &parts[1..]), (0xff, &parts[..])] {
        encoder.write_raw_extension(gif::AnyExtension(kind), parts)?;
    }
    encoder.write_frame(&gif::Frame {
        width: size[0],
        height: size[1],
        buffer: Cow::Owned(bytes_of(image)),
        ..gif::Frame::default()
    })?;
    drop(encoder);
    Ok(fs::write(path, file)?)
}

/// Who was looked at, by whom, where and why.
fn dicom(path: &Path, image: &Image) -> anyhow::Result<()> {
    const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    let text =
        |tag: Tag, vr: VR, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let word = |tag: Tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let [_, rows, columns] = image.grid.size;
    let mut object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, CLASS),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\0"),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        text(tags::PIXEL_SPACING, VR::DS, "1\\1"),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        word(tags::SAMPLES_PER_PIXEL, 1),
        word(tags::ROWS, u16::try_from(rows)?),
        word(tags::COLUMNS, u16::try_from(columns)?),
        word(tags::BITS_ALLOCATED, 8),
        word(tags::BITS_STORED, 8),
        word(tags::HIGH_BIT, 7),
        word(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(bytes_of(image))),
    ]);
    for (tag, vr) in [
        (tags::PATIENT_NAME, VR::PN),
        (tags::PATIENT_ID, VR::LO),
        (tags::OTHER_PATIENT_NAMES, VR::PN),
        (tags::PATIENT_COMMENTS, VR::LT),
        (tags::PATIENT_ADDRESS, VR::LO),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
        (tags::INSTITUTION_NAME, VR::LO),
        (tags::STUDY_DESCRIPTION, VR::LO),
        (tags::SERIES_DESCRIPTION, VR::LO),
        (tags::ACCESSION_NUMBER, VR::SH),
        (tags::STUDY_ID, VR::SH),
        (tags::IMAGE_COMMENTS, VR::LT),
        (Tag(0x0009, 0x0010), VR::LO),
        (Tag(0x0009, 0x1001), VR::LO),
    ] {
        object.put(text(tag, vr, NAME));
    }
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(EXPLICIT)
        .media_storage_sop_class_uid(CLASS)
        .media_storage_sop_instance_uid("1.2.3.4");
    Ok(object.with_meta(meta)?.write_to_file(path)?)
}
