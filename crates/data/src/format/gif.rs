//! GIF: the first picture of a file, in its colours; read only. DRIVE's masks come so.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;

use super::decoded::{Decoded, Meta, Trouble, Voxel};
use super::picture;

/// Pixels that one byte of a GIF file can stand for: a code of 9 to 12 bits repeats at most 4096 of them.
const RATIO: u64 = 4096;

/// Bytes of a decoded pixel: colours and opacity.
const PIXEL: u64 = 4;

fn decoder(bytes: &[u8]) -> Result<GifDecoder<Cursor<&[u8]>>, Trouble> {
    GifDecoder::new(Cursor::new(bytes)).map_err(picture::trouble)
}

pub(crate) fn meta(bytes: &[u8]) -> Result<Meta, Trouble> {
    picture::meta(&decoder(bytes)?)
}

pub(crate) fn decode<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    picture::decode(decoder(bytes)?, picture::bound(bytes, PIXEL * RATIO))
}
