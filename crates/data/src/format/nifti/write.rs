use std::path::Path;

use flate2::Compression;
use ndarray::{ArrayD, ArrayViewD};
use nifti::writer::WriterOptions;
use nifti::{NiftiError, NiftiHeader};
use volume::Grid;

use super::affine;
use crate::error::Action;
use crate::format::replace::replace;
use crate::{Error, Result};

/// Values to be written, `(C, D, H, W)` or `(D, H, W)`.
pub(crate) enum Stored<'a> {
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
pub(crate) fn write(path: &Path, grid: &Grid, values: &Stored<'_>) -> Result<()> {
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
