use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use volume::Label;

use super::dataset_json::{DatasetJson, Listed, Paths};
use super::index::{Entry, Index, no_image};
use super::pattern::Pattern;
use super::reading::{ImageRules, LabelGeometry, LabelRules};
use super::values::{Values, Wording};
use super::{expect_data_folder, expect_folder, name_of};
use crate::problem::{Problem, ProblemKind, Severity};
use crate::{Case, Dataset, Description, Error, Layout, Result, format};

/// A folder in the raw layout of nnU-Net v2, of its predecessor, or of the Medical Segmentation
/// Decathlon.
///
/// ```text
/// Dataset004_Hippocampus
/// ├── dataset.json
/// ├── imagesTr/hippocampus_001_0000.nii.gz    channel 0 of case hippocampus_001
/// └── labelsTr/hippocampus_001.nii.gz
/// ```
///
/// Cases are those that `dataset.json` lists (under `dataset` or `training`), else those that have
/// an image. A single file may hold all channels, as in the decathlon. Labels are hard; classes
/// come in the order of their values or, where some are lists of values (regions), in the order of
/// the file. A case without a file in `labelsTr` has no label. For TIFF, `CASE.json` beside the
/// image may state its `spacing`.
///
/// Not read: `overwrite_image_reader_writer`. Every format is read as [`read_image`] does.
///
/// [`read_image`]: crate::read_image
///
/// # Source
///
/// *nnU-Net dataset format*, `documentation/dataset_format.md` of
/// [MIC-DKFZ/nnUNet](https://github.com/MIC-DKFZ/nnUNet), version 2; Antonelli et al.: *The Medical
/// Segmentation Decathlon*, Nature Communications 13, 2022.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NnunetRaw {
    /// The folder with the images.
    pub images: String,
    /// The folder with the labels.
    pub labels: String,
    /// Which cases belong together: a pattern that identifiers are matched with, in which
    /// `{group}` stands for what they share, as in `{group}_slice*`.
    pub group: Option<Pattern>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for NnunetRaw {
    fn default() -> Self {
        Self {
            images: "imagesTr".to_owned(),
            labels: "labelsTr".to_owned(),
            group: None,
            label_geometry: LabelGeometry::default(),
        }
    }
}

impl Layout for NnunetRaw {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        expect_data_folder(root)?;
        let path = root.join("dataset.json");
        if !path.exists() {
            return Err(Error::Description {
                path,
                cause: "there is no such file".to_owned(),
                remedy: "give a folder in nnU-Net's raw layout, or name another layout".to_owned(),
            });
        }
        let json = DatasetJson::read(&path, name_of(root))?;
        let mut folder = Folder {
            root,
            images: self.list(root, &self.images)?,
            labels: self.list(root, &self.labels)?,
            channels: json.description.channels.len(),
            index: Index::default(),
        };
        // The lists are those of the training cases.
        let training = self.images == Self::default().images;
        match (&json.named, &json.listed) {
            (Some(named), _) if training => folder.add_named(named)?,
            (None, Some(listed)) if training => folder.add_listed(listed)?,
            _ => folder.add_all(json.file_ending.as_deref())?,
        }
        folder.strays();
        let mut index = folder.index;
        if index.cases.is_empty() {
            return Err(Error::NoCases {
                path: root.join(&self.images),
                pattern: format!("CASE_0000{}", json.file_ending.as_deref().unwrap_or(".nii.gz")),
                remedy: "check the folder and `file_ending` in dataset.json".to_owned(),
            });
        }
        for (id, entry) in &mut index.cases {
            entry.group = self.group_of(id);
        }
        index.ids = index.cases.keys().cloned().collect();
        if let Some(announced) = json.num_training
            && training
            && announced != index.ids.len()
        {
            let message = format!(
                "{} announces {announced} training cases, but there are {}; correct numTraining, \
                 or look for the others",
                path.display(),
                index.ids.len()
            );
            let problem = Problem::new(Severity::Warning, ProblemKind::Description, message);
            index.problems.push(problem.of_file(&path));
        }
        let images = ImageRules {
            channels: json.description.channels.len(),
            spacing: None,
            slices_are_channels: false,
        };
        let labels = LabelRules {
            values: Values::new(&json.description, json.ignore_value, Wording::DatasetJson)?,
            threshold: None,
            geometry: self.label_geometry,
        };
        Ok(Box::new(NnunetFolder { description: json.description, index, images, labels }))
    }
}

impl NnunetRaw {
    /// The names of the files in a folder, sorted; none where there is no such folder.
    fn list(&self, root: &Path, folder: &str) -> Result<BTreeMap<String, PathBuf>> {
        let path = root.join(folder);
        if !path.is_dir() && folder == self.labels {
            return Ok(BTreeMap::new());
        }
        expect_folder(
            &path,
            "put the images there, or name their folder with the setting `images`",
        )?;
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(&path).map_err(Error::reading(&path))? {
            let entry = entry.map_err(Error::reading(&path))?;
            if let Ok(name) = entry.file_name().into_string()
                && !name.starts_with('.')
                && entry.path().is_file()
            {
                names.insert(name, entry.path());
            }
        }
        Ok(names)
    }

    fn group_of(&self, id: &str) -> String {
        let shared = self.group.as_ref().and_then(|group| group.captures(id)?.remove("group"));
        shared.unwrap_or_else(|| id.to_owned())
    }
}

/// A folder while its cases are gathered.
struct Folder<'a> {
    root: &'a Path,
    images: BTreeMap<String, PathBuf>,
    labels: BTreeMap<String, PathBuf>,
    channels: usize,
    index: Index,
}

impl Folder<'_> {
    fn add_named(&mut self, named: &[(String, Listed)]) -> Result<()> {
        for (id, listed) in named {
            let images = match &listed.images {
                Paths::One(path) => vec![self.root.join(path)],
                Paths::Several(paths) => paths.iter().map(|path| self.root.join(path)).collect(),
            };
            let label = listed.label.as_ref().map(|path| self.root.join(path));
            self.add(id, images, label)?;
        }
        Ok(())
    }

    /// The first generation lists `imagesTr/CASE.nii.gz`, where that file may be divided into
    /// `imagesTr/CASE_0000.nii.gz` and so on.
    fn add_listed(&mut self, listed: &[Listed]) -> Result<()> {
        for Listed { images, label } in listed {
            let (Paths::One(image), label) = (images, label) else {
                return self.refuse("a case under `training` names several images");
            };
            let image = self.root.join(image);
            let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (id, ending) = split_ending(&name);
            let divided = image.with_file_name(format!("{id}_0000{ending}"));
            let images = if image.is_file() || !divided.is_file() {
                vec![image]
            } else {
                self.divided(&divided, id, ending)
            };
            self.add(id, images, label.as_ref().map(|label| self.root.join(label)))?;
        }
        Ok(())
    }

    fn add_all(&mut self, ending: Option<&str>) -> Result<()> {
        let ending = ending.unwrap_or(".nii.gz");
        let names: Vec<String> = self.images.keys().cloned().collect();
        for name in &names {
            let Some(stem) = name.strip_suffix(ending) else { continue };
            let path = self.images[name].clone();
            let (id, images) = match channel_of(stem) {
                Some((id, 0)) => (id, self.divided(&path, id, ending)),
                // Later channels come with the first; alone, they show what is missing.
                Some((id, _)) if names.contains(&format!("{id}_0000{ending}")) => continue,
                Some((id, _)) => (id, vec![path.with_file_name(format!("{id}_0000{ending}"))]),
                None => (stem, vec![path]),
            };
            let known = self.index.cases.contains_key(id);
            if !known {
                let label = self.labels.get(&format!("{id}{ending}")).cloned();
                self.add(id, images, label)?;
            }
        }
        Ok(())
    }

    /// The files of all channels; or the first alone, where it holds all of them.
    fn divided(&self, first: &Path, id: &str, ending: &str) -> Vec<PathBuf> {
        let file = |channel: usize| first.with_file_name(format!("{id}_{channel:04}{ending}"));
        let whole = self.channels > 1 && !file(1).is_file();
        if whole && format::meta(first).is_ok_and(|meta| meta.channels > 1) {
            return vec![first.to_owned()];
        }
        (0..self.channels).map(file).collect()
    }

    fn add(&mut self, id: &str, images: Vec<PathBuf>, label: Option<PathBuf>) -> Result<()> {
        let labels = label.into_iter().map(|label| (None, label)).collect();
        let entry = Entry { group: id.to_owned(), images, labels };
        match self.index.cases.get(id) {
            None => {
                self.index.cases.insert(id.to_owned(), entry);
            }
            Some(known) if *known == entry => {
                let message = format!("dataset.json lists case {id} twice; remove one");
                let problem = Problem::new(Severity::Warning, ProblemKind::DuplicateCase, message);
                self.index.problems.push(problem.of_case(id));
            }
            Some(known) => {
                let (first, second) = (known.images[0].clone(), entry.images[0].clone());
                let remedy = "give one of them another name in dataset.json".to_owned();
                return Err(Error::DuplicateId { id: id.to_owned(), first, second, remedy });
            }
        }
        Ok(())
    }

    fn refuse<T>(&self, cause: &str) -> Result<T> {
        Err(Error::Description {
            path: self.root.join("dataset.json"),
            cause: cause.to_owned(),
            remedy: "list it under `dataset`, by its name".to_owned(),
        })
    }

    /// Files in the two folders that no case has a use for.
    fn strays(&mut self) {
        let used: BTreeSet<PathBuf> = self.index.cases.values().flat_map(Entry::files).collect();
        let unused = |files: &BTreeMap<String, PathBuf>| -> Vec<PathBuf> {
            files.values().filter(|&path| !used.contains(path)).cloned().collect()
        };
        let listed = "is not in the list of cases; add it to dataset.json, or remove the file";
        for path in unused(&self.images).iter().filter(|path| is_image(path)) {
            let message = format!("{} {listed}", path.display());
            let problem = Problem::new(Severity::Warning, ProblemKind::Unlisted, message);
            self.index.problems.push(problem.of_file(path));
        }
        for path in unused(&self.labels).iter().filter(|path| is_image(path)) {
            self.index.problems.push(no_image(path));
        }
    }
}

/// `case_0001` is channel 1 of `case`.
fn channel_of(stem: &str) -> Option<(&str, usize)> {
    let (id, number) = stem.rsplit_once('_')?;
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !id.is_empty()).then(|| number.parse().ok().map(|channel| (id, channel)))?
}

fn split_ending(name: &str) -> (&str, &str) {
    let end = name.strip_suffix(".gz").unwrap_or(name).rfind('.').unwrap_or(name.len());
    name.split_at(end)
}

/// Whether a name is not that of a description or a thumbnail database.
fn is_image(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let (_, ending) = split_ending(&name);
    !matches!(ending, ".json" | ".txt" | ".md" | ".csv" | ".db" | "")
}

/// An opened folder.
#[derive(Debug)]
struct NnunetFolder {
    description: Description,
    index: Index,
    images: ImageRules,
    labels: LabelRules,
}

impl Dataset for NnunetFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.index.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let entry = self.index.entry(id, &self.description)?;
        for path in entry.files() {
            if !path.is_file() {
                let remedy = "add it, or take the case out of dataset.json and its folders";
                let (id, remedy) = (id.to_owned(), remedy.to_owned());
                return Err(Error::Missing { id, path, remedy });
            }
        }
        let rules = ImageRules { spacing: spacing(id, &entry.images[0])?, ..self.images.clone() };
        let image = rules.read(id, &entry.images)?;
        let label = entry.labels.first().map(|(_, path)| self.labels.read(id, path, &image.grid));
        Ok(Case { id: id.to_owned(), image, label: label.transpose()?.map(Label::Hard) })
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.index.group(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.index.files(id)
    }

    fn problems(&self) -> &[Problem] {
        &self.index.problems
    }
}

/// The spacing that a file beside a TIFF image states, mm, `(z, y, x)`.
pub(crate) fn spacing(id: &str, image: &Path) -> Result<Option<[f64; 3]>> {
    #[derive(Deserialize)]
    struct Aside {
        spacing: [f64; 3],
    }

    let path = image.with_file_name(format!("{id}.json"));
    let is_tiff = image.extension().is_some_and(|ending| {
        ending.eq_ignore_ascii_case("tif") || ending.eq_ignore_ascii_case("tiff")
    });
    if !is_tiff || !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(Error::reading(&path))?;
    let aside: Aside = serde_json::from_str(&text).map_err(|error| Error::Description {
        path: path.clone(),
        cause: error.to_string(),
        remedy: "write it like {\"spacing\": [5.0, 1.0, 1.0]}, mm, z y x".to_owned(),
    })?;
    Ok(Some(aside.spacing))
}
