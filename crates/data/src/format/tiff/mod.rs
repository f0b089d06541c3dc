//! TIFF: integers of 1 to 64 bits and floats of 16 to 64, grey, colour, palettes; pages are slices.
//!
//! Not read here: sub-images, channels that `ImageJ` spreads over pages, voxel sizes.

mod write;

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

pub(crate) use self::write::{write_image, write_labels, write_soft_labels};

use super::decoded::{Decoded, Meta, Trouble, Voxel, planar};

/// Bytes that one byte of a strip can stand for: deflate is the densest compression in use.
const RATIO: usize = 1032;

/// Room for what is not pixels, bytes.
const ROOM: usize = 1 << 20;

/// A tag's bit that marks a page as a smaller copy of another.
const REDUCED: u32 = 1;

type Pages<'a> = Decoder<Cursor<&'a [u8]>>;

pub(crate) fn meta(bytes: &[u8]) -> Result<Meta, Trouble> {
    let mut pages = open(bytes)?;
    let first = Page::of(&mut pages)?;
    let mut count = 1;
    while pages.more_images() {
        pages.next_image().map_err(trouble)?;
        count += usize::from(!is_reduced(&mut pages)?);
    }
    Meta::picture([count, first.height, first.width], first.samples(), first.voxel_type())
}

pub(crate) fn decode<V: Voxel>(bytes: &[u8]) -> Result<Decoded<V>, Trouble> {
    let mut pages = open(bytes)?;
    let first = Page::of(&mut pages)?;
    // Pages may point at the same bytes, so the bound holds for all of them together.
    let mut left = bytes.len().saturating_mul(RATIO).saturating_add(ROOM);
    let (mut slices, mut channels) = (Vec::new(), 0);
    loop {
        let page = Page::of(&mut pages)?;
        if slices.is_empty() || !is_reduced(&mut pages)? {
            if page != first {
                return Err(Trouble::unsupported(
                    format!("page {} differs from the first in size or type", slices.len() + 1),
                    "save slices of one size, or one page only",
                ));
            }
            let (slice, found) = page.decode::<V>(&mut pages, &mut left)?;
            channels = found;
            slices.push(slice);
        }
        if !pages.more_images() {
            break;
        }
        pages.next_image().map_err(trouble)?;
    }
    let size = [slices.len(), first.height, first.width];
    let meta = Meta::picture(size, channels, first.voxel_type())?;
    let plane = first.height * first.width;
    let mut data = Vec::with_capacity(slices.len() * channels * plane);
    for channel in 0..channels {
        for slice in &slices {
            data.extend_from_slice(&slice[channel * plane..][..plane]);
        }
    }
    Ok(Decoded { meta, data })
}

fn open(bytes: &[u8]) -> Result<Pages<'_>, Trouble> {
    let mut limits = Limits::default();
    let most = bytes.len().saturating_mul(RATIO).saturating_add(ROOM);
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    limits.ifd_value_size = bytes.len().saturating_add(ROOM);
    Ok(Decoder::new(Cursor::new(bytes)).map_err(trouble)?.with_limits(limits))
}

fn is_reduced(pages: &mut Pages<'_>) -> Result<bool, Trouble> {
    let kind: Option<u32> = pages.find_tag_unsigned(Tag::NewSubfileType).map_err(trouble)?;
    Ok(kind.is_some_and(|kind| kind & REDUCED != 0))
}

/// What must be the same for all slices.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Page {
    width: usize,
    height: usize,
    colour: ColorType,
    float: bool,
}

impl Page {
    fn of(pages: &mut Pages<'_>) -> Result<Self, Trouble> {
        let (width, height) = pages.dimensions().map_err(trouble)?;
        let colour = pages.colortype().map_err(trouble)?;
        let format: Option<Vec<u16>> =
            pages.find_tag_unsigned_vec(Tag::SampleFormat).map_err(trouble)?;
        let float = format.is_some_and(|format| format.first() == Some(&3));
        let page = Self { width: width as usize, height: height as usize, colour, float };
        // Checks that there are pixels at all.
        Meta::picture([1, page.height, page.width], 1, "")?;
        Ok(page)
    }

    fn samples(&self) -> usize {
        usize::from(self.colour.num_samples())
    }

    fn voxel_type(&self) -> String {
        format!("{}{}", if self.float { "float" } else { "int" }, self.colour.bit_depth())
    }

    /// The pixels, channels one after the other, and how many channels there are.
    fn decode<V: Voxel>(
        self,
        pages: &mut Pages<'_>,
        left: &mut usize,
    ) -> Result<(Vec<V>, usize), Trouble> {
        let layout = pages.image_buffer_layout().map_err(trouble)?;
        let too_large = || {
            Trouble::Damaged(format!(
                "its header announces {} × {} pixels, more than a file of its length can hold",
                self.width, self.height
            ))
        };
        *left = left.checked_sub(layout.complete_len).ok_or_else(too_large)?;
        let mut buffer = DecodingResult::U8(Vec::new());
        pages.read_image_to_buffer(&mut buffer).map_err(trouble)?;
        let mut values = widen(buffer);
        let bits = usize::from(self.colour.bit_depth());
        if bits < 8 {
            values = self.unpack(&values, bits)?;
        }
        let samples = self.samples();
        if let (ColorType::Palette(_), false) = (self.colour, V::LABEL) {
            let values = colours(pages, &values)?;
            let meta = Meta::picture([1, self.height, self.width], 3, "")?;
            return Ok((planar(&meta, values.into_iter())?, 3));
        }
        let meta = Meta::picture([1, self.height, self.width], samples, "")?;
        if layout.planes <= 1 {
            return Ok((planar(&meta, values.into_iter())?, samples));
        }
        // Stored plane by plane, as wanted.
        let flat = Meta::picture([1, samples * self.height, self.width], 1, "")?;
        Ok((planar(&flat, values.into_iter())?, samples))
    }

    /// Several pixels share a byte; each row starts a new one.
    fn unpack(&self, bytes: &[f64], bits: usize) -> Result<Vec<f64>, Trouble> {
        if !matches!(bits, 1 | 2 | 4) {
            return Err(Trouble::unsupported(
                format!("pixels of {bits} bits are not read"),
                "save it with 8 or 16 bits",
            ));
        }
        let (per_byte, width) = (8 / bits, self.width * self.samples());
        let row = width.div_ceil(per_byte);
        let mask = f64::from((1_u32 << bits) - 1);
        let mut values = Vec::with_capacity(width * self.height);
        for bytes in bytes.chunks(row) {
            let pixels = (0..width).map_while(|index| {
                let shift = 8 - bits * (index % per_byte + 1);
                let shifted = (bytes.get(index / per_byte)? / f64::from(1_u32 << shift)).floor();
                Some(shifted % (mask + 1.0))
            });
            values.extend(pixels);
        }
        Ok(values)
    }
}

fn widen(buffer: DecodingResult) -> Vec<f64> {
    fn each<T: Copy>(values: &[T], widen: impl Fn(T) -> f64) -> Vec<f64> {
        values.iter().map(|&value| widen(value)).collect()
    }
    match buffer {
        DecodingResult::U8(values) => each(&values, f64::from),
        DecodingResult::U16(values) => each(&values, f64::from),
        DecodingResult::U32(values) => each(&values, f64::from),
        DecodingResult::U64(values) => each(&values, |value| value as f64),
        DecodingResult::I8(values) => each(&values, f64::from),
        DecodingResult::I16(values) => each(&values, f64::from),
        DecodingResult::I32(values) => each(&values, f64::from),
        DecodingResult::I64(values) => each(&values, |value| value as f64),
        DecodingResult::F16(values) => each(&values, f64::from),
        DecodingResult::F32(values) => each(&values, f64::from),
        DecodingResult::F64(values) => values,
    }
}

/// Looks indices up in the page's palette, whose entries have 16 bits: 8 of them are kept.
fn colours(pages: &mut Pages<'_>, indices: &[f64]) -> Result<Vec<f64>, Trouble> {
    let table = pages.get_tag_u16_vec(Tag::ColorMap).map_err(trouble)?;
    let entries = table.len() / 3;
    let mut values = Vec::with_capacity(3 * indices.len());
    for &index in indices {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "palette indices are small whole numbers"
        )]
        let index = index as usize;
        if index >= entries {
            return Err(Trouble::damaged(format!("its palette has no colour {index}")));
        }
        values.extend((0..3).map(|part| f64::from(table[part * entries + index] >> 8)));
    }
    Ok(values)
}

fn trouble(error: TiffError) -> Trouble {
    match error {
        TiffError::UnsupportedError(error) => {
            Trouble::unsupported(error, "save it without compression, with 8, 16 or 32 bits")
        }
        TiffError::LimitsExceeded => {
            Trouble::damaged("it announces more data than a file of its length can hold")
        }
        other => Trouble::damaged(other),
    }
}
