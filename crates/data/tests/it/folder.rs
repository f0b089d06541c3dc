//! Small data sets in temporary folders.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array3, Array4};
use sconce_data::{
    Case, Dataset, Layout as _, LayoutConfig, write_image, write_label_map, write_soft_labels,
};
use tempfile::TempDir;
use volume::{Grid, Image, Label, LabelMap, SoftLabelMap};

/// A folder that is gone after the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn place(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn text(&self, name: &str, text: &str) -> &Self {
        fs::write(self.place(name), text).unwrap();
        self
    }

    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) -> &Self {
        fs::write(self.place(name), bytes).unwrap();
        self
    }

    /// An image of `channels` channels, whose values tell channel, slice, row and column.
    pub(crate) fn image(&self, name: &str, grid: &Grid, channels: usize) -> &Self {
        let [d, h, w] = grid.size;
        let data = Array4::from_shape_fn((channels, d, h, w), |(c, z, y, x)| value(c, z, y, x));
        write_image(self.place(name), &Image::new(grid.clone(), data).unwrap()).unwrap();
        self
    }

    /// A label map with these labels in standard order.
    pub(crate) fn labels(&self, name: &str, grid: &Grid, labels: &[u16]) -> &Self {
        let data = Array3::from_shape_vec(grid.size, labels.to_vec()).unwrap();
        write_label_map(self.place(name), &LabelMap::new(grid.clone(), data).unwrap()).unwrap();
        self
    }

    /// Class probabilities, the foreground's in standard order.
    pub(crate) fn soft(&self, name: &str, grid: &Grid, foreground: &[f32]) -> &Self {
        let [d, h, w] = grid.size;
        let both = foreground.iter().map(|p| 1.0 - p).chain(foreground.iter().copied()).collect();
        let data = Array4::from_shape_vec((2, d, h, w), both).unwrap();
        write_soft_labels(self.place(name), &SoftLabelMap::new(grid.clone(), data).unwrap())
            .unwrap();
        self
    }

    /// Opens the folder with settings in TOML, such as `[pairs]`.
    pub(crate) fn open(&self, settings: &str) -> Box<dyn Dataset> {
        self.try_open(settings).unwrap()
    }

    pub(crate) fn try_open(&self, settings: &str) -> sconce_data::Result<Box<dyn Dataset>> {
        toml::from_str::<LayoutConfig>(settings).unwrap().open(self.root())
    }

    /// The message that opening ends with.
    pub(crate) fn refusal(&self, settings: &str) -> String {
        one_line(&self.try_open(settings).unwrap_err())
    }
}

pub(crate) fn value(c: usize, z: usize, y: usize, x: usize) -> f32 {
    let digits = u16::try_from(60 * c + 13 * z + 4 * y + x).unwrap();
    f32::from(digits)
}

/// A message that must be one line.
pub(crate) fn one_line(error: &sconce_data::Error) -> String {
    let message = error.to_string();
    assert!(!message.contains('\n') && message.contains(';'), "{message}");
    message
}

/// The message that reading a case ends with.
pub(crate) fn unreadable(dataset: &dyn Dataset, id: &str) -> String {
    one_line(&dataset.read(id).unwrap_err())
}

/// The only label of a case, in standard order.
pub(crate) fn hard(case: &Case) -> Vec<u16> {
    match &case.label {
        Some(Label::Hard(labels)) => labels.data.iter().copied().collect(),
        other => panic!("{other:?} is not one label map"),
    }
}

/// All masks of a case, in standard order.
pub(crate) fn masks(case: &Case) -> Vec<Vec<u16>> {
    match &case.label {
        Some(Label::Raters(masks)) => {
            masks.iter().map(|mask| mask.data.iter().copied().collect()).collect()
        }
        other => panic!("{other:?} are not the masks of raters"),
    }
}

/// A slice of 2 × 3 pixels of 1 mm.
pub(crate) fn slice() -> Grid {
    Grid::new([1, 2, 3], [1.0; 3]).unwrap()
}

/// A volume of 2 × 2 × 3 voxels of 5 × 2 × 1 mm.
pub(crate) fn block() -> Grid {
    Grid::new([2, 2, 3], [5.0, 2.0, 1.0]).unwrap()
}
