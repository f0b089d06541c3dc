use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ndarray::{Array4, Axis};
use volume::{Image, LabelMap, SoftLabelMap};

use super::decoded::{Decoded, Meta, Trouble, Voxel};
use crate::error::Action;
use crate::{Error, Result};

/// A format that is read, whether or not this build has its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Dicom,
    Gif,
    Jpeg,
    MetaImage,
    Nifti,
    Npz,
    Nrrd,
    Png,
    Tiff,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dicom => "DICOM",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::MetaImage => "MetaImage",
            Self::Nifti => "NIfTI",
            Self::Npz => "NPZ",
            Self::Nrrd => "NRRD",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
        }
    }

    /// What the first bytes of a picture say.
    fn of_content(start: &[u8]) -> Option<Self> {
        match start {
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'N', b'R', b'R', b'D', b'0', b'0', b'0', ..] => Some(Self::Nrrd),
            [b'G', b'I', b'F', b'8', ..] => Some(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            _ => None,
        }
    }

    pub(super) fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"]) {
            return Some(Self::Nifti);
        }
        if ends(&[".dcm"]) {
            return Some(Self::Dicom);
        }
        if ends(&[".npz"]) {
            return Some(Self::Npz);
        }
        if ends(&[".nrrd", ".nhdr"]) {
            return Some(Self::Nrrd);
        }
        if ends(&[".mha", ".mhd"]) {
            return Some(Self::MetaImage);
        }
        if ends(&[".png"]) {
            return Some(Self::Png);
        }
        if ends(&[".gif"]) {
            return Some(Self::Gif);
        }
        if ends(&[".jpg", ".jpeg"]) {
            return Some(Self::Jpeg);
        }
        ends(&[".tif", ".tiff"]).then_some(Self::Tiff)
    }

    /// The format of a file: by its content, or, where that does not tell, by its name.
    pub(super) fn of(path: &Path) -> Result<Self, Trouble> {
        if path.is_dir() {
            return Ok(Self::Dicom);
        }
        // Some DICOM files begin as TIFF files do.
        if is_dicom(path) {
            return Ok(Self::Dicom);
        }
        let mut start = Vec::new();
        open(path)?.take(8).read_to_end(&mut start).map_err(Trouble::Io)?;
        if let Some(format) = Self::of_content(&start).or_else(|| Self::of_name(path)) {
            return Ok(format);
        }
        if is_nifti(path) {
            return Ok(Self::Nifti);
        }
        match elsewhere(path) {
            Some(format) if !start.is_empty() => Err(Trouble::unsupported(
                format!("files of {format} are not read"),
                "convert it to .nii.gz",
            )),
            _ => Err(unknown(&start)),
        }
    }
}

#[cfg(feature = "nifti")]
fn is_nifti(path: &Path) -> bool {
    super::nifti::has_content(path)
}

#[cfg(feature = "dicom")]
fn is_dicom(path: &Path) -> bool {
    super::dicom::has_content(path)
}

#[cfg(not(feature = "dicom"))]
fn is_dicom(_: &Path) -> bool {
    false
}

#[cfg(not(feature = "nifti"))]
fn is_nifti(_: &Path) -> bool {
    false
}

/// A format that is known by its name, but not read.
fn elsewhere(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ending = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.1;
    Some(match ending {
        "mgh" | "mgz" => "FreeSurfer (MGH)",
        "mif" | "mih" => "MRtrix",
        "mnc" => "MINC",
        _ => return None,
    })
}

fn unknown(start: &[u8]) -> Trouble {
    if start.is_empty() {
        return Trouble::damaged("the file is empty");
    }
    Trouble::unsupported(
        format!("it is of no format that is read (it starts with \"{}\")", start.escape_ascii()),
        "convert it to .nii.gz, .png, .tif or .jpg",
    )
}

fn open(path: &Path) -> Result<File, Trouble> {
    let file = File::open(path).map_err(Trouble::Io)?;
    let metadata = file.metadata().map_err(Trouble::Io)?;
    if !metadata.is_file() {
        return Err(Trouble::unsupported("it is no file", "name a file"));
    }
    Ok(file)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(Trouble::Io)?;
    Ok(bytes)
}

/// What a file says of its voxels, without reading them (or, for a picture, decoding them).
pub(crate) fn meta(path: &Path) -> Result<Meta> {
    let meta = || match Format::of(path)? {
        Format::Dicom => super::dicom::meta(path),
        Format::Gif => super::gif::meta(&bytes(path)?[..]),
        Format::Jpeg => super::jpeg::meta(&bytes(path)?[..]),
        Format::MetaImage => super::metaimage::meta(path),
        Format::Nifti => super::nifti::meta(path),
        Format::Npz => super::npz::meta(path),
        Format::Nrrd => super::nrrd::meta(path),
        Format::Png => super::png::meta(&bytes(path)?[..]),
        Format::Tiff => super::tiff::meta(&bytes(path)?[..]),
    };
    meta().map_err(|trouble: Trouble| trouble.at(path))
}

/// What there is to remark of how a file is understood: only the headers of volumes leave
/// room for that.
pub(crate) fn notes(path: &Path) -> Vec<String> {
    let volumes = [Format::Dicom, Format::MetaImage, Format::Nifti, Format::Nrrd].map(Some);
    if !path.is_dir() && !volumes.contains(&Format::of_name(path)) {
        return Vec::new();
    }
    meta(path).map(|meta| meta.notes).unwrap_or_default()
}

/// Whether a file is DICOM.
pub(crate) fn is_dicom_file(path: &Path) -> bool {
    matches!(Format::of(path), Ok(Format::Dicom))
}

/// Whether a remark is of something that a file does not say, so that readers had to guess.
pub(crate) fn is_guess(remark: &str) -> bool {
    ["a guess", "no voxel size", "not the patient's"].iter().any(|words| remark.contains(words))
}

/// The voxels of a file, as intensities or labels.
pub(crate) fn decode<V: Voxel + Send + Sync>(path: &Path) -> Result<Decoded<V>> {
    let decode = || match Format::of(path)? {
        Format::Dicom => super::dicom::decode(path),
        Format::Gif => super::gif::decode(&bytes(path)?[..]),
        Format::Jpeg => super::jpeg::decode(&bytes(path)?[..]),
        Format::MetaImage => super::metaimage::decode(path),
        Format::Nifti => super::nifti::decode(path),
        Format::Npz => super::npz::decode(path),
        Format::Nrrd => super::nrrd::decode(path),
        Format::Png => super::png::decode(&bytes(path)?[..]),
        Format::Tiff => super::tiff::decode(&bytes(path)?[..]),
    };
    decode().map_err(|trouble: Trouble| trouble.at(path))
}

/// The pixels of a picture that is a part of another file, at `path`.
#[cfg(feature = "parquet")]
pub(crate) fn decode_bytes<V: Voxel>(path: &Path, bytes: &[u8]) -> Result<Decoded<V>> {
    let decoded = match Format::of_content(bytes) {
        Some(Format::Gif) => super::gif::decode(bytes),
        Some(Format::Jpeg) => super::jpeg::decode(bytes),
        Some(Format::Png) => super::png::decode(bytes),
        Some(Format::Tiff) => super::tiff::decode(bytes),
        Some(Format::Dicom | Format::MetaImage | Format::Nifti | Format::Npz | Format::Nrrd)
        | None => Err(unknown(&bytes[..bytes.len().min(8)])),
    };
    decoded.map_err(|trouble| trouble.at(path))
}

/// Reads an image: NIfTI, NRRD, MetaImage, DICOM (a folder with a series, or a file), PNG, TIFF, JPEG or GIF, told by content before name.
///
/// The image is `(C, D, H, W)`. In NIfTI files, axes after the third are channels; in TIFF files,
/// pages are slices; a picture has one slice, voxels of 1 mm, and as many channels as the file has
/// (grey 1, colour 3, with opacity one more). Nothing is reoriented: the grid says how the array
/// lies. Values are scaled as the file says (`scl_slope`), and 64-bit ones rounded to `f32`.
///
/// # Errors
///
/// Where the file cannot be opened, is damaged, or holds what is not read (complex numbers); the
/// error names file, cause and remedy. No file makes this panic, or use more memory than its
/// length justifies.
pub fn read_image(path: impl AsRef<Path>) -> Result<Image> {
    Ok(decode::<f32>(path.as_ref())?.into_image())
}

/// Reads a label map: the numbers in the file, untranslated, `(D, H, W)`.
///
/// In a PNG or TIFF file with a palette these are the places in the palette. A file with several
/// equal channels, as where a program saved grey as colour, is taken for one channel.
///
/// # Errors
///
/// As [`read_image`]; [`Error::NotLabels`] for a value that is negative, not whole or beyond 65535;
/// and where channels differ.
pub fn read_label_map(path: impl AsRef<Path>) -> Result<LabelMap> {
    let path = path.as_ref();
    Ok(single(path, decode::<u16>(path)?)?.into_label_map())
}

/// One channel, or an error that says what several are.
pub(crate) fn single<V: Voxel + PartialEq>(path: &Path, decoded: Decoded<V>) -> Result<Decoded<V>> {
    decoded.grey().map_err(|decoded| Error::Unsupported {
        action: Action::Read,
        path: path.to_owned(),
        cause: if decoded.meta.geometry {
            format!("as a label it has {} channels, not one", decoded.meta.channels)
        } else {
            "as a label it is in colour".to_owned()
        },
        remedy: if decoded.meta.geometry {
            "class probabilities need `soft = true`; else save one label map".to_owned()
        } else {
            "save it as grey, one value for each class".to_owned()
        },
    })
}

/// Reads class probabilities, `(C, D, H, W)`: a file with one channel for each class, background
/// first, or with one channel for the foreground alone, which makes two classes. Of NPZ files, those that
/// nnU-Net writes with `--save_probabilities`.
///
/// # Errors
///
/// As [`read_image`], and where values are no probabilities or do not sum to 1 over the classes.
pub fn read_soft_labels(path: impl AsRef<Path>) -> Result<SoftLabelMap> {
    let path = path.as_ref();
    soft(path, decode(path)?)
}

/// Class probabilities out of what a file holds.
pub(crate) fn soft(path: &Path, decoded: Decoded<f32>) -> Result<SoftLabelMap> {
    #[cfg(feature = "npz")]
    let is_half = decoded.meta.voxel_type == "float16";
    #[cfg_attr(not(feature = "npz"), expect(unused_mut, reason = "only NPZ has half precision"))]
    let Image { grid, mut data } = decoded.into_image();
    #[cfg(feature = "npz")]
    if is_half {
        super::npz::normalize(&mut data);
    }
    let data: Array4<f32> = if data.len_of(Axis(0)) == 1 {
        let background = data.mapv(|foreground| 1.0 - foreground);
        ndarray::concatenate(Axis(0), &[background.view(), data.view()])
            .expect("both have the shape of the image")
    } else {
        data
    };
    SoftLabelMap::new(grid, data).map_err(|error| Error::Unsupported {
        action: Action::Read,
        path: path.to_owned(),
        cause: error.to_string(),
        remedy: "save one probability for each class and voxel".to_owned(),
    })
}
