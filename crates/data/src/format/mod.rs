//! Image files: one module for each format, one cargo feature for each module.

#[cfg(any(feature = "dicom", feature = "metaimage", feature = "nifti", feature = "nrrd"))]
mod axes;
pub(crate) mod decoded;
mod info;
mod read;
pub(crate) mod replace;
#[cfg(any(feature = "metaimage", feature = "nifti", feature = "nrrd"))]
mod stored;
mod write;

#[cfg(not(all(
    feature = "dicom",
    feature = "gif",
    feature = "jpeg",
    feature = "metaimage",
    feature = "nifti",
    feature = "npz",
    feature = "nrrd",
    feature = "png",
    feature = "tiff"
)))]
mod absent;
#[cfg(feature = "dicom")]
mod dicom;
#[cfg(feature = "gif")]
mod gif;
#[cfg(feature = "jpeg")]
mod jpeg;
#[cfg(feature = "metaimage")]
mod metaimage;
#[cfg(feature = "nifti")]
mod nifti;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "nrrd")]
mod nrrd;
#[cfg(any(feature = "gif", feature = "jpeg", feature = "png"))]
mod picture;
#[cfg(feature = "png")]
mod png;
#[cfg(any(feature = "metaimage", feature = "nrrd"))]
mod raw;
#[cfg(feature = "tiff")]
mod tiff;

pub use self::info::ImageInfo;
pub use self::read::{read_image, read_label_map, read_soft_labels};
pub use self::write::{write_image, write_label_map, write_soft_labels};

#[cfg(feature = "dicom")]
pub(crate) use self::dicom::is_series;
#[cfg(feature = "dicom")]
pub use self::dicom::{SegmentationOf, write_fractional_segmentation, write_segmentation};
#[cfg(feature = "npz")]
pub use self::npz::write_npz;
#[cfg(feature = "parquet")]
pub(crate) use self::read::decode_bytes;
pub(crate) use self::read::{decode, is_dicom_file, is_guess, meta, notes, single, soft};

#[cfg(not(feature = "dicom"))]
use self::absent as dicom;
#[cfg(not(feature = "gif"))]
use self::absent as gif;
#[cfg(not(feature = "jpeg"))]
use self::absent as jpeg;
#[cfg(not(feature = "metaimage"))]
use self::absent as metaimage;
#[cfg(not(feature = "nifti"))]
use self::absent as nifti;
#[cfg(not(feature = "npz"))]
use self::absent as npz;
#[cfg(not(feature = "nrrd"))]
use self::absent as nrrd;
#[cfg(not(feature = "png"))]
use self::absent as png;
#[cfg(not(feature = "tiff"))]
use self::absent as tiff;

/// Whether a folder holds the slices of an image.
#[cfg(not(feature = "dicom"))]
pub(crate) fn is_series(_: &std::path::Path) -> bool {
    false
}
