//! DICOM segmentations are written: binary ones of labels, fractional ones of class probabilities.

mod attributes;
mod identity;
mod images;

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use volume::{Grid, LabelMap, SoftLabelMap};

use self::attributes::{
    Element, axis, general, item, of_frame, segment, sequence, shared, text, word,
};
use self::identity::{seed, uid};
use self::images::Images;
use crate::format::replace::replace;
use crate::format::write::refuse;
use crate::{Error, Result};

/// Of what a segmentation is, beside its voxels.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentationOf<'a> {
    /// A file or folder of the images that it shows: patient, study and frame of reference are taken from there. Without,
    /// viewers know no image to lay it over.
    pub images: Option<&'a Path>,
    /// The names of the classes, background first; without, they are numbered.
    pub classes: &'a [String],
}

/// What fractions are parts of.
const WHOLE: u8 = 255;
/// More pixel data than this cannot be announced, in 32 bits.
const MOST_BYTES: u64 = 0xffff_fff0;
/// Axes whose cosine is larger are not at right angles.
const SKEW: f64 = 1e-3;

/// Writes labels as a DICOM segmentation, whose segments are the labels but 0, one frame for each slice that a segment is
/// in.
///
/// # Errors
///
/// Where the file cannot be written, the images cannot be read, or axes are not at right angles.
pub fn write_segmentation(
    path: impl AsRef<Path>,
    labels: &LabelMap,
    of: SegmentationOf<'_>,
) -> Result<()> {
    let largest = labels.data.iter().copied().max().unwrap_or(0);
    let mut frames = Vec::new();
    for segment in 1..=largest.max(1) {
        for (slice, values) in labels.data.outer_iter().enumerate() {
            if values.iter().any(|&label| label == segment) {
                let inside = values.iter().map(|&label| u8::from(label == segment));
                frames.push(Frame { segment, slice, values: inside.collect() });
            }
        }
    }
    write(path.as_ref(), &labels.grid, usize::from(largest), frames, of, Kind::Binary)
}

/// Writes class probabilities as a fractional DICOM segmentation, in 255ths: its segments are the classes but the background,
/// which is what they leave.
///
/// # Errors
///
/// As [`write_segmentation`].
pub fn write_fractional_segmentation(
    path: impl AsRef<Path>,
    labels: &SoftLabelMap,
    of: SegmentationOf<'_>,
) -> Result<()> {
    let classes = labels.classes();
    let [d, h, w] = labels.grid.size;
    let mut frames = Vec::new();
    for slice in 0..d {
        let mut parts = vec![vec![0; h * w]; classes];
        for (voxel, (y, x)) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))).enumerate() {
            let shares = (0..classes).map(|class| labels.data[[class, slice, y, x]]);
            for (part, value) in parts.iter_mut().zip(parts_of(&shares.collect::<Vec<_>>())) {
                part[voxel] = value;
            }
        }
        for (segment, values) in (0..).zip(parts).skip(1) {
            if values.iter().any(|&part| part > 0) {
                frames.push(Frame { segment, slice, values });
            }
        }
    }
    frames.sort_by_key(|frame| (frame.segment, frame.slice));
    write(path.as_ref(), &labels.grid, classes.saturating_sub(1), frames, of, Kind::Fractional)
}

/// Probabilities in whole parts that add up to [`WHOLE`], each as near as may be: what is left over goes to those that were
/// cut the most.
fn parts_of(shares: &[f32]) -> Vec<u8> {
    let exact: Vec<f32> =
        shares.iter().map(|share| share.clamp(0.0, 1.0) * f32::from(WHOLE)).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let mut parts: Vec<u8> = exact.iter().map(|part| part.floor() as u8).collect();
    let sum: usize = parts.iter().map(|&part| usize::from(part)).sum();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let cut = order.into_iter().filter(|&at| exact[at].fract() > 0.0);
    for at in cut.take(usize::from(WHOLE).saturating_sub(sum)) {
        parts[at] = parts[at].saturating_add(1);
    }
    parts
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Binary,
    Fractional,
}

/// A slice of a segment.
struct Frame {
    segment: u16,
    slice: usize,
    values: Vec<u8>,
}

fn write(
    path: &Path,
    grid: &Grid,
    segments: usize,
    mut frames: Vec<Frame>,
    of: SegmentationOf<'_>,
    kind: Kind,
) -> Result<()> {
    let [_, rows, columns] = grid.size;
    let extents = [rows, columns].map(u16::try_from);
    let [Ok(rows), Ok(columns)] = extents else {
        return Err(refuse(path, format!("slices of {rows} × {columns} pixels are too large")));
    };
    if (0..3).any(|axis| cosine(grid, axis, (axis + 1) % 3).abs() > SKEW) {
        return Err(refuse(path, "its axes are not at right angles".to_owned()));
    }
    let segments = u16::try_from(segments.max(1))
        .map_err(|_| refuse(path, format!("{segments} segments are too many")))?;
    let named = of.classes.len();
    if named > 0 && named <= usize::from(segments) {
        return Err(Error::settings(
            format!("{named} classes are named, but there are {segments} beside the background"),
            "name all of them, the background first",
        ));
    }
    let bytes = frames.len() as u64 * u64::from(rows) * u64::from(columns);
    if bytes / if kind == Kind::Binary { 8 } else { 1 } > MOST_BYTES {
        return Err(refuse(path, format!("{} frames are more than a file can hold", frames.len())));
    }
    if frames.is_empty() {
        // There is no file without a frame.
        let values = vec![0; usize::from(rows) * usize::from(columns)];
        frames.push(Frame { segment: 1, slice: 0, values });
    }
    let images = of.images.map(Images::read).transpose()?.unwrap_or_default();
    let seed = seed(grid, &frames, kind, &images, of.classes);
    let own = uid(seed, "instance");
    let mut object = InMemDicomObject::new_empty();
    let mut put = |element: Element| {
        object.put(element);
    };
    general(&images, seed, kind).into_iter().for_each(&mut put);
    for element in [
        text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, &own),
        word(tags::ROWS, rows),
        word(tags::COLUMNS, columns),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string()),
        sequence(
            tags::SEGMENT_SEQUENCE,
            (1..=segments).map(|at| segment(at, of.classes)).collect(),
        ),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared(grid)]),
    ] {
        put(element);
    }
    let organization = uid(seed, "dimensions");
    let index = [
        (tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE),
        (tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE),
    ];
    put(sequence(
        tags::DIMENSION_ORGANIZATION_SEQUENCE,
        vec![item([text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization)])],
    ));
    let index = index.map(|(pointer, group)| {
        item([
            text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization),
            DataElement::new(tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::from(pointer)),
            DataElement::new(tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::from(group)),
        ])
    });
    put(sequence(tags::DIMENSION_INDEX_SEQUENCE, index.to_vec()));
    let groups = frames.iter().map(|frame| of_frame(grid, frame, &images)).collect();
    put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups));
    let pixels = PrimitiveValue::U8(packed(&frames, kind).into());
    put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));

    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::SEGMENTATION_STORAGE)
        .media_storage_sop_instance_uid(own);
    let failed = |error: &dyn std::fmt::Display| refuse(path, error.to_string());
    let file = object.with_meta(meta).map_err(|error| failed(&error))?;
    replace(path, ".dcm", |temporary| file.write_to_file(temporary).map_err(|error| failed(&error)))
}

fn cosine(grid: &Grid, a: usize, b: usize) -> f64 {
    axis(grid, a).into_iter().zip(axis(grid, b)).map(|(a, b)| a * b).sum()
}

/// The bits of all frames one after the other, the first lowest in its byte, or a byte for each pixel; an even number of
/// bytes.
fn packed(frames: &[Frame], kind: Kind) -> Vec<u8> {
    let values: Vec<u8> = frames.iter().flat_map(|frame| frame.values.iter().copied()).collect();
    let mut bytes = match kind {
        Kind::Fractional => values,
        Kind::Binary => {
            let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
            values.chunks(8).map(byte).collect()
        }
    };
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_and_are_near() {
        for shares in [vec![0.5, 0.5], vec![1.0 / 3.0; 3], vec![0.0, 1.0], vec![0.1, 0.2, 0.7]] {
            let parts = parts_of(&shares);

            assert_eq!(parts.iter().map(|&part| u32::from(part)).sum::<u32>(), 255, "{shares:?}");
            for (part, share) in parts.iter().zip(&shares) {
                assert!((f32::from(*part) - 255.0 * share).abs() < 1.0, "{shares:?} {parts:?}");
            }
        }
        assert_eq!(parts_of(&[0.0, 0.0]), [0, 0], "what is ignored is nothing");
    }
}
