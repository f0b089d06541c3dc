use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Axis;
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use volume::{Grid, Image, Label, LabelMap, SoftLabelMap};

use crate::{Case, Dataset, Description, Error};

/// Is shown a case, and the voxels of each of its classes, if it has a label.
pub(super) type Look<'a> = dyn Fn(&Case, Option<&[f64]>) + Sync + 'a;

/// What a single look at a case shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    pub(super) grid: Grid,
    /// Of the intensities; cases that agree in it have the same image.
    pub(super) hash: u64,
    pub(super) channels: Vec<Intensity>,
    /// For each class the voxels that belong to it; `None` without a label.
    ///
    /// Of several raters the mean, of soft labels the sum of probabilities.
    pub(super) voxels: Option<Vec<f64>>,
    /// The number of masks: 1, or that of the raters; 0 without a label.
    pub(super) masks: usize,
}

/// The intensities of one channel.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intensity {
    #[serde(serialize_with = "to_bits", deserialize_with = "of_bits")]
    pub(super) minimum: f32,
    #[serde(serialize_with = "to_bits", deserialize_with = "of_bits")]
    pub(super) maximum: f32,
    pub(super) sum: f64,
    pub(super) sum_of_squares: f64,
    /// How many values are finite: all sums are over these.
    pub(super) finite: usize,
    /// The first value that is not, `(z, y, x)`, and how many there are.
    pub(super) non_finite: Option<([usize; 3], usize)>,
}

/// As it is, to the last bit: JSON knows no infinity, which is the least of no values.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn to_bits<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(value.to_bits())
}

fn of_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    u32::deserialize(deserializer).map(f32::from_bits)
}

/// Looks at every case, and shows those that can be read to `look`, on as many threads as there are; `progress` hears how many of how many are
/// done, from any thread.
pub(super) fn gather(
    dataset: &dyn Dataset,
    look: &Look<'_>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Result<Facts, Error>> {
    gather_of(dataset, dataset.ids(), look, progress)
}

/// The same of some cases.
pub(super) fn gather_of(
    dataset: &dyn Dataset,
    ids: &[impl AsRef<str> + Sync],
    look: &Look<'_>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Result<Facts, Error>> {
    let done = AtomicUsize::new(0);
    progress(0, ids.len());
    ids.par_iter()
        .map(|id| {
            let facts = Facts::of(dataset, id.as_ref(), look);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, ids.len());
            facts
        })
        .collect()
}

impl Facts {
    fn of(dataset: &dyn Dataset, id: &str, look: &Look<'_>) -> Result<Self, Error> {
        let case = dataset.read(id)?;
        let mut hasher = DefaultHasher::new();
        case.image.data.shape().hash(&mut hasher);
        for value in &case.image.data {
            value.to_bits().hash(&mut hasher);
        }
        let description = dataset.description();
        let (voxels, masks) = match &case.label {
            None => (None, 0),
            Some(Label::Hard(labels)) => (Some(count(labels, description)), 1),
            Some(Label::Soft(probabilities)) => (Some(sums(probabilities)), 1),
            Some(Label::Raters(masks)) => (Some(mean(masks, description)), masks.len()),
        };
        look(&case, voxels.as_deref());
        let channels = intensities(&case.image);
        Ok(Self { grid: case.image.grid, hash: hasher.finish(), channels, voxels, masks })
    }
}

fn intensities(image: &Image) -> Vec<Intensity> {
    image
        .data
        .axis_iter(Axis(0))
        .map(|channel| {
            let mut found = Intensity {
                minimum: f32::INFINITY,
                maximum: f32::NEG_INFINITY,
                sum: 0.0,
                sum_of_squares: 0.0,
                finite: 0,
                non_finite: None,
            };
            for ((z, y, x), &value) in channel.indexed_iter() {
                if !value.is_finite() {
                    found.non_finite.get_or_insert(([z, y, x], 0)).1 += 1;
                    continue;
                }
                found.minimum = found.minimum.min(value);
                found.maximum = found.maximum.max(value);
                found.sum += f64::from(value);
                found.sum_of_squares += f64::from(value).powi(2);
                found.finite += 1;
            }
            found
        })
        .collect()
}

/// The voxels of each class in a label map.
fn count(labels: &LabelMap, description: &Description) -> Vec<f64> {
    let mut counts = vec![0.0; 1 << 16];
    for &label in &labels.data {
        counts[usize::from(label)] += 1.0;
    }
    let regions = description.has_regions();
    let of_class = |(index, class): (usize, &crate::Class)| {
        if regions {
            class.values.iter().map(|&value| counts[usize::from(value)]).sum()
        } else {
            counts[index]
        }
    };
    description.classes.iter().enumerate().map(of_class).collect()
}

fn mean(masks: &[LabelMap], description: &Description) -> Vec<f64> {
    let mut mean = vec![0.0; description.classes.len()];
    for mask in masks {
        for (mean, count) in mean.iter_mut().zip(count(mask, description)) {
            *mean += count / masks.len() as f64;
        }
    }
    mean
}

fn sums(probabilities: &SoftLabelMap) -> Vec<f64> {
    let classes = probabilities.data.axis_iter(Axis(0));
    classes.map(|class| class.iter().map(|&p| f64::from(p)).sum()).collect()
}

/// The median, in place; the mean of the middle two of an even number; `None` of nothing.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
