//! DICOM: a folder with the slices of one series, a single file of one slice or many, and segmentations.
//!
//! The packages of dicom-rs parse and unpack; slices are sorted, and judged, by their positions here: neither the
//! names of files nor the numbers of slices say where they lie.

mod attributes;
mod frames;
mod lengths;
mod pixels;
mod segmentation;
mod series;

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::attributes::Object;
use self::frames::Frame;
use super::decoded::{Decoded, Meta, Trouble, Voxel};

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
    if path.is_file() {
        let object = Object::open(path)?;
        if object.is_segmentation() {
            return segmentation::meta(&object);
        }
        return Ok(series::arrange(frames::of(path, &object)?)?.meta);
    }
    Ok(series::arrange(headers(path)?)?.meta)
}

pub(crate) fn decode<V: Voxel + Send + Sync>(path: &Path) -> Result<Decoded<V>, Trouble> {
    if path.is_file() {
        let object = Object::open(path)?;
        if object.is_segmentation() {
            return segmentation::decode(&object);
        }
        let series = series::arrange(frames::of(path, &object)?)?;
        let pixels = pixels::of(&object)?;
        let slices: Vec<_> = series.frames.iter().map(|frame| frame.values(&pixels)).collect();
        return stacked(series.meta, slices);
    }
    let series = series::arrange(headers(path)?)?;
    let slices = series.frames.par_iter().map(|frame| {
        let object = Object::open(&frame.path)?;
        frame.values(&pixels::of(&object)?)
    });
    stacked(series.meta, slices.collect())
}

/// What the headers of a folder say of its frames.
fn headers(folder: &Path) -> Result<Vec<Frame>, Trouble> {
    let files = files_of(folder).map_err(Trouble::Io)?;
    if files.is_empty() {
        return Err(Trouble::unsupported("it is a folder without DICOM files", "name a file"));
    }
    let frames = files.par_iter().map(|path| frames::of(path, &Object::header(path)?));
    let frames: Result<Vec<Vec<Frame>>, Trouble> = frames.collect();
    Ok(frames?.into_iter().flatten().collect())
}

/// Slices whose channels lie side by side, as one array.
fn stacked<V: Voxel>(
    meta: Meta,
    slices: Vec<Result<Vec<f64>, Trouble>>,
) -> Result<Decoded<V>, Trouble> {
    let (channels, voxels) = (meta.channels, meta.grid.len());
    let [_, h, w] = meta.grid.size;
    let zero = V::from_f64(0.0).expect("0 is a label and an intensity");
    let mut data = vec![zero; voxels * channels];
    for (slice, values) in slices.into_iter().enumerate() {
        for (at, value) in values?.into_iter().enumerate() {
            let voxel = slice * h * w + at / channels;
            data[at % channels * voxels + voxel] =
                V::from_f64(value).ok_or_else(|| Trouble::not_label(&meta, voxel, value))?;
        }
    }
    Ok(Decoded { meta, data })
}
