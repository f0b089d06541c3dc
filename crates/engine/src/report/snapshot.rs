//! The slices of a case that say most, as pictures.

mod slices;

use data::{Class, Dataset};
use ndarray::{Array2, Array3, Axis, s};
use volume::{Grid, Image, Label, LabelMap, Orientation, SoftLabelMap};

use self::slices::{View, close_up, fullest, gray, slice_axis};
use super::picture::{Parts, Stack};
use super::{
    Contour, Exemplar, MEAN, Picture, Role, exemplars, primary, tables, text, value, window,
};
use crate::evaluate::{Evaluation, Reference, Scalings};
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
        let case = self.turned();
        self.along(&case, slice_axis(case.size, case.spacing), self.title)
    }

    /// [`Snapshot::picture`], with the case to leaf through where it has several slices, and then the
    /// other two planes, each with a title that says which.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn planes(&self) -> Result<Vec<Picture>> {
        const PLANES: [&str; 3] = ["axial", "coronal", "sagittal"];
        let case = self.turned();
        let first = slice_axis(case.size, case.spacing);
        let main = self.along(&case, first, self.title)?;
        if case.size.contains(&1) {
            return Ok(vec![main]);
        }
        let mut pictures = vec![main.with_stack(self.stack(&case))];
        for axis in (0..3).filter(|&axis| axis != first) {
            let title = format!("{}, {}", self.title, PLANES[axis]);
            pictures.push(self.along(&case, axis, &title)?);
        }
        Ok(pictures)
    }

    /// All parts along the axes of the body.
    fn turned(&self) -> Turned {
        let grid = &self.image.grid;
        let nowhere = Grid::new(grid.size, grid.spacing).is_ok_and(|plain| plain == *grid);
        let way = Orientation::of(grid);
        let raters = match &self.reference.label {
            Label::Raters(masks) => masks.iter().map(|mask| way.apply(mask).data).collect(),
            _ => Vec::new(),
        };
        let probability = self.probabilities.map(|probabilities| {
            let turned = way.apply(probabilities).data;
            turned.index_axis(Axis(0), 0).mapv(|background| 1.0 - background)
        });
        Turned {
            size: way.target().size,
            spacing: way.target().spacing,
            photograph: grid.is_planar() && nowhere,
            gray: gray(&way.apply(self.image).data.view(), self.channels),
            hard: way.apply(&self.reference.hard).data,
            labels: self.labels.map(|labels| way.apply(labels).data),
            raters,
            probability,
        }
    }

    fn foreground(&self, label: u16) -> bool {
        label > 0 && Some(label) != self.reference.ignore
    }

    /// The picture of the fullest slice along an axis.
    fn along(&self, case: &Turned, axis: usize, title: &str) -> Result<Picture> {
        let foreground = |label: u16| self.foreground(label);
        let slice = fullest(&case.hard, axis, foreground)
            .or_else(|| fullest(case.labels.as_ref()?, axis, foreground))
            .unwrap_or(case.size[axis] / 2);
        let view = View { axis: Axis(axis), slice, flipped: !case.photograph };
        let labels = case.labels.as_ref().map(|labels| view.of(&labels.view()));
        let hard = view.of(&case.hard.view());
        let raters: Vec<Array2<u16>> =
            case.raters.iter().map(|mask| view.of(&mask.view())).collect();
        let all = || raters.iter().chain(&labels).chain([&hard]);
        let cut = close_up(all().map(|mask| mask.mapv(foreground)));
        let cut = s![cut[0].0..cut[0].1, cut[1].0..cut[1].1];

        let gray = window(&view.of(&case.gray.view()).slice(cut), None);
        let spacing: Vec<f64> = (0..3).filter(|&a| a != axis).map(|a| case.spacing[a]).collect();
        let place = if case.size[axis] > 1 {
            format!("{}slice {} of {}", self.separator(), slice + 1, case.size[axis])
        } else {
            String::new()
        };
        let caption = format!("{}{place}", self.caption);
        let mut picture = Picture::new(title, caption, gray, [spacing[0], spacing[1]])?;

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
        let Some(probability) = &case.probability else { return Ok(picture) };
        picture.with_probability(view.of(&probability.view()).slice(cut).to_owned())
    }

    /// The case to leaf through, seen as its pictures are: each axis from its far end.
    fn stack(&self, case: &Turned) -> Stack {
        let classes = foreground_labels(self.classes, self.regions);
        let of = |label: u16| {
            let place = classes.iter().position(|members| members.contains(&label));
            place.map_or(0, |place| u8::try_from(place + 1).unwrap_or(u8::MAX))
        };
        let parts = Parts {
            spacing: case.spacing,
            gray: &case.gray,
            reference: &case.hard.mapv(of),
            prediction: case.labels.as_ref().map(|labels| labels.mapv(of)),
            probability: case.probability.as_ref(),
        };
        Stack::of(&parts)
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

/// All parts of a case along the axes of the body.
struct Turned {
    size: [usize; 3],
    spacing: [f64; 3],
    photograph: bool,
    gray: Array3<f32>,
    hard: Array3<u16>,
    labels: Option<Array3<u16>>,
    raters: Vec<Array3<u16>>,
    /// Of any foreground.
    probability: Option<Array3<f32>>,
}

/// Pictures of the worst cases of an evaluation in all planes, and of the other [`exemplars`] in one, predicted once more
/// and scaled as they were scored.
///
/// # Errors
///
/// [`Error::Settings`](crate::Error::Settings), where the predictor applies a calibration itself; else where a case
/// cannot be read or predicted; the error names it.
pub fn pictures(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    scalings: &Scalings,
    evaluation: &Evaluation,
) -> Result<Vec<Picture>> {
    let (config, description) = (predictor.config(), dataset.description());
    predictor.expect_uncalibrated()?;
    let space = LabelSpace::of(description)?;
    let mut pictures = Vec::new();
    for (kind, id, worst) in shown(evaluation) {
        let case = dataset.read(id)?;
        let Some(label) = &case.label else { continue };
        let reference = Reference::of(label, space.labels(), description.ignore)
            .map_err(|error| error.in_case(id))?
            .labelling(dataset.labelled(id));
        let prediction = predictor.predict_case(&case)?.scaled(scalings.of(id));
        let (labels, probabilities) = (prediction.labels()?, prediction.probabilities().ok());
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
        let found = if worst { snapshot.planes() } else { snapshot.picture().map(|one| vec![one]) };
        pictures.extend(found.map_err(|error| error.in_case(id))?);
    }
    Ok(pictures)
}

/// The cases that have pictures, the worst first, each with what it is and whether it is one of the worst.
fn shown(evaluation: &Evaluation) -> Vec<(&'static str, &str, bool)> {
    const NEXT: [&str; 2] = ["Second worst", "Third worst"];
    let others: Vec<_> =
        exemplars(evaluation).into_iter().filter(|(kind, _)| *kind != Exemplar::Worst).collect();
    let score = primary(std::slice::from_ref(evaluation)).unwrap_or_default();
    let mut cases = tables::ranked(evaluation);
    cases.retain(|case| value(case, MEAN, score).is_some());
    let worst =
        ["Worst"].into_iter().chain(NEXT).zip(cases).map(|(kind, case)| (kind, case.id.as_str()));
    let worst = worst.filter(|(_, id)| others.iter().all(|(_, other)| other != id));
    let mut shown: Vec<_> = worst.map(|(kind, id)| (kind, id, true)).collect();
    for (kind, id) in others.iter().rev() {
        let kind = if *kind == Exemplar::Best { "Best" } else { "Median" };
        shown.push((kind, *id, false));
    }
    shown
}

/// The score that exemplars are chosen by, of one case.
fn score(evaluation: &Evaluation, id: &str) -> String {
    let score = primary(std::slice::from_ref(evaluation)).unwrap_or_default();
    let case = evaluation.cases.iter().find(|case| case.id == id);
    let value = case.and_then(|case| value(case, MEAN, score));
    format!("{} {}", text::label(score), text::number(value))
}

#[cfg(test)]
mod tests;
