//! Slices in the order in which they lie.

use std::path::Path;

use super::frames::{Frame, normal};
use crate::format::axes::{of_vectors, on_grid};
use crate::format::decoded::{Meta, Trouble};

/// How far positions may stray from evenly spaced ones, as a part of the spacing.
const UNEVEN: f64 = 0.05;
/// How far the stack may lean, as a part of its height: a tenth of a degree.
const TILT: f64 = 0.0017;
/// How much the axes of two slices may differ.
const TURN: f64 = 1e-3;
/// How many bytes of pixels one byte of a file can stand for, whatever packed it.
const RATIO: u64 = 1100;

/// Slices that make a volume.
pub(super) struct Series {
    pub(super) meta: Meta,
    /// From the first slice of the grid to its last.
    pub(super) frames: Vec<Frame>,
}

/// Sorts frames by position, and says where the volume lies that they make up.
pub(super) fn arrange(mut frames: Vec<Frame>) -> Result<Series, Trouble> {
    let first = frames.first().ok_or_else(|| Trouble::damaged("it holds no frame"))?.clone();
    alike(&first, &frames)?;
    let count = frames.len();
    let bytes: u64 = frames.iter().map(|frame| frame.length).sum();
    let pixels = [count, first.rows, first.columns, first.samples];
    let pixels = pixels.into_iter().try_fold(1_u64, |all, extent| all.checked_mul(extent as u64));
    if pixels.is_none_or(|pixels| pixels > bytes.saturating_mul(RATIO).saturating_add(1 << 20)) {
        return Err(Trouble::damaged(format!(
            "its header announces {count} × {} × {} pixels, more than files of that length can hold",
            first.rows, first.columns
        )));
    }
    let mut notes = Vec::new();
    if first.inverted {
        notes.push(
            "its grey values are seen inverted (MONOCHROME1); they are read as stored".to_owned(),
        );
    }
    let size = [count, first.rows, first.columns];
    let Some(place) = first.place.filter(|_| frames.iter().all(|frame| frame.place.is_some()))
    else {
        if count > 1 && frames.iter().any(|frame| frame.path != first.path) {
            return Err(Trouble::unsupported(
                format!("its slices do not say where they lie ({})", name(&first.path)),
                "name a single file",
            ));
        }
        let mut meta = Meta::picture(size, first.samples, first.voxel_type)?;
        meta.notes = notes;
        return Ok(Series { meta, frames });
    };

    let across = normal(place.along);
    let height = |frame: &Frame| frame.place.map_or(0.0, |own| dot(own.position, across));
    frames.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let heights: Vec<f64> = frames.iter().map(height).collect();
    let step = even(&frames, &heights)?;
    let spacing = step.or(first.thickness).unwrap_or_else(|| {
        notes.push("it does not say how thick its slice is; 1 mm is used".to_owned());
        1.0
    });
    let start = frames[0].place.map_or(place.position, |own| own.position);
    upright(start, &frames, across, spacing)?;

    let scaled = |vector: [f64; 3], by: f64| vector.map(|component| component * by).to_vec();
    let vectors = [
        scaled(place.along[0], place.spacing[1]),
        scaled(place.along[1], place.spacing[0]),
        scaled(across, spacing),
    ];
    let grid = on_grid(&of_vectors(&vectors, &start, [-1.0, -1.0, 1.0]), size)?;
    let header_spacing = Some(grid.spacing);
    let (channels, voxel_type) = (first.samples, first.voxel_type);
    let meta =
        Meta { grid, channels, voxel_type, geometry: true, header_spacing, notes, sparse: false };
    Ok(Series { meta, frames })
}

/// That frames are of one series and one size, and lie in parallel.
fn alike(first: &Frame, frames: &[Frame]) -> Result<(), Trouble> {
    let told = |what: &str, other: &Frame, remedy: &str| {
        let names = format!("{} and {}", name(&first.path), name(&other.path));
        Err(Trouble::unsupported(format!("{names} {what}"), remedy))
    };
    for frame in frames {
        if frame.series != first.series {
            return told(
                "are of different series",
                frame,
                "put each series into a folder of its own",
            );
        }
        let size = |frame: &Frame| (frame.rows, frame.columns, frame.samples);
        if size(frame) != size(first) {
            return told(
                "are of different sizes",
                frame,
                "leave out what does not belong, as scouts do not",
            );
        }
        let (Some(one), Some(other)) = (first.place, frame.place) else { continue };
        let turned = (0..2).any(|axis| {
            (0..3).any(|row| (one.along[axis][row] - other.along[axis][row]).abs() > TURN)
                || (one.spacing[axis] - other.spacing[axis]).abs() > TURN * one.spacing[axis].abs()
        });
        if turned {
            return told(
                "do not lie in parallel",
                frame,
                "leave out what does not belong, as scouts do not",
            );
        }
    }
    Ok(())
}

/// The distance of neighbouring slices, which must be the same for all; `None` of a single one.
fn even(frames: &[Frame], heights: &[f64]) -> Result<Option<f64>, Trouble> {
    let mut steps: Vec<f64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if steps.is_empty() {
        return Ok(None);
    }
    let twice = steps.iter().position(|step| step.abs() < 1e-4);
    if let Some(at) = twice {
        let names = [&frames[at], &frames[at + 1]].map(|frame| name(&frame.path));
        return Err(Trouble::unsupported(
            format!("{} and {} lie at the same place", names[0], names[1]),
            "put each phase, echo or repetition into a folder of its own",
        ));
    }
    let ordered = steps.clone();
    steps.sort_by(f64::total_cmp);
    let usual = steps[steps.len() / 2];
    for (at, step) in ordered.iter().enumerate() {
        if (step - usual).abs() > UNEVEN * usual {
            let names = [&frames[at], &frames[at + 1]].map(|frame| name(&frame.path));
            return Err(Trouble::unsupported(
                format!(
                    "slices are missing, or not evenly spaced: {step:.3} mm between {} and {}, {usual:.3} mm \
                     elsewhere",
                    names[0], names[1]
                ),
                "complete the series, or resample it",
            ));
        }
    }
    let span = heights[heights.len() - 1] - heights[0];
    Ok(Some(span / (heights.len() - 1) as f64))
}

/// That the stack does not lean, as that of a tilted gantry does, and that no slice of it is shifted.
fn upright(
    start: [f64; 3],
    frames: &[Frame],
    across: [f64; 3],
    spacing: f64,
) -> Result<(), Trouble> {
    for frame in frames {
        let Some(place) = frame.place else { continue };
        let way: [f64; 3] = std::array::from_fn(|row| place.position[row] - start[row]);
        let height = dot(way, across);
        let lean = (dot(way, way) - height * height).max(0.0).sqrt();
        if lean > TILT * height.max(spacing) {
            let degrees = (lean / height.max(spacing)).atan().to_degrees();
            return Err(Trouble::unsupported(
                format!(
                    "its slices are stacked at a slant, as with a tilted gantry: that of {} by {degrees:.1}°",
                    name(&frame.path)
                ),
                "resample it upright, as dcm2niix does",
            ));
        }
    }
    Ok(())
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
