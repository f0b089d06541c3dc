use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::names::{any_image, image_and_channel, is_label, name};
use super::{FoundImages, HowRead, ImageFiles, images_in};
use crate::format::is_series;
use crate::{Error, Layout, Result};

/// Finds the images that `inputs` name: files, and all images in folders (not below them). A folder of DICOM files is an
/// image, and so is each in a folder of such folders.
///
/// With several `channels`, files that end in `_0000`, `_0001`, … belong together, as in nnU-Net;
/// a file without such an ending holds all channels by itself. Images of one name in several
/// folders are told apart by the names of these.
///
/// Files of a folder that are called as label maps are, such as `mask` or `case01_seg02`, or as the
/// `layout` of the model's data calls its labels, are left out. A file that `inputs` name is an
/// image, whatever it is called.
///
/// # Errors
///
/// [`Error::NoCases`], where a folder holds no image, and [`Error::Description`], where all that it
/// holds are called as label maps are; [`Error::Io`], where an input is not there;
/// [`Error::DuplicateId`], where two images of one folder are called the same; [`Error::Missing`],
/// where a channel is not there.
pub fn find_images(
    inputs: &[PathBuf],
    channels: usize,
    layout: Option<&dyn Layout>,
) -> Result<FoundImages> {
    let is_label =
        |file: &PathBuf| is_label(file) || layout.is_some_and(|it| it.is_label_name(&name(file)));
    // By name without channel.
    let mut named: BTreeMap<String, Vec<File>> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut seen = BTreeSet::new();
    for input in inputs {
        let files = if input.is_dir() {
            let (labels, images): (Vec<_>, Vec<_>) =
                images_in(input)?.into_iter().partition(is_label);
            let images = if images.is_empty() { series_in(input)? } else { images };
            if images.is_empty() {
                return Err(without_images(input, labels.first()));
            }
            left_out.extend(labels);
            images
        } else {
            fs::metadata(input).map_err(Error::reading(input))?;
            vec![input.clone()]
        };
        for path in files {
            let (id, channel) = image_and_channel(&path);
            let file = File { folder: folder_of(&path), channel, path };
            // A file may be named twice, as where its folder is named, too.
            if seen.insert((file.folder.clone(), name(&file.path))) {
                named.entry(id).or_default().push(file);
            }
        }
    }
    left_out.sort();
    left_out.dedup();
    left_out.retain(|path| !seen.contains(&(folder_of(path), name(path))));

    let mut images: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
    for (id, files) in named.into_iter().flat_map(|(id, files)| apart(id, files)) {
        let mut by_channel: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for file in files {
            let path = file.path.clone();
            if let Some(first) = by_channel.insert(file.channel, file.path) {
                return Err(same_name(id, first, path));
            }
        }
        if let Some(others) = images.insert(id.clone(), by_channel) {
            let first = |files: &BTreeMap<usize, PathBuf>| {
                files.values().next().cloned().unwrap_or_default()
            };
            return Err(same_name(id.clone(), first(&others), first(&images[&id])));
        }
    }
    let how_read = layout.map(Layout::how_read).unwrap_or_default();
    // Slices that are channels are all in one file.
    let channels = if how_read.slices_are_channels { 1 } else { channels };
    let images = images.into_iter().map(|(id, files)| whole(id, files, channels, how_read));
    Ok(FoundImages { images: images.collect::<Result<_>>()?, left_out })
}

/// The folders of DICOM files that a folder is, or holds.
fn series_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if is_series(folder) {
        // A folder that is named `.` has a name all the same.
        let named = folder.file_name().map(|_| folder.to_owned());
        let named =
            named.map_or_else(|| folder.canonicalize(), Ok).map_err(Error::reading(folder))?;
        return Ok(vec![named]);
    }
    let mut series = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::reading(folder))? {
        let path = entry.map_err(Error::reading(folder))?.path();
        if path.is_dir() && is_series(&path) {
            series.push(path);
        }
    }
    series.sort();
    Ok(series)
}

struct File {
    /// The folder that it is in, the same however it is named.
    folder: PathBuf,
    channel: usize,
    path: PathBuf,
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// The images that files of one name are: one, or, where they hold the same channel, one for each
/// folder, called after as many folders as it takes.
fn apart(id: String, files: Vec<File>) -> Vec<(String, Vec<File>)> {
    let channels: BTreeSet<usize> = files.iter().map(|file| file.channel).collect();
    let mut folders: BTreeMap<PathBuf, Vec<File>> = BTreeMap::new();
    let count = files.len();
    for file in files {
        folders.entry(file.folder.clone()).or_default().push(file);
    }
    if channels.len() == count || folders.len() == 1 {
        return vec![(id, folders.into_values().flatten().collect())];
    }
    let deepest = folders.keys().map(|folder| folder.components().count()).max().unwrap_or(1);
    let called = |depth: usize| -> BTreeSet<String> {
        folders.keys().map(|folder| below(folder, depth, &id)).collect()
    };
    let depth = (1..deepest).find(|&depth| called(depth).len() == folders.len());
    let depth = depth.unwrap_or(deepest);
    let named = |(folder, files): (PathBuf, _)| (below(&folder, depth, &id), files);
    folders.into_iter().map(named).collect()
}

/// A name after those of the last `depth` folders.
fn below(folder: &Path, depth: usize, id: &str) -> String {
    let parts = folder.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    let parts: Vec<_> = parts.collect();
    let mut name = parts[parts.len().saturating_sub(depth)..].join("_");
    if !name.is_empty() {
        name.push('_');
    }
    name + id
}

/// The files of an image, none of which is missing.
fn whole(
    id: String,
    files: BTreeMap<usize, PathBuf>,
    channels: usize,
    how_read: HowRead,
) -> Result<ImageFiles> {
    // One file may hold every channel.
    let divided = files.len() > 1 || channels > 1 && files.keys().any(|&channel| channel > 0);
    let missing = (0..channels).find(|channel| !files.contains_key(channel));
    if let (true, Some(missing)) = (divided, missing) {
        let path = files.values().next().cloned().unwrap_or_default();
        let (name, _) = image_and_channel(&path);
        return Err(Error::Missing {
            path: path.with_file_name(format!("{name}_{missing:04}")),
            id,
            remedy: format!("the model takes {channels} channels"),
        });
    }
    Ok(ImageFiles { id, files: files.into_values().collect(), how_read })
}

fn same_name(id: String, first: PathBuf, second: PathBuf) -> Error {
    let remedy = "rename one, or predict them one after the other into two folders".to_owned();
    Error::DuplicateId { id, first, second, remedy }
}

fn without_images(folder: &Path, label: Option<&PathBuf>) -> Error {
    let path = folder.to_owned();
    match label {
        Some(label) => Error::Description {
            path,
            cause: format!(
                "all images in it are called as label maps are, such as {}",
                name(label)
            ),
            remedy: "name those files themselves that are images".to_owned(),
        },
        None => Error::NoCases {
            path,
            pattern: any_image(),
            remedy: "give image files, or a folder with images directly in it".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pairs, Pattern, Patterns};

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

        let found = find_images(&[folder.path().to_owned()], 2, None)?.images;

        let ids: Vec<_> = found.iter().map(|it| (it.id.as_str(), it.files.len())).collect();
        assert_eq!(ids, [("a", 2), ("b", 1)]);
        assert!(found[0].files[0].ends_with("a_0000.nii.gz"));
        Ok(())
    }

    #[test]
    fn a_missing_channel_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        touch(folder.path(), &["a_0001.nii.gz"])?;

        let error = find_images(&[folder.path().to_owned()], 2, None).unwrap_err().to_string();

        assert!(error.contains("a_0000") && error.contains("2 channels"), "{error}");
        Ok(())
    }

    #[test]
    fn a_folder_without_images_and_a_file_that_is_not_there_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        assert!(find_images(&[folder.path().to_owned()], 1, None).is_err());
        assert!(find_images(&[folder.path().join("gone.nii")], 1, None).is_err());
        Ok(())
    }

    /// The names and numbers of files of the images that are found, one channel each.
    fn ids(inputs: &[PathBuf]) -> Result<Vec<(String, usize)>> {
        let found = find_images(inputs, 1, None)?.images;
        Ok(found.into_iter().map(|image| (image.id, image.files.len())).collect())
    }

    fn one(id: &str) -> (String, usize) {
        (id.to_owned(), 1)
    }

    #[test]
    fn images_of_one_name_are_called_after_their_folders() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let [a, b, deep] = ["case01", "case02", "other/case01"].map(|name| root.path().join(name));
        for folder in [&a, &b, &deep] {
            fs::create_dir_all(folder)?;
            touch(folder, &["image.nii.gz", "mr.nii"])?;
        }
        let image = |folder: &Path| folder.join("image.nii.gz");

        assert_eq!(ids(&[image(&a)])?, [one("image")]);
        assert_eq!(ids(&[image(&a), image(&b)])?, [one("case01_image"), one("case02_image")]);
        // The same file in other words.
        assert_eq!(ids(&[image(&a), image(&b.join("../case01")), a.clone()])?.len(), 2);
        let every = ["case01_image", "case01_mr", "case02_image", "case02_mr"].map(one);
        assert_eq!(ids(&[a.clone(), b.clone()])?, every);
        // One folder's name does not tell them apart, so that two are taken.
        let found = ids(&[image(&a), image(&deep)])?;
        assert_eq!(found[1], one("other_case01_image"));
        assert!(found[0].0.ends_with("_case01_image"), "{found:?}");
        Ok(())
    }

    #[test]
    fn channels_in_folders_of_their_own_still_make_one_image() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let files = ["t1/a_0000.nii", "t2/a_0001.nii"].map(|name| root.path().join(name));
        for file in &files {
            fs::create_dir(file.parent().unwrap())?;
            fs::write(file, "")?;
        }

        let found = find_images(&files, 2, None)?.images;

        assert_eq!((found[0].id.as_str(), found[0].files.as_slice()), ("a", files.as_slice()));
        Ok(())
    }

    #[test]
    fn two_images_of_one_name_in_one_folder_are_refused_with_what_helps() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        touch(root.path(), &["a.nii", "a.nii.gz"])?;

        let error = find_images(&[root.path().to_owned()], 1, None).unwrap_err().to_string();

        assert!(error.starts_with("two files are case a: "), "{error}");
        assert!(
            error.ends_with("; rename one, or predict them one after the other into two folders")
        );
        Ok(())
    }

    #[test]
    fn label_maps_of_a_folder_are_left_out_unless_they_are_named() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let folder = root.path().to_owned();
        touch(&folder, &["image.nii.gz", "task01_seg01.nii.gz", "truth.nii.gz"])?;
        let truth = folder.join("truth.nii.gz");

        let found = find_images(std::slice::from_ref(&folder), 1, None)?;
        assert_eq!(found.images.len(), 1);
        assert_eq!(found.left_out, [folder.join("task01_seg01.nii.gz"), truth.clone()]);

        let named = find_images(&[folder.clone(), truth.clone()], 1, None)?;
        assert_eq!((named.images.len(), named.left_out.len()), (2, 1));

        fs::remove_file(folder.join("image.nii.gz"))?;
        let error = find_images(std::slice::from_ref(&folder), 1, None).unwrap_err().to_string();
        assert!(error.contains("such as task01_seg01.nii.gz; name those files"), "{error}");
        assert_eq!(ids(&[truth])?, [one("truth")]);
        Ok(())
    }

    #[test]
    fn the_layout_of_the_data_says_what_else_is_a_label_map() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        touch(root.path(), &["21_training.tif", "21_manual1.tif"])?;
        let pairs = |image: &str, label: &str| -> anyhow::Result<Pairs> {
            let patterns = |text: &str| Ok::<_, Error>(Patterns::new([Pattern::new(text)?]));
            Ok(Pairs { image: patterns(image)?, label: patterns(label)?, ..Pairs::default() })
        };
        let count = |layout: &Pairs| -> anyhow::Result<usize> {
            Ok(find_images(&[root.path().to_owned()], 1, Some(layout))?.images.len())
        };

        assert_eq!(count(&pairs("images/{id}_training.tif", "1st/{id}_manual1.tif")?)?, 1);
        // Names that images have, too, say nothing.
        assert_eq!(count(&pairs("images/{id}.tif", "masks/{id}.tif")?)?, 2);
        Ok(())
    }
}
