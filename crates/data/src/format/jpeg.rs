//! JPEG: 8 bits, grey or colour; grey alone is written.
//!
//! Lossy: no place for labels. Masks that were saved so need the setting `threshold`.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use volume::Image;

use super::decoded::{Decoded, Meta, Trouble, Voxel};
use super::picture;
use super::replace::replace_bytes;
use super::write::{narrow, refuse};
use crate::Result;

/// Bytes of pixels that one byte of a JPEG file can stand for: a block of 8 × 8 pixels takes at
/// least one bit, in each of three components.
const RATIO: u64 = 1024;

/// From 1 to 100: grey values change by a few at sharp edges, and hardly elsewhere.
const QUALITY: u8 = 95;

pub(crate) fn meta(bytes: &[u8]) -> Result<Meta, Trouble> {
    picture::meta(&JpegDecoder::new(Cursor::new(bytes)).map_err(Trouble::damaged)?)
}

pub(crate) fn decode<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    if !is_whole(bytes) {
        return Err(Trouble::damaged("it has no end marker: the file is cut short"));
    }
    let decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(picture::trouble)?;
    picture::decode(decoder, picture::bound(bytes, RATIO))
}

/// Whether the last scan is followed by an end marker: decoders fill what is missing with grey.
fn is_whole(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    match (last(0xda), last(0xd9)) {
        (Some(scan), Some(end)) => scan < end,
        _ => false,
    }
}

/// Writes a single slice of one channel that holds whole numbers from 0 to 255.
pub(crate) fn write_image(path: &Path, image: &Image) -> Result<()> {
    let [slices, height, width] = image.grid.size;
    let single = slices == 1 && image.channels() == 1;
    let pixels = narrow(image.data.iter().copied(), 255.0).filter(|_| single);
    let rule = "JPEG holds one slice of whole numbers from 0 to 255 in one channel";
    let pixels = pixels.ok_or_else(|| refuse(path, rule.to_owned()))?;
    let extent = |pixels: usize| {
        let extent = u16::try_from(pixels).map(u32::from);
        extent.map_err(|_| refuse(path, format!("{pixels} pixels are too many for JPEG")))
    };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&pixels, extent(width)?, extent(height)?, ExtendedColorType::L8)
        .map_err(|error| refuse(path, error.to_string()))?;
    replace_bytes(path, &bytes)
}
