use data::{Case, Description};
use ndarray::Axis;
use preprocess::Agreement;
use volume::Label;

use crate::LabelSpace;
use crate::Result;
use crate::evaluate::Reference;
use crate::label_space::foreground_labels;
use crate::report::{Picture, Snapshot};

/// What the page shows of a case.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    /// Of each channel, values from all over the image, each as often as it occurs there.
    pub(super) intensities: Vec<Vec<f64>>,
    /// The same, of the foreground.
    pub(super) foreground: Vec<Vec<f64>>,
    /// Of each class, background first, ml; of several raters the mean, of soft labels the sum of
    /// probabilities. Empty without a label.
    pub(super) volumes: Vec<f64>,
    /// Mean Dice of all pairs of raters, over classes; `None` without several, or where no one drew anything.
    pub(super) agreement: Option<f64>,
}

impl Looked {
    /// With at most so many `values` of each channel.
    pub(super) fn at(
        case: &Case,
        description: &Description,
        space: &LabelSpace,
        values: usize,
    ) -> Self {
        let label = case.label.as_ref();
        let reference =
            label.and_then(|label| Reference::of(label, space.labels(), description.ignore).ok());
        let hard = reference.as_ref().map(|reference| &reference.hard.data);
        let is_foreground = |label: u16| label > 0 && Some(label) != description.ignore;
        let mut looked = Self::default();
        for channel in case.image.data.axis_iter(Axis(0)) {
            looked.intensities.push(thinned(channel.iter().copied(), values));
            let inside = hard.map(|hard| {
                let marked = channel.iter().zip(hard).filter(|(_, label)| is_foreground(**label));
                thinned(marked.map(|(value, _)| *value), values)
            });
            looked.foreground.push(inside.unwrap_or_default());
        }
        let voxel = case.image.grid.voxel_volume() / 1000.0;
        if let Some(label) = label {
            looked.volumes =
                voxels(label, description).into_iter().map(|count| count * voxel).collect();
        }
        if let Some(Label::Raters(masks)) = label {
            let masks: Vec<_> = masks.iter().map(|mask| mask.data.view()).collect();
            looked.agreement =
                Agreement::of(&masks, space.labels()).ok().and_then(|found| found.mean_dice());
        }
        looked
    }

    pub(super) fn has_foreground(&self) -> bool {
        self.volumes.iter().skip(1).any(|&volume| volume > 0.0)
    }
}

/// At most so many of the finite values, evenly from first to last.
fn thinned(values: impl Iterator<Item = f32>, most: usize) -> Vec<f64> {
    let all: Vec<f32> = values.filter(|value| value.is_finite()).collect();
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).map(f64::from).collect()
}

/// Voxels of each class.
fn voxels(label: &Label, description: &Description) -> Vec<f64> {
    let members = foreground_labels(&description.classes, description.has_regions());
    let of_map = |map: &volume::LabelMap| -> Vec<f64> {
        let mut found = vec![0.0; description.classes.len()];
        for (class, members) in members.iter().enumerate() {
            found[class + 1] =
                map.data.iter().filter(|label| members.contains(label)).count() as f64;
        }
        found[0] = map.data.iter().filter(|label| **label == 0).count() as f64;
        found
    };
    match label {
        Label::Hard(map) => of_map(map),
        Label::Soft(soft) => {
            let classes = soft.data.axis_iter(Axis(0));
            classes.map(|class| class.iter().map(|&p| f64::from(p)).sum()).collect()
        }
        Label::Raters(masks) => {
            let mut mean = vec![0.0; description.classes.len()];
            for mask in masks {
                for (mean, count) in mean.iter_mut().zip(of_map(mask)) {
                    *mean += count / masks.len() as f64;
                }
            }
            mean
        }
    }
}

/// The slice of a case with most foreground, and what was drawn on it.
pub(super) fn picture(
    case: &Case,
    description: &Description,
    space: &LabelSpace,
) -> Result<Picture> {
    let nothing = || volume::LabelMap {
        grid: case.image.grid.clone(),
        data: ndarray::Array3::zeros(case.image.grid.size),
    };
    let reference = match &case.label {
        Some(label) => Reference::of(label, space.labels(), description.ignore)
            .map_err(|error| error.in_case(&case.id))?,
        None => Reference::hard(nothing()),
    };
    let snapshot = Snapshot {
        title: &case.id,
        caption: "",
        image: &case.image,
        reference: &reference,
        labels: None,
        probabilities: None,
        channels: &description.channels,
        classes: if case.label.is_some() { &description.classes } else { &[] },
        regions: description.has_regions(),
        raters: &description.raters,
    };
    snapshot.picture().map_err(|error| error.in_case(&case.id))
}
