//! Images that are no data set: what a prediction command is pointed at.

mod find;
mod names;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use volume::Image;

use self::names::{name, split};
use crate::{Error, Result, read_image};

pub use self::find::find_images;

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

/// A predicted label file and the reference that it is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFiles {
    /// Their common name without ending.
    pub id: String,
    /// The prediction.
    pub prediction: PathBuf,
    /// The reference.
    pub reference: PathBuf,
}

impl ImageFiles {
    /// Reads the channels into one image.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or the channels do not lie on one grid.
    pub fn read(&self) -> Result<Image> {
        let mut channels = Vec::with_capacity(self.files.len());
        for file in &self.files {
            channels.push(read_image(file)?);
        }
        if channels.len() == 1 {
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

/// Pairs label files of two folders by their names. Files whose names end in `_probabilities` are
/// what a prediction leaves beside its labels, and no labels.
///
/// # Errors
///
/// [`Error::NoCases`], where the references are none; [`Error::Missing`], where a reference has no
/// prediction. A prediction without a reference is not scored.
pub fn pair_label_files(predictions: &Path, references: &Path) -> Result<Vec<LabelFiles>> {
    let by_name = |folder: &Path| -> Result<BTreeMap<String, PathBuf>> {
        let files = images_in(folder)?;
        let named = files.into_iter().filter_map(|file| split(&file).map(|it| (it.0, file)));
        Ok(named.filter(|(id, _)| !id.ends_with("_probabilities")).collect())
    };
    let (predicted, expected) = (by_name(predictions)?, by_name(references)?);
    if expected.is_empty() {
        return Err(Error::NoCases {
            path: references.to_owned(),
            pattern: names::any_image(),
            remedy: "give the folder that the reference label files are in".to_owned(),
        });
    }
    let pair = |(id, reference): (String, PathBuf)| match predicted.get(&id) {
        Some(prediction) => Ok(LabelFiles { id, prediction: prediction.clone(), reference }),
        None => Err(Error::Missing {
            path: predictions.join(name(&reference)),
            id,
            remedy: "predict it, or take its reference away".to_owned(),
        }),
    };
    expected.into_iter().map(pair).collect()
}

fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::reading(folder))? {
        let path = entry.map_err(Error::reading(folder))?.path();
        if path.is_file() && split(&path).is_some() && !name(&path).starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            fs::write(folder.join(name), "")?;
        }
        Ok(())
    }

    #[test]
    fn references_want_a_prediction_each() -> anyhow::Result<()> {
        let (predictions, references) = (tempfile::tempdir()?, tempfile::tempdir()?);
        touch(references.path(), &["a.nii.gz", "b.png"])?;
        touch(predictions.path(), &["a.nii", "extra.nii"])?;

        let error = pair_label_files(predictions.path(), references.path()).unwrap_err();
        assert!(error.to_string().contains("b.png"), "{error}");
        touch(predictions.path(), &["b.png"])?;
        assert_eq!(pair_label_files(predictions.path(), references.path())?.len(), 2);
        // Predictions may be what others are held against.
        touch(references.path(), &["a_probabilities.nii.gz"])?;
        assert_eq!(pair_label_files(predictions.path(), references.path())?.len(), 2);
        Ok(())
    }
}
