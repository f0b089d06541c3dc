//! Images that are no data set: what a prediction command is pointed at.

mod find;
mod names;
mod predictions;

use std::fs;
use std::path::{Path, PathBuf};

use volume::{Grid, Image};

use self::names::{name, split};
use crate::error::Action;
use crate::format::decoded::Meta;
use crate::format::meta;
use crate::layout::{read_picture, spacing_beside};
use crate::{Error, Result};

pub use self::find::find_images;
pub use self::predictions::{PredictionFiles, label_files, prediction_files};

/// What a prediction command is to work on.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundImages {
    /// The images, sorted by `id`.
    pub images: Vec<ImageFiles>,
    /// Files of the given folders that are label maps by their names.
    pub left_out: Vec<PathBuf>,
}

/// The files of one image: one for all its channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFiles {
    /// What predictions of it are called: the file's name without ending and channel number; where
    /// that is the name of several, after the names of folders that tell them apart.
    pub id: String,
    /// The files, in the order of their channels.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub how_read: HowRead,
}

/// How image files are read, where that is not as they say themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HowRead {
    /// Spacing that replaces what files say, mm, `(z, y, x)`.
    pub spacing: Option<[f64; 3]>,
    /// Whether slices of a single channel are channels of a single slice.
    pub slices_are_channels: bool,
}

/// An image as a network is to see it.
#[derive(Clone, Debug)]
pub struct ReadImage {
    /// The image; its spacing is what it is taken for.
    pub image: Image,
    /// Where its voxels lie by its file, which is where what is said of them is to lie.
    pub grid: Grid,
}

impl ImageFiles {
    /// Reads the channels into one image, of so many as a network takes.
    ///
    /// Where that changes nothing, pictures are adapted as data sets adapt them: opacity is left out, equal colours
    /// become grey, grey becomes equal colours. An image of other channels is read as it is.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, is in colour though grey is wanted, or the channels do not lie on one grid.
    pub fn read(&self, wanted: usize) -> Result<ReadImage> {
        let alone = self.files.len() == 1;
        let how = HowRead { spacing: self.spacing()?, ..self.how_read };
        let mut channels = Vec::with_capacity(self.files.len());
        for file in &self.files {
            self.refuse_many(file, wanted)?;
            channels.push(read_picture(file, if alone { wanted } else { 1 }, how)?);
        }
        let image = if alone { channels.remove(0) } else { self.stack(&channels)? };
        let grid = match how.spacing {
            Some(_) => Grid { size: image.grid.size, ..meta(&self.files[0])?.grid },
            None => image.grid.clone(),
        };
        Ok(ReadImage { image, grid })
    }

    /// Refuses a file of a volume with more channels than are wanted before they are all read, such as a series over time.
    fn refuse_many(&self, file: &Path, wanted: usize) -> Result<()> {
        let Meta { channels, geometry, .. } = meta(file)?;
        if !geometry || channels <= wanted || self.how_read.slices_are_channels {
            return Ok(());
        }
        Err(Error::Unsupported {
            action: Action::Read,
            path: file.to_owned(),
            cause: format!("it has {channels} channels, and the network takes {wanted}"),
            remedy: "give an image of as many channels".to_owned(),
        })
    }

    /// The spacing that is taken for its own: the model's, or what a file beside a TIFF image states, as nnU-Net has it.
    fn spacing(&self) -> Result<Option<[f64; 3]>> {
        match self.how_read.spacing {
            Some(spacing) => Ok(Some(spacing)),
            None => spacing_beside(&self.id, &self.files[0]),
        }
    }

    fn stack(&self, channels: &[Image]) -> Result<Image> {
        let first = &channels[0];
        let other = self.files.iter().zip(channels).find_map(|(file, channel)| {
            first.grid.difference(&channel.grid).map(|difference| (file, difference))
        });
        if let Some((file, difference)) = other {
            return Err(Error::Geometry {
                id: self.id.clone(),
                path: file.clone(),
                difference,
                remedy: "resample all channels of an image onto one grid".to_owned(),
            });
        }
        Image::stack(channels).map_err(|error| Error::Description {
            path: self.files[0].clone(),
            cause: error.to_string(),
            remedy: "give channels of one image".to_owned(),
        })
    }

    /// How many voxels the image has, and what they are taken for, by the header of its first file alone.
    ///
    /// # Errors
    ///
    /// Where that cannot be read.
    pub fn grid(&self) -> Result<Grid> {
        let mut grid = meta(&self.files[0])?.grid;
        if self.how_read.slices_are_channels {
            grid.size[0] = 1;
        }
        if let Some(spacing) = self.spacing()? {
            grid.spacing = spacing;
        }
        Ok(grid)
    }

    /// Whether it is a folder or file of DICOM, by its name.
    pub fn is_dicom(&self) -> bool {
        let file = &self.files[0];
        file.is_dir() || file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("dcm"))
    }

    /// What label files of it end in: `.png` for a picture, `.tif` for a TIFF file, `.dcm` for DICOM, else `.nii.gz`.
    pub fn extension(&self) -> &'static str {
        if self.is_dicom() {
            return ".dcm";
        }
        match split(&self.files[0]).unwrap_or_default().1 {
            ".gif" | ".png" | ".jpg" | ".jpeg" => ".png",
            ".tif" | ".tiff" => ".tif",
            _ => ".nii.gz",
        }
    }
}

fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = every_file(folder)?.into_iter();
    Ok(files.filter(|path| split(path).is_some() && !name(path).starts_with('.')).collect())
}

/// The files of a folder itself, sorted.
fn every_file(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::reading(folder))? {
        let path = entry.map_err(Error::reading(folder))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
