use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::index::{Entry, Index};
use super::pairs::PairsFolder;
use super::reading::{ImageRules, LabelGeometry, LabelRules, channel_names};
use super::values::{Values, Wording};
use super::{binary, expect_data_folder, name_of};
use crate::{Class, Dataset, Description, Error, HowRead, Layout, Result};

/// A list of images and labels: a CSV file with a row for each case, as the study of losses out of
/// distribution has them.
///
/// ```text
/// root
/// ├── test.csv                          image_path,mask_path
/// ├── images/a.jpg                      images/a.jpg,masks/a.png
/// └── masks/a.png
/// ```
///
/// Paths are relative to the folder; where there is none of that name, leading folders of the path are left
/// out until there is, since lists often start where their authors did. A case is named by the column `id`, or by
/// the name of its image without ending. A row without a label is a case without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Csv {
    /// The list, relative to the folder.
    pub file: String,
    /// The column with the paths of images.
    pub image: String,
    /// The column with the paths of labels; empty, where there are images alone.
    pub label: String,
    /// The column that names cases; absent, by their images.
    pub id: Option<String>,
    /// The column that says which cases belong together; absent, each is its own.
    pub group: Option<String>,
    /// The names of the channels; empty, as the first image has them.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in label files.
    pub classes: Vec<Class>,
    /// The value that stands for "do not look here" in label files.
    pub ignore: Option<u16>,
    /// For masks that are pictures: what is brighter is 1, all else 0, before `classes` apply.
    pub threshold: Option<f32>,
    /// The spacing of all images, mm, `(z, y, x)`; absent, as files say, or 1 for pictures.
    pub spacing: Option<[f64; 3]>,
    /// What label files must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            file: "data.csv".to_owned(),
            image: "image_path".to_owned(),
            label: "mask_path".to_owned(),
            id: None,
            group: None,
            channels: Vec::new(),
            classes: binary(),
            ignore: None,
            threshold: None,
            spacing: None,
            label_geometry: LabelGeometry::default(),
        }
    }
}

impl Layout for Csv {
    fn how_read(&self) -> HowRead {
        HowRead { spacing: self.spacing, slices_are_channels: false }
    }

    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        expect_data_folder(root)?;
        let index = self.index(root)?;
        let first = &index.cases[&index.ids[0]];
        let channels = if self.channels.is_empty() {
            channel_names(&first.images[0], false)?
        } else {
            self.channels.clone()
        };
        let ignore = self.ignore.and(u16::try_from(self.classes.len()).ok());
        let description = Description {
            name: name_of(root),
            channels,
            classes: self.classes.clone(),
            raters: Vec::new(),
            ignore,
            regions_class_order: Vec::new(),
            independent: false,
        };
        let images = ImageRules {
            channels: description.channels.len(),
            spacing: self.spacing,
            slices_are_channels: false,
        };
        let labels = LabelRules {
            values: Values::new(&description, self.ignore, Wording::Settings)?,
            threshold: self.threshold,
            geometry: self.label_geometry,
        };
        Ok(Box::new(PairsFolder { description, index, images, labels, soft: false }))
    }
}

impl Csv {
    fn index(&self, root: &Path) -> Result<Index> {
        let path = root.join(&self.file);
        let wrong = |cause: String, remedy: &str| Error::Description {
            path: path.clone(),
            cause,
            remedy: remedy.to_owned(),
        };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong(
                    "there is no such list".to_owned(),
                    "name it with the setting `file`",
                ));
            }
            text => text.map_err(Error::reading(&path))?,
        };
        let broken = |error: csv::Error| wrong(error.to_string(), "write one row for each case");
        // Spreadsheets put a mark of their own at the beginning.
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let header = reader.headers().map_err(broken)?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let needed = |name: &str, setting: &str| {
            column(name).ok_or_else(|| {
                let columns: Vec<&str> = header.iter().collect();
                wrong(
                    format!("it has no column {name:?}, but {}", columns.join(", ")),
                    &format!("name the column with the setting `{setting}`"),
                )
            })
        };
        let image = needed(&self.image, "image")?;
        let label = if self.label.is_empty() { None } else { Some(needed(&self.label, "label")?) };
        let id = self.id.as_deref().map(|name| needed(name, "id")).transpose()?;
        let group = self.group.as_deref().map(|name| needed(name, "group")).transpose()?;

        let mut index = Index::default();
        for row in reader.records() {
            let row = row.map_err(broken)?;
            let field = |column: usize| row.get(column).filter(|field| !field.is_empty());
            let Some(image) = field(image) else {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(wrong(
                    format!("line {line} names no image"),
                    "name it, or remove the line",
                ));
            };
            let images = vec![resolved(root, image)];
            let id = id.and_then(field).map_or_else(|| stem(image), str::to_owned);
            let labels = label.and_then(field).map(|label| (None, resolved(root, label)));
            let entry = Entry {
                group: group.and_then(field).unwrap_or(&id).to_owned(),
                images,
                labels: labels.into_iter().collect(),
            };
            if let Some(other) = index.cases.insert(id.clone(), entry) {
                let second = &index.cases[&id].images[0];
                return Err(Error::duplicate(id.as_str(), &other.images[0], second));
            }
        }
        if index.cases.is_empty() {
            return Err(wrong(
                "it has no row but its header".to_owned(),
                "write one row for each case",
            ));
        }
        index.ids = index.cases.keys().cloned().collect();
        Ok(index)
    }
}

/// The file that a list means: with as few of its leading folders left out as possible.
fn resolved(root: &Path, listed: &str) -> PathBuf {
    let listed = Path::new(listed);
    let mut rest = listed.components();
    loop {
        let path = root.join(rest.as_path());
        if path.is_file() {
            return path;
        }
        if rest.next().is_none() || rest.as_path().as_os_str().is_empty() {
            return root.join(listed);
        }
    }
}

fn stem(image: &str) -> String {
    let name = image.rsplit(['/', '\\']).next().unwrap_or(image);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}
