use std::path::Path;

use volume::{Image, LabelMap, SoftLabelMap};

use super::read::Format;
use crate::error::Action;
use crate::{Error, Result};

/// Writes a label map, in the format that the file's name says.
///
/// | name | holds | keeps the geometry |
/// |---|---|---|
/// | `.nii`, `.nii.gz` | volumes | yes |
/// | `.hdr` or `.img`, `.hdr.gz` or `.img.gz` | volumes, as a pair of files | yes |
/// | `.nrrd` | volumes | yes |
/// | `.mha` | volumes | yes |
/// | `.dcm` | volumes, as a segmentation of segments 1 and up; [`write_segmentation`](crate::write_segmentation) says of which images | yes |
/// | `.tif`, `.tiff` | volumes: pages are slices | no |
/// | `.png` | a single slice | no |
///
/// Labels are stored in 8 bits where the largest is below 255 (as nnU-Net does; in PNG and TIFF, up
/// to 255), else in 16. The file is there whole or not at all, and the same for the same labels,
/// byte for byte (but for dates and names of instances in DICOM).
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the labels, as JPEG, which changes
/// values.
pub fn write_label_map(path: impl AsRef<Path>, labels: &LabelMap) -> Result<()> {
    let path = path.as_ref();
    match Format::of_name(path) {
        #[cfg(feature = "dicom")]
        Some(Format::Dicom) => {
            super::dicom::write_segmentation(path, labels, super::SegmentationOf::default())
        }
        #[cfg(feature = "metaimage")]
        Some(Format::MetaImage) => super::metaimage::write_labels(path, labels),
        #[cfg(feature = "nifti")]
        Some(Format::Nifti) => super::nifti::write_labels(path, labels),
        #[cfg(feature = "nrrd")]
        Some(Format::Nrrd) => super::nrrd::write_labels(path, labels),
        #[cfg(feature = "png")]
        Some(Format::Png) => super::png::write_labels(path, labels),
        #[cfg(feature = "tiff")]
        Some(Format::Tiff) => super::tiff::write_labels(path, labels),
        Some(Format::Jpeg) => Err(Error::Unsupported {
            action: Action::Write,
            path: path.to_owned(),
            cause: "JPEG loses label values".to_owned(),
            remedy: "write PNG or NIfTI".to_owned(),
        }),
        _ => Err(no_writer(path, "a label map", labels.grid.size)),
    }
}

/// Writes an image, in the format that the file's name says; nothing is ever rescaled.
///
/// | names | hold |
/// |---|---|
/// | those of NIfTI | any image: 16-bit integers where nothing is lost by that, else `f32`; channels are the fourth axis |
/// | `.nrrd`, `.mha` | any image: 16-bit integers where nothing is lost by that, else `f32` |
/// | those of TIFF | any image without its geometry: 8 or 16 bits where nothing is lost by that, else `f32`; channels lie side by side, pages are slices |
/// | `.png` | a single slice of whole numbers from 0 to 255 in 1, 3 or 4 channels |
/// | `.jpg`, `.jpeg` | a single slice of whole numbers from 0 to 255 in 1 channel, and not exactly: never for measuring |
///
/// The names are those of [`write_label_map`]. The file is there whole or not at all.
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the values.
pub fn write_image(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    let path = path.as_ref();
    match Format::of_name(path) {
        #[cfg(feature = "metaimage")]
        Some(Format::MetaImage) => super::metaimage::write_image(path, image),
        #[cfg(feature = "nifti")]
        Some(Format::Nifti) => super::nifti::write_image(path, image),
        #[cfg(feature = "nrrd")]
        Some(Format::Nrrd) => super::nrrd::write_image(path, image),
        #[cfg(feature = "png")]
        Some(Format::Png) => super::png::write_image(path, image),
        #[cfg(feature = "tiff")]
        Some(Format::Tiff) => super::tiff::write_image(path, image),
        #[cfg(feature = "jpeg")]
        Some(Format::Jpeg) => super::jpeg::write_image(path, image),
        _ => Err(no_writer(path, "an image", image.grid.size)),
    }
}

/// Writes class probabilities as NIfTI or NRRD, the classes along the fourth axis, as MetaImage, or, without the geometry,
/// as TIFF, the classes side by side: `f32`; or as a DICOM segmentation, in 255ths. The names are those of [`write_label_map`].
///
/// # Errors
///
/// Where the file cannot be written, or the format cannot hold the values.
pub fn write_soft_labels(path: impl AsRef<Path>, labels: &SoftLabelMap) -> Result<()> {
    let path = path.as_ref();
    match Format::of_name(path) {
        #[cfg(feature = "dicom")]
        Some(Format::Dicom) => {
            let of = super::SegmentationOf::default();
            super::dicom::write_fractional_segmentation(path, labels, of)
        }
        #[cfg(feature = "metaimage")]
        Some(Format::MetaImage) => super::metaimage::write_soft_labels(path, labels),
        #[cfg(feature = "nifti")]
        Some(Format::Nifti) => super::nifti::write_soft_labels(path, labels),
        #[cfg(feature = "nrrd")]
        Some(Format::Nrrd) => super::nrrd::write_soft_labels(path, labels),
        #[cfg(feature = "tiff")]
        Some(Format::Tiff) => super::tiff::write_soft_labels(path, labels),
        _ => Err(no_writer(path, "class probabilities", labels.grid.size)),
    }
}

fn no_writer(path: &Path, what: &str, size: [usize; 3]) -> Error {
    refuse(path, format!("{what} of {size:?} voxels cannot be written under a name like this"))
}

/// The error of a writer whose format cannot hold what it is given.
pub(super) fn refuse(path: &Path, cause: String) -> Error {
    Error::Unsupported {
        action: Action::Write,
        path: path.to_owned(),
        cause,
        remedy: "name it .nii.gz".to_owned(),
    }
}

/// The values in 8 bits, where all of them are whole numbers from 0 to `most`.
#[cfg(any(
    feature = "jpeg",
    feature = "metaimage",
    feature = "nifti",
    feature = "nrrd",
    feature = "png"
))]
pub(super) fn narrow(values: impl Iterator<Item = f32>, most: f32) -> Option<Vec<u8>> {
    let byte = |value: f32| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and in range"
        )]
        ((0.0..=most).contains(&value) && value.fract() == 0.0).then_some(value as u8)
    };
    values.map(byte).collect()
}
