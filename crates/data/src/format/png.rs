//! PNG: 1 to 16 bits, grey, colour, with or without opacity, palettes.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ColorType, ImageEncoder as _};
use volume::{Grid, Image, LabelMap};

use super::decoded::{Decoded, Meta, Trouble, Voxel, planar};
use super::picture;
use super::replace::replace_bytes;
use super::write::{narrow, refuse};
use crate::Result;

/// How many bytes one byte of a deflate stream can stand for, at most.
const RATIO: u64 = 1032;

/// The last chunk: its name and its checksum.
const END: &[u8] = b"IEND\xae\x42\x60\x82";

pub(crate) fn meta(bytes: &[u8]) -> Result<Meta, Trouble> {
    let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(Trouble::damaged)?;
    picture::meta(&decoder)
}

pub(crate) fn decode<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    // Decoders stop at the last pixel; only the end marker shows that nothing was lost.
    if !bytes.windows(END.len()).rev().any(|window| window == END) {
        return Err(Trouble::damaged("it has no end marker: the file is cut short"));
    }
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

/// Writes a single slice of labels, in 8 bits where they fit, else in 16.
pub(crate) fn write_labels(path: &Path, labels: &LabelMap) -> Result<()> {
    let pixels = match narrow(labels.data.iter().map(|&label| f32::from(label)), 255.0) {
        Some(bytes) => Pixels::grey(bytes),
        None => Pixels::wide(labels.data.iter().copied()),
    };
    write(path, &labels.grid, &pixels)
}

/// Writes a single slice of an image that holds whole numbers from 0 to 255.
pub(crate) fn write_image(path: &Path, image: &Image) -> Result<()> {
    let beside = image.data.view().permuted_axes([1, 2, 3, 0]);
    let pixels = narrow(beside.iter().copied(), 255.0)
        .and_then(|bytes| Pixels::narrow(bytes, image.channels()));
    let rule = "PNG holds whole numbers from 0 to 255 in 1, 3 or 4 channels";
    write(path, &image.grid, &pixels.ok_or_else(|| refuse(path, rule.to_owned()))?)
}

fn write(path: &Path, grid: &Grid, pixels: &Pixels) -> Result<()> {
    let [slices, height, width] = grid.size;
    if slices > 1 {
        return Err(refuse(path, format!("PNG holds one slice, not {slices}")));
    }
    let extent = |pixels: usize| {
        u32::try_from(pixels).map_err(|_| refuse(path, format!("{pixels} pixels are too many")))
    };
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(&pixels.bytes, extent(width)?, extent(height)?, pixels.colour.into())
        .map_err(|error| refuse(path, error.to_string()))?;
    replace_bytes(path, &bytes)
}

/// Pixels to be written, channels side by side.
struct Pixels {
    bytes: Vec<u8>,
    colour: ColorType,
}

impl Pixels {
    /// Eight bits a channel: 1 (grey), 3 (colour) or 4 (with opacity) channels.
    fn narrow(bytes: Vec<u8>, channels: usize) -> Option<Self> {
        let colour = match channels {
            1 => return Some(Self::grey(bytes)),
            3 => ColorType::Rgb8,
            4 => ColorType::Rgba8,
            _ => return None,
        };
        Some(Self { bytes, colour })
    }

    /// Eight bits of grey.
    fn grey(bytes: Vec<u8>) -> Self {
        Self { bytes, colour: ColorType::L8 }
    }

    /// Sixteen bits of grey.
    fn wide(words: impl Iterator<Item = u16>) -> Self {
        let bytes = words.flat_map(u16::to_ne_bytes).collect();
        Self { bytes, colour: ColorType::L16 }
    }
}
