//! DICOM segmentations: binary, fractional, and label maps.

use dicom_dictionary_std::tags;

use super::attributes::{Attributes as _, Object};
use super::frames::{Place, measure, normal, place};
use super::pixels;
use super::series::dot;
use crate::format::axes::{of_vectors, on_grid};
use crate::format::decoded::{Decoded, Meta, Trouble, Voxel};

/// How far a frame may lie from where a slice should, as a part of their distance.
const UNEVEN: f64 = 0.05;
/// Positions closer than this are of one slice, mm.
const SAME: f64 = 1e-3;
/// Slices of zeros between frames are made up to this many.
const MOST_SLICES: f64 = 4096.0;

/// What pixels mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A frame shows one segment: inside or outside.
    Binary,
    /// A frame shows one segment, as parts of this number.
    Fractional(f64),
    /// Pixels are numbers of segments.
    LabelMap,
}

/// A segmentation, its frames put in their places.
struct Segmentation {
    meta: Meta,
    kind: Kind,
    /// Of each frame the slice that it is, and the number of its segment.
    frames: Vec<(usize, u16)>,
    /// The numbers of all segments.
    segments: Vec<u16>,
}

pub(super) fn meta(object: &Object) -> Result<Meta, Trouble> {
    Ok(read(object)?.meta)
}

pub(super) fn decode<V: Voxel>(object: &Object) -> Result<Decoded<V>, Trouble> {
    let Segmentation { meta, kind, frames, segments } = read(object)?;
    let pixels = pixels::of(object)?;
    let [_, h, w] = meta.grid.size;
    let (plane, voxels) = (h * w, meta.grid.len());
    if V::LABEL && matches!(kind, Kind::Fractional(_)) {
        return Err(Trouble::unsupported(
            "it holds fractions of segments, not labels",
            "read it as class probabilities (`soft = true`)",
        ));
    }
    let mut values = vec![0.0_f32; voxels * meta.channels];
    for (number, &(slice, segment)) in frames.iter().enumerate() {
        let channel = match kind {
            Kind::Fractional(_) => {
                1 + segments.iter().position(|&known| known == segment).unwrap_or(0)
            }
            Kind::Binary | Kind::LabelMap => 0,
        };
        let start = channel * voxels + slice * plane;
        let target = &mut values[start..start + plane];
        for (old, stored) in target.iter_mut().zip(pixels.frame(number, (h, w, 1))?) {
            let new = match kind {
                Kind::Fractional(whole) => stored / whole,
                Kind::Binary => stored * f64::from(segment),
                Kind::LabelMap => stored,
            };
            #[expect(clippy::cast_possible_truncation, reason = "16 bits at most, or a fraction")]
            let new = new as f32;
            if new != 0.0 {
                if *old != 0.0 && (*old - new).abs() > 0.0 {
                    return Err(Trouble::unsupported(
                        format!("its segments {old} and {new} overlap"),
                        "save them apart, or as a label map",
                    ));
                }
                *old = new;
            }
        }
    }
    if let Kind::Fractional(_) = kind {
        background(&mut values, voxels)?;
    }
    let label = |(index, &value): (usize, &f32)| {
        V::from_f64(f64::from(value))
            .ok_or_else(|| Trouble::not_label(&meta, index, f64::from(value)))
    };
    let data = values.iter().enumerate().map(label).collect::<Result<_, _>>()?;
    Ok(Decoded { meta, data })
}

/// Makes the first channel what the others leave.
fn background(values: &mut [f32], voxels: usize) -> Result<(), Trouble> {
    let (background, segments) = values.split_at_mut(voxels);
    for (voxel, background) in background.iter_mut().enumerate() {
        let sum: f32 = segments.iter().skip(voxel).step_by(voxels).sum();
        if sum > 1.0 + 1e-3 {
            return Err(Trouble::unsupported(
                format!("the fractions of its segments add up to {sum}"),
                "save segments that do not overlap",
            ));
        }
        *background = (1.0 - sum).max(0.0);
    }
    Ok(())
}

fn read(object: &Object) -> Result<Segmentation, Trouble> {
    let file = &object.file;
    let kind = match file.text(tags::SEGMENTATION_TYPE).as_deref() {
        Some("BINARY") => Kind::Binary,
        Some("FRACTIONAL") => {
            let whole = file.number(tags::MAXIMUM_FRACTIONAL_VALUE).filter(|whole| *whole > 0.0);
            Kind::Fractional(whole.unwrap_or(255.0))
        }
        Some("LABELMAP") => Kind::LabelMap,
        other => {
            let cause = format!("it is a segmentation of type {other:?}");
            return Err(Trouble::unsupported(cause, "save it as a binary one"));
        }
    };
    let count = file.count(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
    let (rows, columns) = (file.count(tags::ROWS), file.count(tags::COLUMNS));
    let size = rows.zip(columns).filter(|(rows, columns)| *rows > 0 && *columns > 0);
    let (rows, columns) =
        size.ok_or_else(|| Trouble::damaged("it does not say how large it is"))?;
    if (count as u64).saturating_mul((rows * columns) as u64) > object.length.saturating_mul(1100) {
        return Err(Trouble::damaged(format!(
            "its header announces {count} × {rows} × {columns} pixels, more than a file of its length can hold"
        )));
    }
    if count > file.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).len().max(1) {
        return Err(Trouble::unsupported(
            format!(
                "it does not say where each of its {count} frames lies, as tiles of a slide do not"
            ),
            "save a segmentation of slices",
        ));
    }
    let places: Result<Vec<Option<Place>>, Trouble> =
        (0..count).map(|frame| place(object, frame, 0.0)).collect();
    let places: Option<Vec<Place>> = places?.into_iter().collect();
    let places = places.ok_or_else(|| {
        Trouble::unsupported(
            "its frames do not say where in a patient they lie, as tiles of a slide do not",
            "save a segmentation of slices",
        )
    })?;
    let number = |frame: usize| {
        let groups = file.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame);
        let own = groups.into_iter();
        let shared = file.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let of = own.chain(shared).find_map(|group| {
            let item = group.items(tags::SEGMENT_IDENTIFICATION_SEQUENCE).first()?;
            item.count(tags::REFERENCED_SEGMENT_NUMBER)
        });
        of.and_then(|number| u16::try_from(number).ok()).unwrap_or(1)
    };
    let segments: Vec<u16> = file
        .items(tags::SEGMENT_SEQUENCE)
        .iter()
        .filter_map(|item| u16::try_from(item.count(tags::SEGMENT_NUMBER)?).ok())
        .collect();
    let (grid, slices) = stack(object, &places, [rows, columns])?;
    let channels = if matches!(kind, Kind::Fractional(_)) { 1 + segments.len() } else { 1 };
    let values = (grid.len() as u64).saturating_mul(channels as u64);
    let pixels = ((count * rows * columns) as u64).min(object.length.saturating_mul(8));
    if values > pixels.saturating_mul(64).saturating_add(1 << 26) {
        return Err(Trouble::damaged("it has too many segments, or its frames lie too far apart"));
    }
    let frames: Vec<(usize, u16)> =
        slices.into_iter().enumerate().map(|(frame, slice)| (slice, number(frame))).collect();
    if let Kind::Fractional(_) = kind
        && let Some((_, strange)) = frames.iter().find(|(_, segment)| !segments.contains(segment))
    {
        return Err(Trouble::damaged(format!(
            "a frame is of segment {strange}, which is not listed"
        )));
    }
    let meta = Meta {
        channels,
        voxel_type: match kind {
            Kind::Binary => "binary segments".to_owned(),
            Kind::Fractional(_) => "fractional segments".to_owned(),
            Kind::LabelMap => "label map".to_owned(),
        },
        geometry: true,
        header_spacing: Some(grid.spacing),
        notes: Vec::new(),
        sparse: true,
        grid,
    };
    Ok(Segmentation { meta, kind, frames, segments })
}

/// The grid that frames lie on, and the slice of it that each is: slices without a frame are empty.
fn stack(
    object: &Object,
    places: &[Place],
    [rows, columns]: [usize; 2],
) -> Result<(volume::Grid, Vec<usize>), Trouble> {
    let first = places[0];
    let across = normal(first.along);
    let heights: Vec<f64> = places.iter().map(|place| dot(place.position, across)).collect();
    let mut distinct = heights.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup_by(|a, b| (*a - *b).abs() < SAME);
    let lowest = distinct[0];
    let least = distinct.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let slice = |height: f64, step: f64| {
        let slice = (height - lowest) / step;
        ((slice - slice.round()).abs() <= UNEVEN && slice < MOST_SLICES).then_some(slice.round())
    };
    parallel(places, across)?;
    // Frames may be far apart: what the header says of slices is tried first.
    let candidates = [
        measure(object, 0, tags::SPACING_BETWEEN_SLICES),
        Some(least).filter(|step| step.is_finite()),
        measure(object, 0, tags::SLICE_THICKNESS),
        Some(1.0),
    ];
    let step = candidates
        .into_iter()
        .flatten()
        .find(|&step| distinct.iter().all(|&height| slice(height, step).is_some()));
    let step = step.ok_or_else(|| {
        Trouble::unsupported(
            "its frames are not evenly spaced",
            "resample it, and the image with it",
        )
    })?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 4096")]
    let slices: Vec<usize> = heights
        .iter()
        .map(|&height| slice(height, step).unwrap_or(0.0).max(0.0) as usize)
        .collect();
    let count = slices.iter().max().map_or(1, |last| last + 1);
    let start = places
        .iter()
        .zip(&heights)
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(first.position, |(place, _)| place.position);
    let scaled = |vector: [f64; 3], by: f64| vector.map(|component| component * by).to_vec();
    let vectors = [
        scaled(first.along[0], first.spacing[1]),
        scaled(first.along[1], first.spacing[0]),
        scaled(across, step),
    ];
    let grid = on_grid(&of_vectors(&vectors, &start, [-1.0, -1.0, 1.0]), [count, rows, columns])?;
    Ok((grid, slices))
}

/// That frames lie in parallel, one above the other.
fn parallel(places: &[Place], across: [f64; 3]) -> Result<(), Trouble> {
    let first = places[0];
    for place in places {
        let turned = (0..2).any(|axis| {
            (0..3).any(|row| (place.along[axis][row] - first.along[axis][row]).abs() > 1e-3)
                || (place.spacing[axis] - first.spacing[axis]).abs() > 1e-3 * first.spacing[axis]
        });
        let way: [f64; 3] = std::array::from_fn(|row| place.position[row] - first.position[row]);
        let height = dot(way, across);
        let aside = (dot(way, way) - height * height).max(0.0).sqrt();
        if turned || aside > UNEVEN * first.spacing[0].min(first.spacing[1]) + 1e-3 * height.abs() {
            return Err(Trouble::unsupported(
                "its frames do not lie in parallel, one above the other",
                "resample it, and the image with it",
            ));
        }
    }
    Ok(())
}
