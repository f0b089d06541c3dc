use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use candle_datasets::hub::FileReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::SerializedFileReader;
use serde::{Deserialize, Serialize};
use volume::Label;

use super::index::{Entry, Index};
use super::reading::{ImageRules, LabelGeometry, LabelRules};
use super::values::{Values, Wording};
use super::{Patterns, binary, expect_data_folder, name_of};
use crate::error::Action;
use crate::format::decode_bytes;
use crate::{Case, Class, Dataset, Description, Error, HowRead, Layout, Pattern, Result};

/// Parquet files as the Hugging Face hub keeps image segmentation sets: one row for each case, with
/// pictures (PNG, JPEG or TIFF) as bytes in the columns `image` and `label`, `mask` or `annotation`.
///
/// ```text
/// root
/// └── data/train-00000-of-00002.parquet      image: struct{bytes, path}, label: struct{bytes, path}
/// ```
///
/// A case is named by a column or, without one, by its file and its row there. Files are local:
/// downloading them is not done here.
///
/// The reader is that of candle-datasets. A damaged file is an error, but unlike other formats it
/// may cost up to 2 GiB of memory for a page that announces so much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parquet {
    /// The files: `data/train-*.parquet` for one split of a set that is divided already.
    pub files: Patterns,
    /// The column with the image.
    pub image: String,
    /// The column with the label; absent, the first of `label`, `mask`, `annotation` that there is.
    pub label: Option<String>,
    /// A column of texts that names each case.
    pub id: Option<String>,
    /// A column of texts that says which cases belong together.
    pub group: Option<String>,
    /// The names of the channels; empty, those of colours.
    pub channels: Vec<String>,
    /// The classes, background first, and the values that stand for them in labels.
    pub classes: Vec<Class>,
    /// The value that stands for "do not look here" in labels.
    pub ignore: Option<u16>,
    /// For masks that are pictures: what is brighter is 1, all else 0, before `classes` apply.
    pub threshold: Option<f32>,
    /// The spacing of all images, mm, `(z, y, x)`; absent, 1.
    pub spacing: Option<[f64; 3]>,
}

impl Default for Parquet {
    fn default() -> Self {
        let pattern = |text: &str| Pattern::new(text).expect("well formed");
        Self {
            files: Patterns::new([pattern("*.parquet"), pattern("data/*.parquet")]),
            image: "image".to_owned(),
            label: None,
            id: None,
            group: None,
            channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
            classes: binary(),
            ignore: None,
            threshold: None,
            spacing: None,
        }
    }
}

/// Where a case is.
#[derive(Clone, Copy, Debug)]
struct Row {
    group: usize,
    /// Within that group of rows.
    row: usize,
}

impl Layout for Parquet {
    fn how_read(&self) -> HowRead {
        HowRead { spacing: self.spacing, slices_are_channels: false }
    }

    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        expect_data_folder(root)?;
        let mut paths = Vec::new();
        for pattern in self.files.as_slice() {
            paths.extend(pattern.find(root)?.into_iter().map(|found| found.path));
        }
        let (mut index, mut rows) = (Index::default(), Vec::new());
        for path in &paths {
            self.list(path, &mut index, &mut rows)?;
        }
        if index.cases.is_empty() {
            return Err(Error::NoCases {
                path: root.to_owned(),
                pattern: self.files.as_slice().iter().map(ToString::to_string).collect(),
                remedy: "check the folder and the setting `files`".to_owned(),
            });
        }
        index.ids = index.cases.keys().cloned().collect();
        rows.sort_by(|(a, _): &(String, Row), (b, _)| a.cmp(b));

        let columns = table(&paths[0], |reader| Ok(columns(reader)))?;
        let label = match &self.label {
            Some(label) => Some(label.clone()),
            None => ["label", "mask", "annotation"]
                .into_iter()
                .find(|name| columns.iter().any(|path| path[0] == *name))
                .map(str::to_owned),
        };
        let ignore = self.ignore.and(u16::try_from(self.classes.len()).ok());
        let description = Description {
            name: name_of(root),
            channels: self.channels.clone(),
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
            geometry: LabelGeometry::Match,
        };
        let columns = (self.image.clone(), label);
        Ok(Box::new(ParquetFolder { description, index, rows, columns, images, labels }))
    }
}

impl Parquet {
    /// Adds the cases of a file.
    fn list(&self, path: &Path, index: &mut Index, rows: &mut Vec<(String, Row)>) -> Result<()> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let counts: Vec<usize> = table(path, |reader| {
            let groups = reader.metadata().row_groups().iter();
            groups.map(|group| usize::try_from(group.num_rows()).map_err(whatever)).collect()
        })?;
        let mut number = 0;
        for (group, count) in counts.into_iter().enumerate() {
            let column = |name: &Option<String>| match name {
                Some(name) => texts(path, name, group, count).map(Some),
                None => Ok(None),
            };
            let (ids, groups) = (column(&self.id)?, column(&self.group)?);
            for row in 0..count {
                let text = |column: &Option<Vec<String>>| column.as_ref().map(|it| it[row].clone());
                let id = text(&ids).unwrap_or_else(|| format!("{stem}_{number:06}"));
                let shared = text(&groups).unwrap_or_else(|| id.clone());
                let entry =
                    Entry { group: shared, images: vec![path.to_owned()], labels: Vec::new() };
                if let Some(other) = index.cases.insert(id.clone(), entry) {
                    return Err(Error::duplicate(id, &other.images[0], path));
                }
                rows.push((id, Row { group, row }));
                number += 1;
            }
        }
        Ok(())
    }
}

/// All cells of a column of texts in one group of rows.
fn texts(path: &Path, column: &str, group: usize, count: usize) -> Result<Vec<String>> {
    let cells = cells(path, &[column], Row { group, row: 0 }, count)?;
    let text = |cell: Option<Vec<u8>>| String::from_utf8(cell.unwrap_or_default());
    let texts: std::result::Result<_, _> = cells.into_iter().map(text).collect();
    texts.map_err(|_| Error::Unsupported {
        action: Action::Read,
        path: path.to_owned(),
        cause: format!("column {column} is no text"),
        remedy: "name another column".to_owned(),
    })
}

/// An opened folder of Parquet files.
#[derive(Debug)]
struct ParquetFolder {
    description: Description,
    index: Index,
    /// By identifier, sorted.
    rows: Vec<(String, Row)>,
    columns: (String, Option<String>),
    images: ImageRules,
    labels: LabelRules,
}

impl Dataset for ParquetFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.index.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let path = &self.index.entry(id, &self.description)?.images[0];
        let at = self.rows.binary_search_by(|(known, _)| known.as_str().cmp(id));
        let (_, row) = self.rows[at.expect("each entry of the index has a row")];
        let (image_column, label_column) = &self.columns;
        let place = |column: &str| PathBuf::from(format!("{} ({id}, {column})", path.display()));

        let bytes = cell(path, &[image_column, "bytes"], row)?;
        let bytes = bytes.ok_or_else(|| Error::Missing {
            id: id.to_owned(),
            path: place(image_column),
            remedy: "the file must hold the bytes of pictures, not only their paths".to_owned(),
        })?;
        let at = place(image_column);
        let decoded = decode_bytes(&at, &bytes)?;
        let image = self.images.one(&at, decoded, self.images.channels)?;

        let Some(column) = label_column else {
            return Ok(Case { id: id.to_owned(), image, label: None });
        };
        let at = place(column);
        let label = match cell(path, &[column, "bytes"], row)? {
            None => None,
            Some(bytes) if self.labels.threshold.is_some() => {
                Some(self.labels.intensities(id, &at, decode_bytes(&at, &bytes)?, &image.grid)?)
            }
            Some(bytes) => {
                Some(self.labels.numbers(id, &at, decode_bytes(&at, &bytes)?, &image.grid)?)
            }
        };
        Ok(Case { id: id.to_owned(), image, label: label.map(Label::Hard) })
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.index.group(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.index.files(id)
    }
}

type Reader = SerializedFileReader<File>;

/// What a part of the reader said, as text.
type Said<T> = std::result::Result<T, String>;

#[expect(clippy::needless_pass_by_value, reason = "for use as a function of an error")]
fn whatever(error: impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Opens a file anew: its handle must not be shared between threads.
fn table<T>(path: &Path, read: impl FnOnce(&Reader) -> Said<T>) -> Result<T> {
    let file = File::open(path).map_err(Error::reading(path))?;
    // The reader is not hardened against damaged files, and may panic on one.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Reader::new(file).map_err(whatever).and_then(|reader| read(&reader))
    }));
    let outcome = outcome.unwrap_or_else(|_| Err("its pages make no sense".to_owned()));
    outcome.map_err(|cause| Error::Damaged { path: path.to_owned(), cause })
}

/// The paths of all columns, through the structs that they are in.
fn columns(reader: &Reader) -> Vec<Vec<String>> {
    let schema = reader.metadata().file_metadata().schema_descr();
    schema.columns().iter().map(|column| column.path().parts().to_vec()).collect()
}

/// The bytes in one cell; `None` where it is empty.
fn cell(path: &Path, column: &[&str], row: Row) -> Result<Option<Vec<u8>>> {
    Ok(cells(path, column, row, 1)?.remove(0))
}

/// The bytes in `count` cells of a column, from a row on; the rows before it are skipped, not
/// decoded.
fn cells(path: &Path, column: &[&str], row: Row, count: usize) -> Result<Vec<Option<Vec<u8>>>> {
    table(path, |reader| {
        let columns = columns(reader);
        // A column may be bytes, or a struct that has them.
        let found = columns.iter().position(|parts| parts == column);
        let found = found.or_else(|| columns.iter().position(|parts| parts == &column[..1]));
        let Some(found) = found else {
            let names: Vec<String> = columns.iter().map(|parts| parts.join(".")).collect();
            return Err(format!("it has no column {}, but {}", column.join("."), names.join(", ")));
        };
        let group = reader.get_row_group(row.group).map_err(whatever)?;
        let descriptor = group.metadata().column(found).column_descr_ptr();
        if descriptor.max_rep_level() > 0 {
            return Err(format!("column {} holds lists", column.join(".")));
        }
        let ColumnReader::ByteArrayColumnReader(mut cells) =
            group.get_column_reader(found).map_err(whatever)?
        else {
            return Err(format!("column {} holds no bytes", column.join(".")));
        };
        take(&mut cells, descriptor.max_def_level(), row.row, count)
    })
}

fn take(
    cells: &mut ColumnReaderImpl<ByteArrayType>,
    present: i16,
    row: usize,
    count: usize,
) -> Said<Vec<Option<Vec<u8>>>> {
    let mut read = cells.skip_records(row).map_err(whatever)?;
    let (mut values, mut levels) = (Vec::<ByteArray>::new(), Vec::new());
    while read < row + count {
        let left = row + count - read;
        let (records, ..) =
            cells.read_records(left, Some(&mut levels), None, &mut values).map_err(whatever)?;
        if records == 0 {
            return Err("it ends before the row that its header announces".to_owned());
        }
        read += records;
    }
    let mut values = values.iter().map(|value| value.data().to_vec());
    if present == 0 {
        return Ok(values.map(Some).collect());
    }
    // A value is there only where a cell is not empty.
    Ok(levels.iter().map(|&level| (level == present).then(|| values.next()).flatten()).collect())
}
