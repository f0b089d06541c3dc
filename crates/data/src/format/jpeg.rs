//! JPEG: 8 bits, grey or colour.
//!
//! Lossy: never a good place for labels. Masks that were saved so need the setting `threshold`.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;

use super::decoded::{Decoded, Meta, Trouble, Voxel};
use super::picture;

/// Bytes of pixels that one byte of a JPEG file can stand for: a block of 8 × 8 pixels takes at
/// least one bit, in each of three components.
const RATIO: u64 = 1024;

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
