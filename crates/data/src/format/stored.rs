//! Values as files of volumes store them: in as few bits as lose nothing.

use std::io::{self, Write};

use volume::{Image, LabelMap, SoftLabelMap};

use super::write::narrow;

/// Level of compression: on label maps and noisy images alike, higher ones take several times as
/// long for a few percent.
pub(super) const LEVEL: u32 = 4;

/// Values to be written, in standard order of `(C, D, H, W)`.
pub(super) enum Stored<'a> {
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(&'a [u16]),
    F32(&'a [f32]),
}

impl<'a> Stored<'a> {
    /// Labels in 8 bits where the largest is below 255, else in 16.
    pub(super) fn labels(labels: &'a LabelMap) -> Self {
        match narrow(labels.data.iter().map(|&label| f32::from(label)), 254.0) {
            Some(bytes) => Self::U8(bytes),
            None => Self::U16(labels.data.as_slice().expect("in standard order")),
        }
    }

    /// An image in 16 bits where that loses nothing, else as `f32`.
    pub(super) fn image(image: &'a Image) -> Self {
        let values: Option<Vec<i16>> = image.data.iter().map(|&value| short(value)).collect();
        match values {
            Some(values) => Self::I16(values),
            None => Self::F32(image.data.as_slice().expect("in standard order")),
        }
    }

    /// Class probabilities as `f32`.
    pub(super) fn probabilities(labels: &'a SoftLabelMap) -> Self {
        Self::F32(labels.data.as_slice().expect("in standard order"))
    }

    /// Writes the values, the least significant byte first: one channel after the other, or, of several
    /// `interleaved` ones, voxel after voxel.
    pub(super) fn write(&self, interleaved: usize, file: &mut impl Write) -> io::Result<()> {
        fn all<T: Copy, const N: usize>(
            values: &[T],
            channels: usize,
            bytes: impl Fn(T) -> [u8; N],
            file: &mut impl Write,
        ) -> io::Result<()> {
            let voxels = values.len() / channels;
            for voxel in 0..voxels {
                for channel in 0..channels {
                    file.write_all(&bytes(values[channel * voxels + voxel]))?;
                }
            }
            Ok(())
        }
        match self {
            Self::U8(values) => all(values, interleaved, |value| [value], file),
            Self::I16(values) => all(values, interleaved, i16::to_le_bytes, file),
            Self::U16(values) => all(values, interleaved, u16::to_le_bytes, file),
            Self::F32(values) => all(values, interleaved, f32::to_le_bytes, file),
        }
    }

    #[cfg(feature = "nrrd")]
    pub(super) fn nrrd_type(&self) -> &'static str {
        match self {
            Self::U8(_) => "unsigned char",
            Self::I16(_) => "short",
            Self::U16(_) => "unsigned short",
            Self::F32(_) => "float",
        }
    }

    #[cfg(feature = "metaimage")]
    pub(super) fn met_type(&self) -> &'static str {
        match self {
            Self::U8(_) => "MET_UCHAR",
            Self::I16(_) => "MET_SHORT",
            Self::U16(_) => "MET_USHORT",
            Self::F32(_) => "MET_FLOAT",
        }
    }
}

/// The value in 16 bits, where that loses nothing; `-0.0` would lose its sign, so it stays.
pub(super) fn short(value: f32) -> Option<i16> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to lose nothing")]
    let short = value as i16;
    (f32::from(short).to_bits() == value.to_bits()).then_some(short)
}
