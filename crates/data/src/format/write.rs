use std::path::Path;

use volume::{Grid, Image, LabelMap, SoftLabelMap};

use crate::error::Action;
use crate::{Error, Result};

/// Writes a label map: `.nii`, `.nii.gz` or, for a single slice, `.png`.
///
/// Labels are stored in 8 bits where the largest is below 255 (as nnU-Net does), else in 16. PNG
/// files do not keep the geometry. The file is there whole or not at all, and the same for the
/// same labels, byte for byte.
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the labels.
pub fn write_label_map(path: impl AsRef<Path>, labels: &LabelMap) -> Result<()> {
    let path = path.as_ref();
    let largest = labels.data.iter().copied().max().unwrap_or(0);
    match ending(path) {
        #[cfg(feature = "nifti")]
        Some(Ending::Nifti) => {
            use super::nifti::{Stored, write};
            let stored = match narrow(labels.data.iter().map(|&label| f32::from(label)), 254.0) {
                Some(bytes) => Stored::U8(shaped(bytes, labels.data.shape())),
                None => Stored::U16(labels.data.view().into_dyn()),
            };
            write(path, &labels.grid, &stored)
        }
        #[cfg(feature = "png")]
        Some(Ending::Png) => {
            use super::picture::Pixels;
            let extents = planar(path, &labels.grid)?;
            let pixels = match narrow(labels.data.iter().map(|&label| f32::from(label)), 255.0) {
                Some(bytes) => Pixels::grey(bytes),
                None => Pixels::wide(labels.data.iter().copied()),
            };
            super::png::write(path, extents, &pixels)
        }
        _ => Err(no_writer(path, &format!("labels up to {largest}"))),
    }
}

/// Writes an image: `.nii`, `.nii.gz` or, for a single slice of whole numbers from 0 to 255 in 1, 3
/// or 4 channels, `.png`.
///
/// NIfTI files hold 16-bit integers where nothing is lost by that, else `f32`; channels become the
/// fourth axis. Nothing is ever rescaled.
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the values.
pub fn write_image(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    let path = path.as_ref();
    match ending(path) {
        #[cfg(feature = "nifti")]
        Some(Ending::Nifti) => {
            use super::nifti::{Stored, write};
            let shape = channels_last_or_none(image.data.shape());
            let view = image.data.view().into_dyn();
            let stored = match short(&image.data) {
                Some(values) => Stored::I16(shaped(values, shape)),
                None if shape.len() == 3 => Stored::F32(view.index_axis_move(ndarray::Axis(0), 0)),
                None => Stored::F32(view),
            };
            write(path, &image.grid, &stored)
        }
        #[cfg(feature = "png")]
        Some(Ending::Png) => {
            use super::picture::Pixels;
            let extents = planar(path, &image.grid)?;
            let beside = image.data.view().permuted_axes([1, 2, 3, 0]);
            let pixels = narrow(beside.iter().copied(), 255.0)
                .and_then(|bytes| Pixels::narrow(bytes, image.channels()));
            let Some(pixels) = pixels else {
                return Err(refuse(
                    path,
                    "PNG holds whole numbers from 0 to 255 in 1, 3 or 4 channels".to_owned(),
                ));
            };
            super::png::write(path, extents, &pixels)
        }
        _ => Err(no_writer(path, "an image")),
    }
}

/// Writes class probabilities as `.nii` or `.nii.gz`: `f32`, the classes along the fourth axis.
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the values.
pub fn write_soft_labels(path: impl AsRef<Path>, labels: &SoftLabelMap) -> Result<()> {
    let path = path.as_ref();
    match ending(path) {
        #[cfg(feature = "nifti")]
        Some(Ending::Nifti) => {
            use super::nifti::{Stored, write};
            write(path, &labels.grid, &Stored::F32(labels.data.view().into_dyn()))
        }
        #[cfg(feature = "png")]
        Some(Ending::Png) => Err(refuse(path, "PNG cannot hold class probabilities".to_owned())),
        _ => Err(no_writer(path, "class probabilities")),
    }
}

/// A format that is written, where this build has it.
enum Ending {
    #[cfg(feature = "nifti")]
    Nifti,
    #[cfg(feature = "png")]
    Png,
}

fn ending(path: &Path) -> Option<Ending> {
    #[cfg(feature = "nifti")]
    if super::nifti::has_name(path) {
        return Some(Ending::Nifti);
    }
    #[cfg(feature = "png")]
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Some(Ending::Png);
    }
    let _ = path;
    None
}

fn no_writer(path: &Path, what: &str) -> Error {
    refuse(path, format!("{what} cannot be written under a name like this"))
}

fn refuse(path: &Path, cause: String) -> Error {
    Error::Unsupported {
        action: Action::Write,
        path: path.to_owned(),
        cause,
        remedy: "name it .nii.gz".to_owned(),
    }
}

/// Width and height of a single slice.
#[cfg(feature = "png")]
fn planar(path: &Path, grid: &Grid) -> Result<[usize; 2]> {
    match grid.size {
        [1, height, width] => Ok([width, height]),
        [slices, ..] => Err(refuse(path, format!("PNG holds one slice, not {slices}"))),
    }
}

/// The values in 8 bits, where all of them are whole numbers from 0 to `most`.
#[cfg(any(feature = "nifti", feature = "png"))]
fn narrow(values: impl Iterator<Item = f32>, most: f32) -> Option<Vec<u8>> {
    let byte = |value: f32| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and in range"
        )]
        ((0.0..=most).contains(&value) && value.fract() == 0.0).then_some(value as u8)
    };
    values.map(byte).collect()
}

/// The values in 16 bits, where that loses nothing; `-0.0` would lose its sign, so it stays.
#[cfg(feature = "nifti")]
fn short(values: &ndarray::Array4<f32>) -> Option<Vec<i16>> {
    let short = |&value: &f32| {
        #[expect(clippy::cast_possible_truncation, reason = "checked to lose nothing")]
        let short = value as i16;
        (f32::from(short).to_bits() == value.to_bits()).then_some(short)
    };
    values.iter().map(short).collect()
}

/// A single channel needs no fourth axis.
#[cfg(feature = "nifti")]
fn channels_last_or_none(shape: &[usize]) -> &[usize] {
    if shape[0] == 1 { &shape[1..] } else { shape }
}

#[cfg(feature = "nifti")]
fn shaped<T>(values: Vec<T>, shape: &[usize]) -> ndarray::ArrayD<T> {
    ndarray::ArrayD::from_shape_vec(shape, values).expect("as many values as voxels")
}
