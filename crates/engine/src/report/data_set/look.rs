use data::{Case, Description};
use ndarray::Axis;
use preprocess::Agreement;
use volume::Label;

use crate::LabelSpace;
use crate::Result;
use crate::evaluate::Reference;
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
    /// With the `voxels` of each class, and at most so many `values` of each channel.
    pub(super) fn at(
        case: &Case,
        voxels: Option<&[f64]>,
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
        looked.volumes = voxels.iter().copied().flatten().map(|count| count * voxel).collect();
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
