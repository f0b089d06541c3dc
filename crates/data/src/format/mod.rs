//! Image files: one module for each format, one cargo feature for each module.

pub(crate) mod decoded;
mod info;
mod read;
pub(crate) mod replace;
mod write;

#[cfg(feature = "jpeg")]
mod jpeg;
#[cfg(feature = "nifti")]
mod nifti;
#[cfg(any(feature = "jpeg", feature = "png"))]
mod picture;
#[cfg(feature = "png")]
mod png;
#[cfg(feature = "tiff")]
mod tiff;

pub use self::info::ImageInfo;
pub use self::read::{read_image, read_label_map, read_soft_labels};
pub use self::write::{write_image, write_label_map, write_soft_labels};

#[cfg(feature = "parquet")]
pub(crate) use self::read::decode_bytes;
pub(crate) use self::read::{decode, meta, notes, single, soft};
