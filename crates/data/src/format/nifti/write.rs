use std::path::{Path, PathBuf};

use flate2::Compression;
use ndarray::{ArrayD, ArrayViewD, Axis};
use nifti::writer::WriterOptions;
use nifti::{NiftiError, NiftiHeader};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use super::affine;
use crate::error::Action;
use crate::format::replace::{replace, replace_pair};
use crate::format::stored::{LEVEL, short};
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

/// The header in bytes, with the four that say that no extension follows.
const HEADER: u64 = 352;

/// Writes a NIfTI-1 file or pair, compressed where its name ends in `.gz`: the same bytes for the
/// same values, since gzip's header holds neither a name nor a time.
fn write(path: &Path, grid: &Grid, values: &Stored<'_>) -> Result<()> {
    if grid.size.iter().any(|&extent| extent > 32767) {
        return Err(unsupported(
            path,
            format!("NIfTI-1 has no room for axes of {:?} voxels", grid.size),
            "write it in parts",
        ));
    }
    let header = header(grid);
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let single = [".nii.gz", ".nii"].into_iter().find(|&ending| name.ends_with(ending));
    if let Some(ending) = single {
        return replace(path, ending, |file| {
            values.write(path, file, &header)?;
            complete(path, file, HEADER + values.bytes())
        });
    }
    let Pair { files: [first, second], endings } = Pair::of(path)?;
    replace_pair([&first, &second], endings, |[first, second]| {
        values.write(path, first, &header)?;
        complete(path, first, HEADER)?;
        complete(path, second, values.bytes())
    })
}

impl Stored<'_> {
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Stored::U8(values) => values.len(),
            Stored::I16(values) => 2 * values.len(),
            Stored::U16(values) => 2 * values.len(),
            Stored::F32(values) => 4 * values.len(),
        };
        bytes as u64
    }

    /// Writes `file`, and beside a header the voxels; messages speak of `path`.
    fn write(&self, path: &Path, file: &Path, header: &NiftiHeader) -> Result<()> {
        let compressed = is_compressed(file);
        let options = WriterOptions::new(file)
            .reference_header(header)
            .compression_level(Compression::new(LEVEL))
            .compress(compressed);
        // The package transposes: what it sees has x first, as the file does.
        let outcome = match self {
            Stored::U8(values) => options.write_nifti(&values.t()),
            Stored::I16(values) => options.write_nifti(&values.t()),
            Stored::U16(values) => options.write_nifti(&values.t()),
            Stored::F32(values) => options.write_nifti(&values.t()),
        };
        outcome.map_err(|error| match error {
            NiftiError::Io(cause) => Error::writing(path)(cause),
            other => unsupported(path, other.to_string(), "write it as another format"),
        })
    }
}

/// That a file has all its bytes: the package drops its buffer without asking whether all of it
/// could be written. Of compressed files it does ask.
fn complete(path: &Path, file: &Path, bytes: u64) -> Result<()> {
    let length = file.metadata().map_err(Error::writing(path))?.len();
    if is_compressed(file) || length == bytes {
        return Ok(());
    }
    Err(Error::writing(path)(std::io::ErrorKind::WriteZero.into()))
}

fn is_compressed(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "gz")
}

/// A header and the voxels that it describes.
struct Pair {
    files: [PathBuf; 2],
    endings: [&'static str; 2],
}

impl Pair {
    const ENDINGS: [[&'static str; 2]; 2] = [[".hdr", ".img"], [".hdr.gz", ".img.gz"]];

    /// The pair that a file belongs to, be it the header or the voxels.
    fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let found = Self::ENDINGS.into_iter().find_map(|endings| {
            let stem = endings.into_iter().find_map(|ending| name.strip_suffix(ending));
            stem.map(|stem| (stem, endings))
        });
        let Some((stem, endings)) = found else {
            // Their names are told from each other by endings in lower case alone.
            let cause = "the names of a pair end in .hdr and .img".to_owned();
            return Err(unsupported(path, cause, "name it .nii.gz"));
        };
        let files =
            |endings: [&str; 2]| endings.map(|it| path.with_file_name(format!("{stem}{it}")));
        // Readers take whichever they find first.
        let mut others = Self::ENDINGS.into_iter().filter(|&other| other != endings);
        if let Some(other) =
            others.find_map(|other| files(other).into_iter().find(|it| it.exists()))
        {
            let cause = format!("{} would be mistaken for its part", other.display());
            return Err(unsupported(path, cause, "remove that file, or choose another name"));
        }
        Ok(Self { files: files(endings), endings })
    }
}

fn unsupported(path: &Path, cause: String, remedy: &str) -> Error {
    let (path, remedy) = (path.to_owned(), remedy.to_owned());
    Error::Unsupported { action: Action::Write, path, cause, remedy }
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
