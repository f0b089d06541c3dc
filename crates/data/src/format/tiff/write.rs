use std::io::Cursor;
use std::path::Path;

use ndarray::{Array4, ArrayView4, Axis};
use tiff::TiffResult;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32Float, RGB8, RGB16};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};
use tiff::tags::ExtraSamples;
use volume::{Image, LabelMap, SoftLabelMap};

use crate::Result;
use crate::format::replace::replace_bytes;
use crate::format::write::refuse;

/// Writes labels in 8 bits where they fit, else in 16.
pub(crate) fn write_labels(path: &Path, labels: &LabelMap) -> Result<()> {
    let labels = labels.data.view().insert_axis(Axis(0));
    match all(&labels, |label| u8::try_from(label).ok()) {
        Some(bytes) => write(path, &Stored::U8(bytes)),
        None => write(path, &Stored::U16(labels.to_owned())),
    }
}

/// Writes an image in 8 or 16 bits where that loses nothing, else as `f32`.
pub(crate) fn write_image(path: &Path, image: &Image) -> Result<()> {
    let image = image.data.view();
    let stored = match (all(&image, byte), all(&image, word)) {
        (Some(bytes), _) => Stored::U8(bytes),
        (None, Some(words)) => Stored::U16(words),
        (None, None) => Stored::F32(image.to_owned()),
    };
    write(path, &stored)
}

/// Writes class probabilities as `f32`.
pub(crate) fn write_soft_labels(path: &Path, labels: &SoftLabelMap) -> Result<()> {
    write(path, &Stored::F32(labels.data.to_owned()))
}

/// Values to be written, `(C, D, H, W)`.
enum Stored {
    U8(Array4<u8>),
    U16(Array4<u16>),
    F32(Array4<f32>),
}

/// All values as another type, where each of them has a place in it.
fn all<A: Copy, B>(
    values: &ArrayView4<'_, A>,
    narrow: impl Fn(A) -> Option<B>,
) -> Option<Array4<B>> {
    let narrowed: Option<Vec<B>> = values.iter().map(|&value| narrow(value)).collect();
    narrowed.map(|narrowed| {
        Array4::from_shape_vec(values.raw_dim(), narrowed).expect("as many values as before")
    })
}

fn byte(value: f32) -> Option<u8> {
    word(value).and_then(|word| u8::try_from(word).ok())
}

/// The value in 16 bits, where that loses nothing, be it the sign of `-0.0`.
fn word(value: f32) -> Option<u16> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lose nothing"
    )]
    let word = value as u16;
    (f32::from(word).to_bits() == value.to_bits()).then_some(word)
}

fn write(path: &Path, stored: &Stored) -> Result<()> {
    let bytes = encode(stored).map_err(|error| refuse(path, error.to_string()))?;
    replace_bytes(path, &bytes)
}

/// A file of one page for each slice, deflated, as the readers of most programs can undo.
fn encode(stored: &Stored) -> TiffResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match stored {
        Stored::U8(values) if is_colour(values) => pages::<RGB8>(&mut bytes, values)?,
        Stored::U8(values) => pages::<Gray8>(&mut bytes, values)?,
        Stored::U16(values) if is_colour(values) => pages::<RGB16>(&mut bytes, values)?,
        Stored::U16(values) => pages::<Gray16>(&mut bytes, values)?,
        Stored::F32(values) => pages::<Gray32Float>(&mut bytes, values)?,
    }
    Ok(bytes.into_inner())
}

/// Whether other programs should show the channels as a colour, with opacity where there are four.
fn is_colour<T>(values: &Array4<T>) -> bool {
    matches!(values.len_of(Axis(0)), 3 | 4)
}

fn pages<C: ColorType>(bytes: &mut Cursor<Vec<u8>>, values: &Array4<C::Inner>) -> TiffResult<()>
where
    C::Inner: Copy,
    [C::Inner]: TiffValue,
{
    let (channels, _, height, width) = values.dim();
    let (height, width) = (u32::try_from(height)?, u32::try_from(width)?);
    let named = C::BITS_PER_SAMPLE.len();
    let kind = if named == 3 { ExtraSamples::UnassociatedAlpha } else { ExtraSamples::Unspecified };
    let compression = Compression::Deflate(DeflateLevel::Balanced);
    let mut file = TiffEncoder::new(bytes)?.with_compression(compression);
    for slice in values.axis_iter(Axis(1)) {
        let mut page = file.new_image::<C>(width, height)?;
        if channels > named {
            page.extra_samples(&vec![kind; channels - named])?;
        }
        // Channels side by side: those readers that take several do so in this order.
        let pixels: Vec<C::Inner> = slice.permuted_axes([1, 2, 0]).iter().copied().collect();
        page.write_data(&pixels)?;
    }
    Ok(())
}
