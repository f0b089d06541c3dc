//! Published data sets, made of generated cases under the very names that the sets have.

mod lists;
mod pictures;
mod rules;
mod volumes;

use ndarray::{Array3, Array4};
use sconce_data::{Case, Dataset, LayoutConfig, Phantom, PhantomConfig, recognize};
use volume::{Grid, Image, Label, LabelMap, Orientation};

use crate::folder::Folder;

/// Small generated volumes of background, organ and lesions, each marked by three raters.
fn phantom() -> Phantom {
    let config = PhantomConfig { cases: 3, size: [6, 20, 20], raters: 3, ..Default::default() };
    Phantom::new(config).unwrap()
}

/// The intensities and the masks of a generated case.
fn made(phantom: &Phantom, number: usize) -> (Array4<f32>, Vec<Array3<u16>>) {
    let Case { image, label, .. } = phantom.read(&phantom.ids()[number]).unwrap();
    let Some(Label::Raters(masks)) = label else { panic!("there are raters") };
    (image.data, masks.iter().map(|mask| mask.data.clone()).collect())
}

/// Axes as CT files have them: slices along S, rows along P, columns along L.
fn supine() -> Grid {
    let direction = [[0., 0., -1.], [0., -1., 0.], [1., 0., 0.]];
    let origin = [150.0, 140.0, -812.5];
    Grid { origin, direction, ..Grid::new([6, 20, 20], [5.0, 0.75, 0.75]).unwrap() }
}

/// Axes as KiTS has them: slices come first in the file, and so last in an array.
fn kits() -> Grid {
    let direction = [[-1., 0., 0.], [0., -1., 0.], [0., 0., -1.]];
    Grid { direction, ..Grid::new([20, 20, 6], [0.75, 0.75, 5.0]).unwrap() }
}

impl Folder {
    /// An intensity image on the file's own axes, given on canonical ones.
    fn volume(&self, name: &str, grid: &Grid, data: &Array4<f32>) -> &Self {
        let way = Orientation::of(grid);
        let image = Image::new(way.target().clone(), data.clone()).unwrap();
        sconce_data::write_image(self.place(name), &way.inverse().apply(&image)).unwrap();
        self
    }

    /// The same of labels.
    fn mask(&self, name: &str, grid: &Grid, data: &Array3<u16>) -> &Self {
        let way = Orientation::of(grid);
        let labels = LabelMap::new(way.target().clone(), data.clone()).unwrap();
        sconce_data::write_label_map(self.place(name), &way.inverse().apply(&labels)).unwrap();
        self
    }

    /// What the folder is taken for without being told.
    fn recognized(&self) -> Option<&'static str> {
        recognize(self.root()).ok().map(|layout| layout.name())
    }

    /// Opens the folder as what it is taken for.
    fn open_recognized(&self) -> Box<dyn Dataset> {
        sconce_data::Layout::open(&recognize(self.root()).unwrap(), self.root()).unwrap()
    }
}

/// A case on canonical axes: its intensities, and the masks that it has.
fn canonical(case: &Case) -> (Array4<f32>, Vec<Array3<u16>>) {
    let way = Orientation::of(&case.image.grid);
    let masks = match &case.label {
        None => Vec::new(),
        Some(Label::Hard(labels)) => vec![labels],
        Some(Label::Raters(masks)) => masks.iter().collect(),
        Some(Label::Soft(_)) => panic!("no published set is soft"),
    };
    (way.apply(&case.image).data, masks.into_iter().map(|mask| way.apply(mask).data).collect())
}

/// All layouts of a single data set.
fn published() -> impl Iterator<Item = LayoutConfig> {
    let all = LayoutConfig::defaults().into_iter();
    all.filter(|layout| sconce_data::Layout::source(layout).is_some())
}
