//! What PNG and JPEG have in common: the package `image` decodes both.

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, Limits};

use super::decoded::{Decoded, Meta, Trouble, Voxel, planar};

/// Room for what a decoder needs beside the pixels, bytes.
const ROOM: u64 = 1 << 20;

/// The bytes of pixels, packed as tightly as the file packs them, that a file's length justifies.
pub(super) fn bound(bytes: &[u8], ratio: u64) -> u64 {
    (bytes.len() as u64).saturating_mul(ratio).saturating_add(ROOM)
}

pub(super) fn limits(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

pub(super) fn meta(decoder: &impl ImageDecoder) -> Result<Meta, Trouble> {
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let channels = usize::from(colour.channel_count());
    let bits = 8 * usize::from(colour.bytes_per_pixel()) / channels;
    Meta::picture([1, height as usize, width as usize], channels, format!("uint{bits}"))
}

pub(super) fn decode<V: Voxel>(
    mut decoder: impl ImageDecoder,
    bound: u64,
) -> Result<Decoded<V>, Trouble> {
    let meta = meta(&decoder)?;
    let bits = u64::from(decoder.original_color_type().bits_per_pixel());
    if (meta.grid.len() as u64).saturating_mul(bits) / 8 > bound {
        return Err(too_large(meta.grid.size));
    }
    let most = decoder.total_bytes().saturating_add(bound);
    decoder.set_limits(limits(most)).map_err(trouble)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(trouble)?;
    let narrow = |bytes: &[u8]| planar(&meta, bytes.iter().map(|&value| f64::from(value)));
    let wide = |words: &[u16]| planar(&meta, words.iter().map(|&value| f64::from(value)));
    let data = match picture.color() {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => {
            narrow(picture.as_bytes())?
        }
        _ => match &picture {
            DynamicImage::ImageLuma16(pixels) => wide(pixels)?,
            DynamicImage::ImageLumaA16(pixels) => wide(pixels)?,
            DynamicImage::ImageRgb16(pixels) => wide(pixels)?,
            DynamicImage::ImageRgba16(pixels) => wide(pixels)?,
            other => {
                return Err(Trouble::unsupported(
                    format!("pixels of type {:?} are not read", other.color()),
                    "save it with 8 or 16 bits",
                ));
            }
        },
    };
    Ok(Decoded { meta, data })
}

pub(super) fn too_large([_, height, width]: [usize; 3]) -> Trouble {
    Trouble::Damaged(format!(
        "its header announces {width} × {height} pixels, more than a file of its length can hold"
    ))
}

pub(super) fn trouble(error: ImageError) -> Trouble {
    match error {
        ImageError::Limits(_) => {
            Trouble::damaged("its header announces more pixels than a file of its length can hold")
        }
        ImageError::Unsupported(error) => Trouble::unsupported(error, "save it as another kind"),
        other => Trouble::damaged(other),
    }
}
