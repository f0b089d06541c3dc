//! What a header says of each of its frames.

use std::path::{Path, PathBuf};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::{Attributes as _, Object};
use super::pixels::Pixels;
use crate::format::decoded::Trouble;

/// One slice, before anybody looked at its pixels.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) path: PathBuf,
    /// Which of the file's frames it is.
    pub(super) number: usize,
    pub(super) series: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) samples: usize,
    pub(super) voxel_type: String,
    pub(super) place: Option<Place>,
    /// Distance of neighbouring slices as the header has it, mm.
    pub(super) thickness: Option<f64>,
    /// What stored values are multiplied by, and what is added then.
    slope: f64,
    intercept: f64,
    /// Of the file, bytes.
    pub(super) length: u64,
    /// What bits stand for what: 32 of MONOCHROME1 are seen the other way round.
    pub(super) inverted: bool,
}

/// Where a slice lies: mm, towards left, posterior and superior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// The centre of the first pixel.
    pub(super) position: [f64; 3],
    /// Along a row, then along a column, each of length 1.
    pub(super) along: [[f64; 3]; 2],
    /// Between rows, then between columns.
    pub(super) spacing: [f64; 2],
}

impl Frame {
    /// The pixels' values, channels side by side.
    pub(super) fn values(&self, pixels: &Pixels) -> Result<Vec<f64>, Trouble> {
        let expected = (self.rows, self.columns, self.samples);
        let stored = pixels.frame(self.number, expected)?;
        Ok(stored.map(|value| value * self.slope + self.intercept).collect())
    }
}

/// An attribute's sequence, once for each frame or once for all.
fn group(object: &Object, frame: usize, sequence: Tag) -> Option<&InMemDicomObject> {
    let own = object.file.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame);
    let shared = object.file.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    [own, shared].into_iter().flatten().find_map(|group| group.items(sequence).first())
}

/// Where a frame lies, by its own group of attributes, the one of all frames, or the file itself.
pub(super) fn place(object: &Object, frame: usize) -> Option<Place> {
    let file = &object.file;
    let in_group = |sequence| group(object, frame, sequence);
    let position = match in_group(tags::PLANE_POSITION_SEQUENCE) {
        Some(group) => group.vector(tags::IMAGE_POSITION_PATIENT),
        None => file.vector(tags::IMAGE_POSITION_PATIENT),
    }?;
    let orientation: [f64; 6] = match in_group(tags::PLANE_ORIENTATION_SEQUENCE) {
        Some(group) => group.vector(tags::IMAGE_ORIENTATION_PATIENT),
        None => file.vector(tags::IMAGE_ORIENTATION_PATIENT),
    }?;
    let spacing = match in_group(tags::PIXEL_MEASURES_SEQUENCE) {
        Some(group) => group.vector(tags::PIXEL_SPACING),
        None => file.vector(tags::PIXEL_SPACING),
    }?;
    let [a, b, c, d, e, f] = orientation;
    // A dose has one position, and for each frame how far it is along the normal.
    let along = [[a, b, c], [d, e, f]];
    let offset = file.numbers(tags::GRID_FRAME_OFFSET_VECTOR);
    let offset = offset.and_then(|offsets| offsets.get(frame).copied()).unwrap_or(0.0);
    let normal = normal(along);
    let position = std::array::from_fn(|row| {
        let start: [f64; 3] = position;
        start[row] + offset * normal[row]
    });
    Some(Place { position, along, spacing })
}

/// Across a slice.
pub(super) fn normal([[a, b, c], [d, e, f]]: [[f64; 3]; 2]) -> [f64; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

pub(super) fn thickness(object: &Object, frame: usize) -> Option<f64> {
    let measures = group(object, frame, tags::PIXEL_MEASURES_SEQUENCE);
    let of_group = measures.and_then(|group| {
        group.number(tags::SPACING_BETWEEN_SLICES).or_else(|| group.number(tags::SLICE_THICKNESS))
    });
    let file = &object.file;
    let of_file =
        file.number(tags::SPACING_BETWEEN_SLICES).or_else(|| file.number(tags::SLICE_THICKNESS));
    of_group.or(of_file).filter(|mm| *mm > 0.0)
}

/// The frames of a file.
pub(super) fn of(path: &Path, object: &Object) -> Result<Vec<Frame>, Trouble> {
    let file = &object.file;
    let need = |tag: Tag, name: &str| {
        file.count(tag).filter(|count| *count > 0).ok_or_else(|| {
            Trouble::unsupported(format!("it holds no image (there is no {name})"), "leave it out")
        })
    };
    let (rows, columns) = (need(tags::ROWS, "Rows")?, need(tags::COLUMNS, "Columns")?);
    let bits = need(tags::BITS_ALLOCATED, "BitsAllocated")?;
    let signed = file.count(tags::PIXEL_REPRESENTATION) == Some(1);
    let stated = file.text(tags::NUMBER_OF_FRAMES);
    let count = file.count(tags::NUMBER_OF_FRAMES).or(stated.is_none().then_some(1));
    let count = count.filter(|count| *count > 0).ok_or_else(|| {
        Trouble::damaged(format!("{:?} is no number of frames", stated.unwrap_or_default()))
    })?;
    let colours = file.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    if colours == "PALETTE COLOR" {
        return Err(Trouble::unsupported("its pixels are places in a palette", "save it as grey"));
    }
    // A frame that is packed has a header of its own.
    let smallest = if object.is_packed() { 64 } else { (rows * columns).saturating_mul(bits) };
    if (count as u64).saturating_mul(smallest as u64) > object.length.saturating_mul(8) {
        return Err(Trouble::damaged(format!(
            "it announces {count} frames, more than it can hold"
        )));
    }
    let transformed = |frame: usize, tag: Tag| {
        let group = group(object, frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
        group.and_then(|group| group.number(tag)).or_else(|| file.number(tag))
    };
    let dose = file.number(tags::DOSE_GRID_SCALING);
    let one = |number: usize| Frame {
        path: path.to_owned(),
        number,
        series: file.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
        rows,
        columns,
        samples: file.count(tags::SAMPLES_PER_PIXEL).unwrap_or(1).max(1),
        voxel_type: format!("{}int{bits}", if signed { "" } else { "u" }),
        place: place(object, number),
        thickness: thickness(object, number),
        slope: dose.or_else(|| transformed(number, tags::RESCALE_SLOPE)).unwrap_or(1.0),
        intercept: transformed(number, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        length: object.length / count as u64,
        inverted: colours == "MONOCHROME1",
    };
    Ok((0..count).map(one).collect())
}
