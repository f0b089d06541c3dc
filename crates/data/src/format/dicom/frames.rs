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

/// Where a frame lies, by its own group of attributes, the one of all frames, or the file itself; `along` the normal by an
/// offset, where it has one.
pub(super) fn place(object: &Object, frame: usize, along: f64) -> Result<Option<Place>, Trouble> {
    let file = &object.file;
    let in_group = |sequence| group(object, frame, sequence);
    let position: Option<[f64; 3]> = match in_group(tags::PLANE_POSITION_SEQUENCE) {
        Some(group) => group.vector(tags::IMAGE_POSITION_PATIENT),
        None => file.vector(tags::IMAGE_POSITION_PATIENT),
    };
    let orientation: Option<[f64; 6]> = match in_group(tags::PLANE_ORIENTATION_SEQUENCE) {
        Some(group) => group.vector(tags::IMAGE_ORIENTATION_PATIENT),
        None => file.vector(tags::IMAGE_ORIENTATION_PATIENT),
    };
    let spacing: Option<[f64; 2]> = match in_group(tags::PIXEL_MEASURES_SEQUENCE) {
        Some(group) => group.vector(tags::PIXEL_SPACING),
        None => file.vector(tags::PIXEL_SPACING),
    };
    let (Some(position), Some([a, b, c, d, e, f]), Some(spacing)) =
        (position, orientation, spacing)
    else {
        return Ok(None);
    };
    let axes = [[a, b, c], [d, e, f]];
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let sound = (dot(axes[0], axes[0]) - 1.0).abs() < SKEWED
        && (dot(axes[1], axes[1]) - 1.0).abs() < SKEWED
        && dot(axes[0], axes[1]).abs() < SKEWED
        && spacing.iter().all(|mm| *mm > 0.0);
    if !sound {
        return Err(Trouble::damaged(format!(
            "its rows and columns run along {axes:?}, {spacing:?} mm apart, which are no axes of pixels"
        )));
    }
    let across = normal(axes);
    let position = std::array::from_fn(|row| position[row] + along * across[row]);
    Ok(Some(Place { position, along: axes, spacing }))
}

/// How far each frame of a dose is from the first, along the normal; none, where they do not say so.
fn offsets(object: &Object) -> Vec<f64> {
    let offsets = object.file.numbers(tags::GRID_FRAME_OFFSET_VECTOR).unwrap_or_default();
    // They are counted from the first frame, or from the origin of the patient.
    let first = offsets.first().copied().unwrap_or(0.0);
    offsets.into_iter().map(|offset| offset - first).collect()
}

/// How far axes may be from unit vectors at right angles.
const SKEWED: f64 = 1e-3;

/// Across a slice.
pub(super) fn normal([[a, b, c], [d, e, f]]: [[f64; 3]; 2]) -> [f64; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

/// How far slices are apart, mm, if the header says so; else how thick they are.
pub(super) fn thickness(object: &Object, frame: usize) -> Option<f64> {
    let apart = measure(object, frame, tags::SPACING_BETWEEN_SLICES);
    apart.or_else(|| measure(object, frame, tags::SLICE_THICKNESS))
}

/// A length above 0, by the group of attributes of a frame, or of the file.
pub(super) fn measure(object: &Object, frame: usize, tag: Tag) -> Option<f64> {
    let of_group =
        group(object, frame, tags::PIXEL_MEASURES_SEQUENCE).and_then(|it| it.number(tag));
    of_group.or_else(|| object.file.number(tag)).filter(|mm| *mm > 0.0)
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
    let smallest = smallest.max(64);
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
    let offsets = offsets(object);
    let one = |number: usize| {
        let along = offsets.get(number).copied().unwrap_or(0.0);
        Ok(Frame {
            path: path.to_owned(),
            number,
            series: file.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            rows,
            columns,
            samples: file.count(tags::SAMPLES_PER_PIXEL).unwrap_or(1).max(1),
            voxel_type: format!("{}int{bits}", if signed { "" } else { "u" }),
            place: place(object, number, along)?,
            thickness: thickness(object, number),
            slope: dose.or_else(|| transformed(number, tags::RESCALE_SLOPE)).unwrap_or(1.0),
            intercept: transformed(number, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
            length: object.length / count as u64,
            inverted: colours == "MONOCHROME1",
        })
    };
    (0..count).map(one).collect()
}
