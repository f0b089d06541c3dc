//! Images that are no data set: what a prediction command is pointed at.

mod find;
mod names;
mod predictions;

use std::fs;
use std::path::{Path, PathBuf};

use volume::Image;

use self::names::{name, split};
use crate::layout::read_picture;
use crate::{Error, Result};

pub use self::find::find_images;
pub use self::predictions::{PredictionFiles, label_files, prediction_files};

/// What a prediction command is to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImages {
    /// The images, sorted by `id`.
    pub images: Vec<ImageFiles>,
    /// Files of the given folders that are label maps by their names.
    pub left_out: Vec<PathBuf>,
}

/// The files of one image: one for all its channels, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFiles {
    /// What predictions of it are called: the file's name without ending and channel number; where
    /// that is the name of several, after the names of folders that tell them apart.
    pub id: String,
    /// The files, in the order of their channels.
    pub files: Vec<PathBuf>,
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
    pub fn read(&self, wanted: usize) -> Result<Image> {
        let alone = self.files.len() == 1;
        let mut channels = Vec::with_capacity(self.files.len());
        for file in &self.files {
            channels.push(read_picture(file, if alone { wanted } else { 1 })?);
        }
        if alone {
            return Ok(channels.remove(0));
        }
        let first = &channels[0];
        let other = self.files.iter().zip(&channels).find_map(|(file, channel)| {
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
        Image::stack(&channels).map_err(|error| Error::Description {
            path: self.files[0].clone(),
            cause: error.to_string(),
            remedy: "give channels of one image".to_owned(),
        })
    }

    /// What label files of it end in: `.png` for a picture, `.tif` for a TIFF file, else `.nii.gz`.
    pub fn extension(&self) -> &'static str {
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
