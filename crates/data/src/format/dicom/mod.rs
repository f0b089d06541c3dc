//! DICOM: a folder with the slices of one series, a single file of one slice or many, and segmentations.
//!
//! The packages of dicom-rs parse and unpack; slices are sorted, and judged, by their positions here: neither the
//! names of files nor the numbers of slices say where they lie.

mod attributes;
mod frames;
mod lengths;
mod packed;
mod pixels;
mod segmentation;
mod series;
mod tokens;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::attributes::Object;
use self::frames::Frame;
use super::decoded::{Decoded, Meta, Trouble, Voxel};

pub use self::write::{SegmentationOf, write_fractional_segmentation, write_segmentation};

/// What follows the 128 bytes that each file starts with.
const MAGIC: &[u8] = b"DICM";

/// Whether a file says that it is DICOM.
pub(crate) fn has_content(path: &Path) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};

    let read = || -> std::io::Result<[u8; 4]> {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(128))?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        Ok(magic)
    };
    read().is_ok_and(|magic| magic == MAGIC)
}

/// The DICOM files of a folder, in the order of their names; those in folders below it are not among them.
pub(crate) fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_index = path.file_name().is_some_and(|name| name == "DICOMDIR");
        if path.is_file() && !is_index && has_content(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a folder holds slices.
pub(crate) fn is_series(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    // The first files tell: a folder of something else may be large.
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    files.take(8).any(|path| has_content(&path))
}

pub(crate) fn meta(path: &Path) -> Result<Meta, Trouble> {
    match one_file(path)? {
        Some(path) => {
            let object = Object::open(&path)?;
            if object.is_segmentation() {
                return segmentation::meta(&object);
            }
            Ok(series::arrange(frames::of(&path, &object)?)?.meta)
        }
        None => Ok(series::arrange(headers(path)?)?.meta),
    }
}

pub(crate) fn decode<V: Voxel + Send + Sync>(path: &Path) -> Result<Decoded<V>, Trouble> {
    if let Some(path) = one_file(path)? {
        let object = Object::open(&path)?;
        if object.is_segmentation() {
            return segmentation::decode(&object);
        }
        let series = series::arrange(frames::of(&path, &object)?)?;
        let pixels = pixels::of(&object)?;
        let slices = series.frames.iter().map(|frame| frame.values(&pixels));
        return stacked(series.meta, slices.collect::<Result<_, _>>()?);
    }
    let series = series::arrange(headers(path)?)?;
    // Each file is opened once, however many of the slices it holds.
    let mut of_file: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (slice, frame) in series.frames.iter().enumerate() {
        of_file.entry(&frame.path).or_default().push(slice);
    }
    let of_file: Vec<(&Path, Vec<usize>)> = of_file.into_iter().collect();
    let read = of_file.par_iter().map(|(path, slices)| {
        let read = || {
            let pixels = pixels::of(&Object::open(path)?)?;
            let values = |&slice: &usize| Ok((slice, series.frames[slice].values(&pixels)?));
            slices.iter().map(values).collect::<Result<Vec<_>, Trouble>>()
        };
        read().map_err(|trouble| within(path, trouble))
    });
    let read: Vec<Vec<(usize, Vec<f64>)>> = read.collect::<Result<_, _>>()?;
    let mut slices: Vec<Vec<f64>> = vec![Vec::new(); series.frames.len()];
    for (slice, values) in read.into_iter().flatten() {
        slices[slice] = values;
    }
    stacked(series.meta, slices)
}

/// The file that a path names, be it by the folder in which it is alone; `None` where there are several.
fn one_file(path: &Path) -> Result<Option<PathBuf>, Trouble> {
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    let files = files_of(path).map_err(Trouble::Io)?;
    match files.as_slice() {
        [] => Err(Trouble::unsupported("it is a folder without DICOM files", "name a file")),
        [one] => Ok(Some(one.clone())),
        _ => Ok(None),
    }
}

/// What the headers of a folder say of its frames.
fn headers(folder: &Path) -> Result<Vec<Frame>, Trouble> {
    let files = files_of(folder).map_err(Trouble::Io)?;
    let frames = files.par_iter().map(|path| {
        let read = || {
            let object = Object::header(path)?;
            if object.is_segmentation() {
                return Err(Trouble::unsupported(
                    "it is a segmentation among slices",
                    "put it into a folder of its own",
                ));
            }
            frames::of(path, &object)
        };
        read().map_err(|trouble| within(path, trouble))
    });
    let frames: Result<Vec<Vec<Frame>>, Trouble> = frames.collect();
    Ok(frames?.into_iter().flatten().collect())
}

/// The trouble with one of several files, by its name.
fn within(path: &Path, trouble: Trouble) -> Trouble {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match trouble {
        Trouble::Damaged(cause) => Trouble::Damaged(format!("{name}: {cause}")),
        Trouble::Unsupported { cause, remedy } => {
            Trouble::Unsupported { cause: format!("{name}: {cause}"), remedy }
        }
        other => other,
    }
}

/// Slices whose channels lie side by side, as one array.
fn stacked<V: Voxel>(meta: Meta, slices: Vec<Vec<f64>>) -> Result<Decoded<V>, Trouble> {
    let (channels, voxels) = (meta.channels, meta.grid.len());
    let [_, h, w] = meta.grid.size;
    let zero = V::from_f64(0.0).expect("0 is a label and an intensity");
    let mut data = vec![zero; voxels * channels];
    for (slice, values) in slices.into_iter().enumerate() {
        for (at, value) in values.into_iter().enumerate() {
            let voxel = slice * h * w + at / channels;
            data[at % channels * voxels + voxel] =
                V::from_f64(value).ok_or_else(|| Trouble::not_label(&meta, voxel, value))?;
        }
    }
    Ok(Decoded { meta, data })
}
