//! Images that are no data set: what a prediction command is pointed at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use volume::Image;

use crate::{Error, Result, read_image};

/// Endings of files that may be images, longest first.
const ENDINGS: &[&str] = &[".nii.gz", ".nii", ".hdr", ".png", ".jpeg", ".jpg", ".tiff", ".tif"];

/// The files of one image: one for all its channels, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFiles {
    /// What predictions of it are called: the file's name without ending and channel number.
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

    /// What label files of it end in: that of a picture, or else of a NIfTI volume.
    pub fn extension(&self) -> &'static str {
        let (_, ending) = split(&self.files[0]).unwrap_or_default();
        if matches!(ending, ".png" | ".jpg" | ".jpeg") { ".png" } else { ".nii.gz" }
    }
}

/// Finds the images that `inputs` name: files, and all images in folders (not below them).
///
/// With several `channels`, files that end in `_0000`, `_0001`, … belong together, as in nnU-Net;
/// a file without such an ending holds all channels by itself.
///
/// # Errors
///
/// [`Error::NoCases`], where a folder holds no image; [`Error::Io`], where an input is not there;
/// [`Error::DuplicateId`], where two images would be called the same; [`Error::Missing`], where a
/// channel is not there.
pub fn find_images(inputs: &[PathBuf], channels: usize) -> Result<Vec<ImageFiles>> {
    let mut files = Vec::new();
    for input in inputs {
        if !input.is_dir() {
            fs::metadata(input).map_err(Error::reading(input))?;
            files.push(input.clone());
            continue;
        }
        let found = images_in(input)?;
        if found.is_empty() {
            return Err(Error::NoCases {
                path: input.clone(),
                pattern: format!("*{{{}}}", ENDINGS.join(",")),
                remedy: "give image files, or a folder with images directly in it".to_owned(),
            });
        }
        files.extend(found);
    }
    let mut images: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
    for file in files {
        let stem = split(&file).map_or_else(|| name(&file), |(stem, _)| stem);
        let (id, channel) = channel_of(&stem);
        let other = images.entry(id.clone()).or_default().insert(channel, file.clone());
        if let Some(other) = other.filter(|other| *other != file) {
            return Err(Error::DuplicateId { id, first: other, second: file });
        }
    }
    let mut found = Vec::new();
    for (id, files) in images {
        // One file may hold every channel.
        let divided = files.len() > 1 || channels > 1 && files.keys().any(|&channel| channel > 0);
        let missing = (0..channels).find(|channel| !files.contains_key(channel));
        if let (true, Some(missing)) = (divided, missing) {
            let path = files.values().next().cloned().unwrap_or_default();
            return Err(Error::Missing {
                path: path.with_file_name(format!("{id}_{missing:04}")),
                id,
                remedy: format!("the model takes {channels} channels"),
            });
        }
        found.push(ImageFiles { id, files: files.into_values().collect() });
    }
    Ok(found)
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
            pattern: format!("*{{{}}}", ENDINGS.join(",")),
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

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name without the ending of an image, and that ending; `None` where it has none.
fn split(path: &Path) -> Option<(String, &'static str)> {
    let name = name(path);
    let lower = name.to_ascii_lowercase();
    let ending = ENDINGS.iter().find(|ending| lower.ends_with(**ending))?;
    Some((name[..name.len() - ending.len()].to_owned(), ending))
}

/// A name without `_0000`, and the channel that this says; channel 0 where it says nothing.
fn channel_of(stem: &str) -> (String, usize) {
    match stem.rsplit_once('_') {
        Some((id, number)) if number.len() == 4 && !id.is_empty() => {
            number.parse().map_or((stem.to_owned(), 0), |channel| (id.to_owned(), channel))
        }
        _ => (stem.to_owned(), 0),
    }
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
    fn channels_of_one_image_belong_together() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        touch(
            folder.path(),
            &["a_0001.nii.gz", "a_0000.nii.gz", "b.NII.GZ", "notes.txt", ".c.nii"],
        )?;

        let found = find_images(&[folder.path().to_owned()], 2)?;

        let ids: Vec<_> = found.iter().map(|it| (it.id.as_str(), it.files.len())).collect();
        assert_eq!(ids, [("a", 2), ("b", 1)]);
        assert!(found[0].files[0].ends_with("a_0000.nii.gz"));
        Ok(())
    }

    #[test]
    fn a_missing_channel_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        touch(folder.path(), &["a_0001.nii.gz"])?;

        let error = find_images(&[folder.path().to_owned()], 2).unwrap_err().to_string();

        assert!(error.contains("a_0000") && error.contains("2 channels"), "{error}");
        Ok(())
    }

    #[test]
    fn a_folder_without_images_and_a_file_that_is_not_there_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        assert!(find_images(&[folder.path().to_owned()], 1).is_err());
        assert!(find_images(&[folder.path().join("gone.nii")], 1).is_err());
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
