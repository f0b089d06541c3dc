use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};
use volume::{Image, Label};

use crate::crop::nonzero;
use crate::orient::Orientation;
use crate::real::{index, mean_and_deviation, single};
use crate::resize::range;

/// What a plan needs to know of a data set; built case by case, and small enough for a JSON file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    channels: usize,
    cases: Vec<CaseFingerprint>,
}

/// What a plan needs to know of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFingerprint {
    /// Channels of the image.
    pub channels: usize,
    /// Voxels along each axis of the file's array, `(z, y, x)`, without the empty margin.
    pub size: [usize; 3],
    /// Spacing along each axis of the file's array, mm.
    pub spacing: [f64; 3],
    /// How the file's axes are turned towards S, A and R.
    pub orientation: Orientation,
    /// The share of voxels that is left without the empty margin.
    pub kept: f64,
    /// The number of classes that the label shows there to be, background included; 0 without
    /// label.
    pub classes: usize,
    /// For each channel, the intensities of the foreground; empty where there is none.
    pub foreground: Vec<Intensities>,
}

/// A distribution of intensities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intensities {
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
    /// Values that split the distribution into equal parts, each in the middle of its part,
    /// ascending.
    pub quantiles: Vec<f32>,
}

impl Fingerprint {
    /// Of a data set of images with this many channels, without a case so far.
    pub fn new(channels: usize) -> Self {
        Self { channels, cases: Vec::new() }
    }

    /// Adds a case. Every case has the same weight, whatever its size; their order matters to
    /// rounding alone.
    ///
    /// Nothing is refused here: [`Plan::new`](crate::Plan::new) refuses a case with other channels,
    /// and [`Plan::prepare`](crate::Plan::prepare) a label that does not fit its image.
    pub fn add(&mut self, image: &Image, label: Option<&Label>) {
        self.push(CaseFingerprint::of(image, label));
    }

    /// Adds a case that was looked at elsewhere, on another thread for instance.
    pub fn push(&mut self, case: CaseFingerprint) {
        self.cases.push(case);
    }

    /// The number of channels of each image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The cases, in the order in which they were added.
    pub fn cases(&self) -> &[CaseFingerprint] {
        &self.cases
    }

    /// The foreground's intensities in a channel, over all cases; `None` where no case has any.
    pub fn foreground(&self, channel: usize) -> Option<Intensities> {
        let all: Vec<&Intensities> =
            self.cases.iter().filter_map(|case| case.foreground.get(channel)).collect();
        if all.is_empty() {
            return None;
        }
        let count = all.len() as f64;
        let mean = all.iter().map(|one| one.mean).sum::<f64>() / count;
        let spread = |one: &&Intensities| one.std.powi(2) + (one.mean - mean).powi(2);
        let mut quantiles: Vec<f32> =
            all.iter().flat_map(|one| one.quantiles.iter().copied()).collect();
        quantiles.sort_unstable_by(f32::total_cmp);
        Some(Intensities {
            mean,
            std: (all.iter().map(spread).sum::<f64>() / count).sqrt(),
            min: all.iter().map(|one| one.min).fold(f32::INFINITY, f32::min),
            max: all.iter().map(|one| one.max).fold(f32::NEG_INFINITY, f32::max),
            quantiles,
        })
    }
}

impl CaseFingerprint {
    /// Looks at a case.
    pub fn of(image: &Image, label: Option<&Label>) -> Self {
        let found = nonzero(image.data.view());
        let voxels = |size: [usize; 3]| size.iter().product::<usize>() as f64;
        let label = label.filter(|label| label.grid().size == image.grid.size);
        let foreground = label.map(foreground).filter(|mask| mask.iter().any(|&set| set));
        let foreground = foreground.map(|mask| {
            let values = image.data.axis_iter(Axis(0)).map(|channel| {
                let inside = channel.iter().zip(&mask).filter(|&(_, &set)| set);
                inside.map(|(&value, _)| value).collect()
            });
            values.filter_map(Intensities::of).collect()
        });
        Self {
            channels: image.channels(),
            size: found.region.size,
            spacing: image.grid.spacing,
            orientation: Orientation::canonical(&image.grid),
            kept: voxels(found.region.size) / voxels(image.grid.size),
            classes: label.map_or(0, classes),
            foreground: foreground.unwrap_or_default(),
        }
    }
}

impl Intensities {
    /// How many quantiles describe a case: half a percent each.
    const PARTS: usize = 200;

    /// Of some values; `None` of none.
    fn of(mut values: Vec<f32>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f32::total_cmp);
        let (mean, std) = mean_and_deviation(values.iter().copied());
        let (min, max) = range(values.iter());
        let part = |i: usize| (i as f64 + 0.5) / Self::PARTS as f64;
        let quantiles = (0..Self::PARTS).map(|i| single(quantile(&values, part(i)))).collect();
        Some(Self { mean, std, min, max, quantiles })
    }

    /// The value that a share `q` of the distribution stays below.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.quantiles, q)
    }
}

/// The value below which a share `q` of sorted values lies, each value being the middle of its
/// part.
fn quantile(sorted: &[f32], q: f64) -> f64 {
    let last = (sorted.len() - 1) as f64;
    let position = (q * sorted.len() as f64 - 0.5).clamp(0.0, last);
    let (low, high) = (index(position.floor()), index(position.ceil()));
    let (low_value, high_value) = (f64::from(sorted[low]), f64::from(sorted[high]));
    low_value + (high_value - low_value) * position.fract()
}

/// Where at least half of a label is foreground.
fn foreground(label: &Label) -> Array3<bool> {
    match label {
        Label::Hard(labels) => labels.data.mapv(|label| label > 0),
        Label::Soft(soft) => soft.data.index_axis(Axis(0), 0).mapv(|background| background < 0.5),
        Label::Raters(masks) => {
            let mut votes: Array3<usize> = Array3::zeros(masks[0].grid.size);
            for mask in masks {
                votes.zip_mut_with(&mask.data, |votes, &label| *votes += usize::from(label > 0));
            }
            votes.mapv(|votes| 2 * votes >= masks.len())
        }
    }
}

fn classes(label: &Label) -> usize {
    let most = |labels: &Array3<u16>| labels.iter().copied().max().map_or(0, usize::from) + 1;
    match label {
        Label::Hard(labels) => most(&labels.data),
        Label::Soft(soft) => soft.classes(),
        Label::Raters(masks) => masks.iter().map(|mask| most(&mask.data)).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use volume::{Grid, LabelMap};

    use super::*;

    /// A line of the intensities 1 to `length`, all of it foreground, after two empty voxels.
    fn line(length: u16) -> anyhow::Result<(Image, Label)> {
        let size = [1, 1, usize::from(length) + 2];
        let grid = Grid::new(size, [1.0, 1.0, 0.5])?;
        let data =
            Array3::from_shape_fn(size, |(_, _, x)| f32::from(u8::from(x > 1)) * (x as f32 - 1.0));
        let label = LabelMap::new(grid.clone(), data.mapv(|v| u16::from(v > 0.0)))?;
        let [d, h, w] = size;
        Ok((Image::new(grid, data.into_shape_with_order((1, d, h, w))?)?, Label::Hard(label)))
    }

    #[test]
    fn a_case_is_described_without_its_margin() -> anyhow::Result<()> {
        let (image, label) = line(6)?;

        let case = CaseFingerprint::of(&image, Some(&label));

        assert_eq!((case.size, case.kept, case.classes), ([1, 1, 6], 0.75, 2));
        let Intensities { mean, std, min, max, .. } = case.foreground[0];
        approx::assert_abs_diff_eq!(
            [mean, std].as_slice(),
            [3.5, (35.0f64 / 12.0).sqrt()].as_slice()
        );
        assert_eq!((min, max), (1.0, 6.0));
        Ok(())
    }

    #[test]
    fn quantiles_of_a_line_are_its_values() -> anyhow::Result<()> {
        let mut fingerprint = Fingerprint::new(1);
        let (image, label) = line(1000)?;
        fingerprint.add(&image, Some(&label));
        fingerprint
            .add(&Image::new(image.grid.clone(), Array4::zeros(image.data.raw_dim()))?, None);

        let found = fingerprint.foreground(0).ok_or_else(|| anyhow::anyhow!("no foreground"))?;

        // Half a percent of 1 … 1000 lies below 5.5, and above 995.5.
        approx::assert_abs_diff_eq!(found.quantile(0.005), 5.5, epsilon = 0.1);
        approx::assert_abs_diff_eq!(found.quantile(0.5), 500.5, epsilon = 0.1);
        approx::assert_abs_diff_eq!(found.quantile(0.995), 995.5, epsilon = 0.1);
        approx::assert_abs_diff_eq!(found.std, (999_999.0f64 / 12.0).sqrt(), epsilon = 1e-6);
        Ok(())
    }
}
