//! The slice of a case that says most, as a picture.

use data::{Class, Dataset};
use ndarray::{Array2, Array3, ArrayView3, ArrayView4, Axis, s};
use volume::{Grid, Image, Label, LabelMap, Orientation, SoftLabelMap};

use super::{Contour, Exemplar, MEAN, Picture, Role, exemplars, primary, text, value, window};
use crate::evaluate::{Evaluation, Reference};
use crate::label_space::foreground_labels;
use crate::{LabelSpace, Predictor, Result};

/// A case with what is known of it and what was predicted, all on one grid.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The heading of the picture.
    pub title: &'a str,
    /// What is said beneath, before the place of the slice.
    pub caption: &'a str,
    /// The image.
    pub image: &'a Image,
    /// What it was scored against, and the label as it was drawn.
    pub reference: &'a Reference,
    /// The predicted classes; `None` where nothing was predicted.
    pub labels: Option<&'a LabelMap>,
    /// The predicted probabilities, where they are to be shown.
    pub probabilities: Option<&'a SoftLabelMap>,
    /// The names of the channels.
    pub channels: &'a [String],
    /// The classes, background first.
    pub classes: &'a [Class],
    /// Whether classes may overlap, so that labels are those of their
    /// [values](data::Class::values).
    pub regions: bool,
    /// The names of the raters, where there are several.
    pub raters: &'a [String],
}

impl Snapshot<'_> {
    /// The slice with most of the reference's foreground; where there is none, with most of what
    /// was predicted; else the middle one.
    ///
    /// Slices are taken along the axis of the thickest voxels, or else along the body, and shown as
    /// radiologists look at them: from the feet, from the front or from the left, the patient's
    /// right or front on the left. Photographs, which lie nowhere in a patient, are shown as they
    /// are. Where foreground is small, the picture is cut to its neighborhood.
    ///
    /// # Errors
    ///
    /// Where the parts have different sizes.
    pub fn picture(&self) -> Result<Picture> {
        let grid = &self.image.grid;
        let nowhere = Grid::new(grid.size, grid.spacing).is_ok_and(|plain| plain == *grid);
        let photograph = grid.is_planar() && nowhere;
        let way = Orientation::of(grid);
        let target = way.target();
        let labels = self.labels.map(|labels| way.apply(labels).data);
        let hard = way.apply(&self.reference.hard).data;
        let ignored = self.reference.ignore;
        let foreground = |label: u16| label > 0 && Some(label) != ignored;
        let axis = slice_axis(target.size, target.spacing);
        let slice = fullest(&hard, axis, foreground)
            .or_else(|| fullest(labels.as_ref()?, axis, foreground))
            .unwrap_or(target.size[axis] / 2);

        let view = View { axis: Axis(axis), slice, flipped: !photograph };
        let labels = labels.map(|labels| view.of(&labels.view()));
        let hard = view.of(&hard.view());
        let raters: Vec<Array2<u16>> = match &self.reference.label {
            Label::Raters(masks) => {
                masks.iter().map(|mask| view.of(&way.apply(mask).data.view())).collect()
            }
            _ => Vec::new(),
        };
        let all = || raters.iter().chain(&labels).chain([&hard]);
        let cut = close_up(all().map(|mask| mask.mapv(foreground)));
        let cut = s![cut[0].0..cut[0].1, cut[1].0..cut[1].1];

        let gray = gray(&way.apply(self.image).data.view(), self.channels, view);
        let gray = window(&gray.slice(cut), None);
        let spacing: Vec<f64> = (0..3).filter(|&a| a != axis).map(|a| target.spacing[a]).collect();
        let place = if target.size[axis] > 1 {
            format!("{}slice {} of {}", self.separator(), slice + 1, target.size[axis])
        } else {
            String::new()
        };
        let caption = format!("{}{place}", self.caption);
        let mut picture = Picture::new(self.title, caption, gray, [spacing[0], spacing[1]])?;

        let several = self.classes.len() > 2;
        let foreground = foreground_labels(self.classes, self.regions);
        let named = foreground.iter().zip(self.classes.iter().skip(1));
        for (at, (members, class)) in named.enumerate() {
            let lines = raters
                .iter()
                .enumerate()
                .map(|(rater, mask)| (self.rater(rater), Role::Rater, mask))
                .chain([("reference".to_owned(), Role::Reference, &hard)])
                .chain(labels.iter().map(|it| ("prediction".to_owned(), Role::Prediction, it)));
            for (name, role, mask) in lines {
                let name = if several { format!("{}, {name}", class.name) } else { name };
                let mask = mask.slice(cut).mapv(|label| members.contains(&label));
                picture = picture.with_contour(Contour { name, role, class: at, mask })?;
            }
        }
        let Some(probabilities) = self.probabilities else { return Ok(picture) };
        let background = way.apply(probabilities).data.index_axis(Axis(0), 0).to_owned();
        let background = view.of(&background.view());
        picture.with_probability(background.slice(cut).mapv(|background| 1.0 - background))
    }

    fn separator(&self) -> &'static str {
        if self.caption.is_empty() { "" } else { ", " }
    }

    fn rater(&self, index: usize) -> String {
        match self.raters.get(index) {
            Some(name) if name.to_lowercase().contains("rater") => name.clone(),
            Some(name) => format!("rater {name}"),
            None => format!("rater {}", index + 1),
        }
    }
}

/// Pictures of the [`exemplars`] of an evaluation, predicted once more.
///
/// # Errors
///
/// Where a case cannot be read or predicted; the error names it.
pub fn pictures(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    evaluation: &Evaluation,
) -> Result<Vec<Picture>> {
    let (config, description) = (predictor.config(), dataset.description());
    let space = LabelSpace::of(description)?;
    let mut pictures = Vec::new();
    for (exemplar, id) in exemplars(evaluation) {
        let case = dataset.read(id)?;
        let Some(label) = &case.label else { continue };
        let reference = Reference::of(label, space.labels(), description.ignore)
            .map_err(|error| error.in_case(id))?;
        let prediction = predictor.predict_case(&case)?;
        let (labels, probabilities) = (prediction.labels()?, prediction.probabilities().ok());
        let kind = match exemplar {
            Exemplar::Best => "Best",
            Exemplar::Median => "Median",
            Exemplar::Worst => "Worst",
        };
        let snapshot = Snapshot {
            title: &format!("{kind}: {id}"),
            caption: &score(evaluation, id),
            image: &case.image,
            reference: &reference,
            labels: Some(&labels),
            probabilities: probabilities.as_ref(),
            channels: &config.channels,
            classes: &config.classes,
            regions: config.has_regions(),
            raters: &description.raters,
        };
        pictures.push(snapshot.picture().map_err(|error| error.in_case(id))?);
    }
    Ok(pictures)
}

/// The score that exemplars are chosen by, of one case.
fn score(evaluation: &Evaluation, id: &str) -> String {
    let score = primary(std::slice::from_ref(evaluation)).unwrap_or_default();
    let case = evaluation.cases.iter().find(|case| case.id == id);
    let value = case.and_then(|case| value(case, MEAN, score));
    format!("{} {}", text::label(score), text::number(value))
}

/// The axis of the thickest voxels, if they are much thicker; else the first.
fn slice_axis(size: [usize; 3], spacing: [f64; 3]) -> usize {
    const THICK: f64 = 1.5;
    if let Some(flat) = (0..3).find(|&axis| size[axis] == 1) {
        return flat;
    }
    let thick = |&axis: &usize| {
        (0..3).all(|other| other == axis || spacing[axis] >= THICK * spacing[other])
    };
    (0..3).find(thick).unwrap_or(0)
}

/// The first slice with most foreground; `None` where there is none at all.
fn fullest(labels: &Array3<u16>, axis: usize, foreground: impl Fn(u16) -> bool) -> Option<usize> {
    let counts = labels
        .axis_iter(Axis(axis))
        .map(|slice| slice.iter().filter(|label| foreground(**label)).count());
    let mut best = (0, None);
    for (slice, count) in counts.enumerate() {
        if count > best.0 {
            best = (count, Some(slice));
        }
    }
    best.1
}

/// One slice, as it is looked at.
#[derive(Clone, Copy)]
struct View {
    axis: Axis,
    slice: usize,
    flipped: bool,
}

impl View {
    fn of<T: Clone>(self, volume: &ArrayView3<'_, T>) -> Array2<T> {
        let mut slice = volume.index_axis(self.axis, self.slice);
        if self.flipped {
            slice.invert_axis(Axis(0));
            slice.invert_axis(Axis(1));
        }
        slice.to_owned()
    }
}

/// The first channel, or the luminance of a colored picture (ITU-R BT.601).
fn gray(image: &ArrayView4<'_, f32>, channels: &[String], view: View) -> Array2<f32> {
    let channel = |index: usize| view.of(&image.index_axis(Axis(0), index));
    let names: Vec<String> = channels.iter().map(|name| name.to_lowercase()).collect();
    let colored = [["r", "g", "b"], ["red", "green", "blue"]].iter().any(|known| names == *known);
    if colored && image.shape()[0] == 3 {
        return channel(0) * 0.299 + channel(1) * 0.587 + channel(2) * 0.114;
    }
    channel(0)
}

/// Where the foreground of all masks lies, with as much again around it, at least 64 pixels along
/// each axis; the whole slice where that is most of it, or where there is no foreground.
fn close_up(masks: impl Iterator<Item = Array2<bool>>) -> [(usize, usize); 2] {
    const LEAST: usize = 64;
    let (mut low, mut high, mut size) = ([usize::MAX; 2], [0; 2], [0; 2]);
    for mask in masks {
        size = [mask.dim().0, mask.dim().1];
        for ((y, x), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            low = [low[0].min(y), low[1].min(x)];
            high = [high[0].max(y + 1), high[1].max(x + 1)];
        }
    }
    let whole = [(0, size[0]), (0, size[1])];
    if high[0] == 0 {
        return whole;
    }
    let side = (0..2).map(|axis| 2 * (high[axis] - low[axis])).fold(LEAST, usize::max);
    let cut: [(usize, usize); 2] = std::array::from_fn(|axis| {
        let middle = usize::midpoint(low[axis], high[axis]);
        let from = middle.saturating_sub(side / 2).min(size[axis].saturating_sub(side));
        (from, (from + side).min(size[axis]))
    });
    let most = |axis: usize| 4 * (cut[axis].1 - cut[axis].0) > 3 * size[axis];
    if most(0) && most(1) { whole } else { cut }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    fn classes(names: &[&str]) -> Vec<Class> {
        names.iter().map(|name| Class { name: (*name).to_owned(), values: Vec::new() }).collect()
    }

    /// A volume whose intensity grows to superior, anterior and right; a mark at one voxel.
    fn volume(spacing: [f64; 3], at: [usize; 3]) -> (Image, LabelMap) {
        let grid = Grid::new([4, 5, 6], spacing).unwrap();
        let data = Array4::from_shape_fn((1, 4, 5, 6), |(_, z, y, x)| (30 * z + 6 * y + x) as f32);
        let mut labels = Array3::zeros((4, 5, 6));
        labels[at] = 1;
        (Image::new(grid.clone(), data).unwrap(), LabelMap::new(grid, labels).unwrap())
    }

    fn snapshot(image: &Image, labels: &LabelMap) -> Picture {
        let reference = Reference::hard(labels.clone());
        let classes = classes(&["background", "organ"]);
        let snapshot = Snapshot {
            title: "a",
            caption: "",
            image,
            reference: &reference,
            labels: Some(labels),
            probabilities: None,
            regions: false,
            channels: &["CT".to_owned()],
            classes: &classes,
            raters: &[],
        };
        snapshot.picture().unwrap()
    }

    /// The place of the mark in a picture.
    fn mark(picture: &Picture) -> (usize, usize) {
        let mask = &picture.contours()[0].mask;
        mask.indexed_iter().find(|(_, inside)| **inside).unwrap().0
    }

    #[test]
    fn an_axial_slice_has_the_front_above_and_the_right_on_the_left() {
        let (image, labels) = volume([1.0; 3], [2, 4, 5]);

        let picture = snapshot(&image, &labels);

        // The most anterior, rightmost voxel: the upper left corner.
        assert_eq!(mark(&picture), (0, 0));
        assert_eq!(picture.gray().dim(), (5, 6));
        assert!(picture.gray()[[0, 0]] > picture.gray()[[4, 5]]);
        assert_eq!(picture.caption(), "slice 3 of 4");
    }

    #[test]
    fn slices_are_taken_along_the_thickest_voxels() {
        let (image, labels) = volume([1.0, 3.0, 1.0], [3, 1, 5]);

        let picture = snapshot(&image, &labels);

        // Coronal: superior above, the right on the left.
        assert_eq!((picture.gray().dim(), mark(&picture)), ((4, 6), (0, 0)));
        assert_eq!(picture.caption(), "slice 2 of 5");
    }

    #[test]
    fn photographs_stay_as_they_are() {
        let grid = Grid::new([1, 2, 3], [1.0; 3]).unwrap();
        let image = Image::new(grid.clone(), Array4::zeros((1, 1, 2, 3))).unwrap();
        let mut labels = Array3::zeros((1, 2, 3));
        labels[[0, 0, 1]] = 1;
        let labels = LabelMap::new(grid, labels).unwrap();

        let picture = snapshot(&image, &labels);

        assert_eq!(mark(&picture), (0, 1));
        assert_eq!(picture.caption(), "");
    }

    #[test]
    fn where_nothing_is_drawn_the_prediction_decides_and_then_the_middle() {
        let grid = Grid::new([5, 2, 2], [1.0; 3]).unwrap();
        let nothing = Array3::<u16>::zeros((5, 2, 2));
        let mut something = nothing.clone();
        something[[4, 0, 0]] = 2;

        assert_eq!(fullest(&nothing, 0, |label| label > 0), None);
        assert_eq!(fullest(&something, 0, |label| label > 0), Some(4));
        let image = Image::new(grid.clone(), Array4::zeros((1, 5, 2, 2))).unwrap();
        let picture = snapshot(&image, &LabelMap::new(grid, nothing).unwrap());
        assert_eq!(picture.caption(), "slice 3 of 5");
    }

    #[test]
    fn small_foreground_is_looked_at_closely() {
        let mask = |size: usize, at: usize| {
            let mut mask = Array2::from_elem((size, size), false);
            mask[[at, at]] = true;
            mask
        };

        let cut = |masks: Vec<Array2<bool>>| close_up(masks.into_iter());
        assert_eq!(cut(vec![mask(512, 256)]), [(224, 288); 2]);
        assert_eq!(cut(vec![mask(512, 0)]), [(0, 64); 2]);
        assert_eq!(cut(vec![mask(512, 511)]), [(448, 512); 2]);
        assert_eq!(cut(vec![mask(512, 10), mask(512, 300)]), [(0, 512); 2]);
        assert_eq!(cut(vec![mask(64, 3)]), [(0, 64); 2]);
        assert_eq!(cut(vec![Array2::from_elem((512, 512), false)]), [(0, 512); 2]);
    }
}
