use std::path::Path;

use flate2::Compression;
use ndarray::{ArrayD, ArrayViewD, Axis};
use nifti::writer::WriterOptions;
use nifti::{NiftiError, NiftiHeader};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use super::affine;
use crate::error::Action;
use crate::format::replace::replace;
use crate::format::write::narrow;
use crate::{Error, Result};

/// Writes labels in 8 bits where the largest is below 255, else in 16.
pub(crate) fn write_labels(path: &Path, labels: &LabelMap) -> Result<()> {
    let stored = match narrow(labels.data.iter().map(|&label| f32::from(label)), 254.0) {
        Some(bytes) => Stored::U8(shaped(bytes, labels.data.shape())),
        None => Stored::U16(labels.data.view().into_dyn()),
    };
    write(path, &labels.grid, &stored)
}

/// Writes an image in 16 bits where that loses nothing, else as `f32`.
pub(crate) fn write_image(path: &Path, image: &Image) -> Result<()> {
    let shape = image.data.shape();
    // A single channel needs no fourth axis.
    let shape = if shape[0] == 1 { &shape[1..] } else { shape };
    let values: Option<Vec<i16>> = image.data.iter().map(|&value| short(value)).collect();
    let stored = match values {
        Some(values) => Stored::I16(shaped(values, shape)),
        None if shape.len() == 3 => Stored::F32(image.data.index_axis(Axis(0), 0).into_dyn()),
        None => Stored::F32(image.data.view().into_dyn()),
    };
    write(path, &image.grid, &stored)
}

/// Writes class probabilities as `f32`.
pub(crate) fn write_soft_labels(path: &Path, labels: &SoftLabelMap) -> Result<()> {
    write(path, &labels.grid, &Stored::F32(labels.data.view().into_dyn()))
}

/// The value in 16 bits, where that loses nothing; `-0.0` would lose its sign, so it stays.
fn short(value: f32) -> Option<i16> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to lose nothing")]
    let short = value as i16;
    (f32::from(short).to_bits() == value.to_bits()).then_some(short)
}

fn shaped<T>(values: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(shape, values).expect("as many values as voxels")
}

/// Values to be written, `(C, D, H, W)` or `(D, H, W)`.
enum Stored<'a> {
    U8(ArrayD<u8>),
    I16(ArrayD<i16>),
    U16(ArrayViewD<'a, u16>),
    F32(ArrayViewD<'a, f32>),
}

/// Level of compression: on label maps and noisy images alike, higher ones take several times as
/// long for a few percent.
const LEVEL: u32 = 4;

/// The header of a single file, in bytes, and the four that say that no extension follows.
const VOXELS_START: u64 = 352;

/// Writes a NIfTI-1 file, compressed where its name ends in `.gz`: the same bytes for the same
/// values, since gzip's header holds neither a name nor a time.
fn write(path: &Path, grid: &Grid, values: &Stored<'_>) -> Result<()> {
    let refuse = |cause: String, remedy: &str| Error::Unsupported {
        action: Action::Write,
        path: path.to_owned(),
        cause,
        remedy: remedy.to_owned(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let ending = [".nii.gz", ".nii"].into_iter().find(|&ending| name.ends_with(ending));
    let Some(ending) = ending else {
        return Err(refuse("pairs of .hdr and .img are read only".to_owned(), "name it .nii.gz"));
    };
    if grid.size.iter().any(|&extent| extent > 32767) {
        return Err(refuse(
            format!("NIfTI-1 has no room for axes of {:?} voxels", grid.size),
            "write it in parts",
        ));
    }
    let header = header(grid);
    replace(path, ending, |temporary| {
        let options = WriterOptions::new(temporary)
            .reference_header(&header)
            .compression_level(Compression::new(LEVEL))
            .compress(ending == ".nii.gz");
        // The package transposes: what it sees has x first, as the file does.
        let (outcome, bytes) = match values {
            Stored::U8(values) => (options.write_nifti(&values.t()), values.len()),
            Stored::I16(values) => (options.write_nifti(&values.t()), 2 * values.len()),
            Stored::U16(values) => (options.write_nifti(&values.t()), 2 * values.len()),
            Stored::F32(values) => (options.write_nifti(&values.t()), 4 * values.len()),
        };
        outcome.map_err(|error| match error {
            NiftiError::Io(cause) => Error::writing(path)(cause),
            other => refuse(other.to_string(), "write it as another format"),
        })?;
        // The package drops its buffer without asking whether all of it could be written.
        if ending == ".nii" {
            let length = temporary.metadata().map_err(Error::writing(path))?.len();
            if length != VOXELS_START + bytes as u64 {
                return Err(Error::writing(path)(std::io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    })
}

#[expect(clippy::cast_possible_truncation, reason = "NIfTI-1 states geometry in f32")]
fn header(grid: &Grid) -> NiftiHeader {
    let row = |row: usize| {
        let along = |axis: usize| (grid.direction[row][axis] * grid.spacing[axis]) as f32;
        [along(2), along(1), along(0), grid.origin[row] as f32]
    };
    let [z, y, x] = grid.spacing.map(|mm| mm as f32);
    let [px, py, pz] = grid.origin.map(|mm| mm as f32);
    let quaternion = affine::quaternion(grid);
    let ([b, c, d], hand) = quaternion.unwrap_or(([0.0; 3], 1.0));
    NiftiHeader {
        pixdim: [hand as f32, x, y, z, 1.0, 1.0, 1.0, 1.0],
        // Both forms, so that programs which prefer either see the same; a qform cannot shear.
        sform_code: 1,
        qform_code: i16::from(quaternion.is_some()),
        quatern_b: b as f32,
        quatern_c: c as f32,
        quatern_d: d as f32,
        quatern_x: px,
        quatern_y: py,
        quatern_z: pz,
        srow_x: row(0),
        srow_y: row(1),
        srow_z: row(2),
        xyzt_units: 2, // mm
        ..NiftiHeader::default()
    }
}
