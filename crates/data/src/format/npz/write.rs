//! Probabilities as nnU-Net saves them with `--save_probabilities`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use half::f16;
use volume::Image;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::format::replace::replace;
use crate::{Error, Result};

/// What numpy's headers are padded to, bytes.
const ALIGNED: usize = 64;

/// Writes probabilities as `.npz`: an array `probabilities` `(C, D, H, W)` in half precision, compressed, as nnU-Net saves them, but
/// without the pickle that it keeps beside. Where its voxels lie, it does not say.
///
/// The file is there whole or not at all, and the same for the same values, byte for byte.
///
/// # Errors
///
/// [`Error::Io`], where the file cannot be written.
pub fn write_npz(path: impl AsRef<Path>, probabilities: &Image) -> Result<()> {
    let path = path.as_ref();
    replace(path, ".npz", |temporary| {
        let failed = |error: std::io::Error| Error::writing(path)(error);
        let file = File::create(temporary).map_err(failed)?;
        let mut archive = ZipWriter::new(BufWriter::new(file));
        // Four bytes count only so far.
        let large = probabilities.data.len() as u64 > u64::from(u32::MAX) / 2 - 1024;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .last_modified_time(DateTime::default())
            .large_file(large);
        let packed = |error: zip::result::ZipError| failed(error.into());
        archive.start_file("probabilities.npy", options).map_err(packed)?;
        archive.write_all(&header(probabilities.data.shape())).map_err(failed)?;
        for channel in probabilities.data.outer_iter() {
            for slice in channel.outer_iter() {
                let bytes: Vec<u8> =
                    slice.iter().flat_map(|&p| f16::from_f32(p).to_le_bytes()).collect();
                archive.write_all(&bytes).map_err(failed)?;
            }
        }
        let mut file = archive.finish().map_err(packed)?;
        file.flush().map_err(failed)
    })
}

/// The header of numpy's format, version 1.
fn header(shape: &[usize]) -> Vec<u8> {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let extents = extents.join(", ");
    let mut text = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({extents}), }}");
    let start = 10;
    // One for the end of the line.
    let padded = (start + text.len() + 1).next_multiple_of(ALIGNED);
    text.push_str(&" ".repeat(padded - start - text.len() - 1));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("a line of numbers");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.into_bytes());
    bytes
}
