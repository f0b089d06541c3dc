//! Stored values of the pixels of a file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::tags;
use dicom_pixeldata::PixelDecoder as _;

use super::attributes::{Attributes as _, BIG_ENDIAN, Object, chain};
use super::packed;
use crate::format::decoded::Trouble;

/// Run lengths.
const RLE: &str = "1.2.840.10008.1.2.5";
/// Segments of run lengths that there may be, and how long their table is, bytes.
const MOST_SEGMENTS: u32 = 15;
const RLE_TABLE: usize = 64;

/// JPEG with 8 and with 12 bits.
const JPEG: [&str; 2] = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];

/// Unpacked pixels.
pub(super) struct Pixels {
    bytes: Vec<u8>,
    allocated: usize,
    stored: usize,
    signed: bool,
    /// Whether colours of a frame come one after the other.
    planar: bool,
    /// Whether the more significant half of a value comes first.
    swapped: bool,
}

/// Unpacks the pixels of a file.
pub(super) fn of(object: &Object) -> Result<Pixels, Trouble> {
    let file = &object.file;
    let allocated = file.count(tags::BITS_ALLOCATED).unwrap_or(0);
    let (syntax, is_packed) = (object.syntax(), object.is_packed());
    let (bytes, planar) = if is_packed {
        expect_known_colours(object, syntax)?;
        if syntax == RLE {
            check_rle(object)?;
        }
        packed::check(object)?;
        // Unpackers are not hardened against damaged pixels, and may panic on them.
        let decoded = catch_unwind(AssertUnwindSafe(|| file.decode_pixel_data()));
        let decoded = decoded.map_err(|_| Trouble::damaged("its packed pixels make no sense"))?;
        let decoded = decoded.map_err(|error| refused(syntax, &chain(&error)))?;
        (decoded.data().to_vec(), false)
    } else {
        let element =
            file.element(tags::PIXEL_DATA).map_err(|error| Trouble::damaged(chain(&error)))?;
        let bytes =
            element.to_bytes().map_err(|error| Trouble::damaged(chain(&error)))?.into_owned();
        (bytes, file.count(tags::PLANAR_CONFIGURATION) == Some(1))
    };
    let colours = file.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    if (!is_packed || syntax == RLE) && colours.starts_with("YBR") {
        let cause = format!("its colours are {colours}, and are not turned into RGB");
        return Err(Trouble::unsupported(cause, "save it as RGB"));
    }
    if ![1, 8, 16, 32].contains(&allocated) {
        return Err(Trouble::unsupported(
            format!("pixels of {allocated} bits are not read"),
            "save it with 8 or 16 bits",
        ));
    }
    let stored = file.count(tags::BITS_STORED).filter(|bits| (1..=allocated).contains(bits));
    Ok(Pixels {
        bytes,
        allocated,
        stored: stored.unwrap_or(allocated),
        signed: file.count(tags::PIXEL_REPRESENTATION) == Some(1),
        planar,
        // The parser has turned words of 16 bits into the order of this machine, but not their pairs.
        swapped: syntax == BIG_ENDIAN && allocated == 32,
    })
}

/// That it is clear whether a JPEG file holds RGB or luminance and chrominance: the decoder goes by marks in the file,
/// which are not always there, and not by what DICOM says.
fn expect_known_colours(object: &Object, syntax: &str) -> Result<(), Trouble> {
    let file = &object.file;
    let colours = file.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    if !JPEG.contains(&syntax) || colours != "RGB" {
        return Ok(());
    }
    let fragments = file.element(tags::PIXEL_DATA).ok().and_then(|pixels| pixels.fragments());
    let first: &[u8] = fragments.and_then(|fragments| fragments.first()).map_or(&[], |it| &it[..]);
    let marked = first.windows(5).any(|bytes| bytes == b"Adobe");
    // A start of frame names its components: three bytes for each, after ten.
    let frame = first.windows(2).position(|pair| matches!(pair, [0xff, 0xc0..=0xc3]));
    let named = frame.and_then(|at| first.get(at + 10..at + 19));
    let named = named.is_some_and(|it| [it[0], it[3], it[6]] == *b"RGB");
    if marked || named {
        return Ok(());
    }
    Err(Trouble::unsupported(
        "its JPEG stream does not say whether its colours were transformed, which DICOM denies",
        "unpack it, for instance with dcmdjpeg",
    ))
}

/// That the tables of run lengths are such as the unpacker takes for granted.
fn check_rle(object: &Object) -> Result<(), Trouble> {
    let pixels = object.file.element(tags::PIXEL_DATA).ok();
    let fragments = pixels.and_then(|pixels| pixels.fragments()).unwrap_or_default();
    for fragment in fragments {
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(fragment.get(4 * at..4 * at + 4)?.try_into().ok()?))
        };
        let count = number(0).filter(|count| (1..=MOST_SEGMENTS).contains(count));
        let sound = fragment.len() >= RLE_TABLE
            && count.is_some_and(|count| {
                let starts: Vec<u32> = (1..=count as usize).filter_map(number).collect();
                starts.windows(2).all(|pair| pair[0] < pair[1])
                    && starts
                        .iter()
                        .all(|&start| (RLE_TABLE..fragment.len()).contains(&(start as usize)))
            });
        if !sound {
            return Err(Trouble::damaged("the table of its run lengths makes no sense"));
        }
    }
    Ok(())
}

fn refused(syntax: &str, cause: &str) -> Trouble {
    if cause.contains("Unsupported") || cause.contains("unsupported") {
        return Trouble::unsupported(
            format!("its pixels are packed in a way that is not read (transfer syntax {syntax})"),
            "unpack it, for instance with dcmdjpeg, dcmdjpls or gdcmconv --raw",
        );
    }
    Trouble::damaged(format!("its pixels cannot be unpacked ({cause})"))
}

impl Pixels {
    /// The values of a frame of that many rows, columns and samples, samples side by side.
    pub(super) fn frame(
        &self,
        number: usize,
        (rows, columns, samples): (usize, usize, usize),
    ) -> Result<impl Iterator<Item = f64> + '_, Trouble> {
        let pixels = rows * columns;
        let count = pixels * samples;
        let start = number.saturating_mul(count);
        let end = start.saturating_add(count);
        if end.saturating_mul(self.allocated).div_ceil(8) > self.bytes.len() {
            return Err(Trouble::damaged(format!(
                "its pixels end after {} bytes, within frame {}",
                self.bytes.len(),
                number + 1
            )));
        }
        let place = move |at: usize| {
            if self.planar { at % samples * pixels + at / samples } else { at }
        };
        Ok((0..count).map(move |at| self.value(start + place(at))))
    }

    /// The value at an index, counted in values.
    fn value(&self, index: usize) -> f64 {
        if self.allocated == 1 {
            return f64::from(self.bytes[index / 8] >> (index % 8) & 1);
        }
        let size = self.allocated / 8;
        let bytes = &self.bytes[index * size..(index + 1) * size];
        let combined = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        let value = bytes.iter().rev().fold(0, combined);
        let value = if self.swapped { value.rotate_left(16) } else { value };
        let unused = 32 - self.stored;
        if self.signed {
            // Shifted up and back down, the highest bit that is stored becomes the sign.
            f64::from((value << unused).cast_signed() >> unused)
        } else {
            f64::from(value << unused >> unused)
        }
    }
}
