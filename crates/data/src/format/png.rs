//! PNG: 1 to 16 bits, grey, colour, with or without opacity, palettes.

use std::io::Cursor;
use std::path::Path;

use image::ImageEncoder as _;
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};

use super::decoded::{Decoded, Meta, Trouble, Voxel, planar};
use super::picture::{self, Pixels};
use super::replace::replace_bytes;
use crate::error::Action;
use crate::{Error, Result};

/// How many bytes one byte of a deflate stream can stand for, at most.
const RATIO: u64 = 1032;

pub(crate) fn meta(bytes: &[u8]) -> Result<Meta, Trouble> {
    let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(Trouble::damaged)?;
    picture::meta(&decoder)
}

pub(crate) fn decode<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    if V::LABEL {
        return decode_labels(bytes);
    }
    let bound = picture::bound(bytes, RATIO);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), picture::limits(bound));
    picture::decode(decoder.map_err(picture::trouble)?, bound)
}

/// The numbers that a file stores, be they levels of grey or places in a palette.
fn decode_labels<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    let most = usize::try_from(picture::bound(bytes, RATIO)).unwrap_or(usize::MAX);
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: most });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(Trouble::damaged)?;

    let (colour, depth) = reader.output_color_type();
    let bits = depth as usize;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let channels = colour.samples();
    let meta = Meta::picture([1, height, width], channels, format!("uint{bits}"))?;
    let size = reader.output_buffer_size().filter(|&size| size <= most);
    let Some(size) = size else {
        return Err(picture::too_large([1, height, width]));
    };
    let mut buffer = vec![0; size];
    reader.next_frame(&mut buffer).map_err(Trouble::damaged)?;
    // Only then is it known whether the file is whole.
    reader.finish().map_err(Trouble::damaged)?;

    let data = match bits {
        8 => planar(&meta, buffer.iter().map(|&byte| f64::from(byte)))?,
        16 => {
            let (words, _) = buffer.as_chunks();
            planar(&meta, words.iter().map(|&word| f64::from(u16::from_be_bytes(word))))?
        }
        // Several pixels share a byte; each row starts a new one.
        _ => {
            let (per_byte, mask) = (8 / bits, (1 << bits) - 1);
            let rows = buffer.chunks_exact(buffer.len() / height);
            let values = rows.flat_map(|row| {
                (0..width).map(move |index| {
                    let shift = 8 - bits * (index % per_byte + 1);
                    f64::from(row[index / per_byte] >> shift & mask)
                })
            });
            planar(&meta, values)?
        }
    };
    Ok(Decoded { meta, data })
}

/// Writes pixels of one to four channels.
pub(crate) fn write(path: &Path, [width, height]: [usize; 2], pixels: &Pixels) -> Result<()> {
    let refuse = |cause: String| Error::Unsupported {
        action: Action::Write,
        path: path.to_owned(),
        cause,
        remedy: "write it as .nii.gz".to_owned(),
    };
    let extent = |pixels: usize| {
        u32::try_from(pixels).map_err(|_| refuse(format!("{pixels} pixels are too many")))
    };
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(pixels.bytes(), extent(width)?, extent(height)?, pixels.colour().into())
        .map_err(|error| refuse(error.to_string()))?;
    replace_bytes(path, &bytes)
}
