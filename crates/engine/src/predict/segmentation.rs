//! What is said of an image, slice by slice, on the image's own grid.

use losses::Activation;
use ndarray::{Array2, Array3, Array4, Axis, Zip, s};
use preprocess::Restore;
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use super::prediction::{overlapping, sigmoid, softmax};
use crate::Result;

/// What is wanted of an image beside its labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The probability of each class or region.
    pub probabilities: bool,
    /// How undecided the networks are, together.
    pub entropy: bool,
    /// How far the networks disagree.
    pub disagreement: bool,
}

/// What networks say of an image, on the image's own grid.
///
/// What was cropped away before they saw it is background, and in no region, for certain.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// How logits became probabilities.
    pub activation: Activation,
    /// The most probable class of each voxel, of equal ones the first; or, where regions may overlap, the labels of those that are
    /// more probable than not, painted one over the other.
    pub labels: LabelMap,
    /// The probability of each class or region, a channel each; those of classes sum to 1.
    pub probabilities: Option<Image>,
    /// From 0, where one class is certain, to 1: see [`entropy`](fn@crate::entropy).
    pub entropy: Option<Image>,
    /// How far the networks disagree, from 0, where all say the same: the entropy of the mean of their probabilities, less the
    /// mean of their entropies (the mutual information of class and network, the Jensen–Shannon divergence), as a share of the
    /// greatest entropy that there can be. It is high where each network is sure of something else, and 0 where all are
    /// equally unsure.
    pub disagreement: Option<Image>,
}

impl Segmentation {
    /// The same in another place: where the spacing of a file was replaced, as a network wanted it, what is said of the image
    /// is to lie where its file lies.
    ///
    /// # Panics
    ///
    /// Where the grid is of another size.
    #[must_use]
    pub fn placed(mut self, grid: &Grid) -> Self {
        assert_eq!(self.labels.grid.size, grid.size, "the grid of the image's file");
        self.labels.grid = grid.clone();
        let maps = [&mut self.probabilities, &mut self.entropy, &mut self.disagreement];
        for map in maps.into_iter().flatten() {
            map.grid = grid.clone();
        }
        self
    }

    /// The probabilities of classes, which sum to 1.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`](crate::Error::Settings), where regions may overlap, or probabilities were not wanted.
    pub fn soft_labels(&self) -> Result<SoftLabelMap> {
        if self.activation == Activation::Sigmoid {
            return Err(overlapping());
        }
        let Some(Image { grid, data }) = &self.probabilities else {
            let text = "probabilities were not asked for before the prediction";
            return Err(crate::Error::Settings(text.to_owned()));
        };
        Ok(SoftLabelMap::new(grid.clone(), data.clone())?)
    }
}

/// How the channels of logits become an answer.
#[derive(Clone, Debug)]
pub(super) struct Reading<'a> {
    pub(super) classes: usize,
    /// Where regions may overlap, the label that each is painted with.
    pub(super) paint: Option<&'a [u16]>,
    pub(super) wanted: Wanted,
    /// How probable each class or region must be, where a rule of post-processing says so.
    pub(super) thresholds: &'a [Option<f64>],
}

impl Reading<'_> {
    /// Whether logits are enough.
    pub(super) fn is_of_logits(&self) -> bool {
        self.wanted == Wanted::default() && !self.has_thresholds()
    }

    pub(super) fn has_thresholds(&self) -> bool {
        self.thresholds.iter().any(Option::is_some)
    }

    fn threshold(&self, channel: usize) -> Option<f32> {
        self.thresholds.get(channel).copied().flatten().map(single)
    }

    pub(super) fn activation(&self) -> Activation {
        if self.paint.is_some() { Activation::Sigmoid } else { Activation::Softmax }
    }

    fn activate(&self, mut logits: Array3<f32>) -> Array3<f32> {
        match self.paint {
            None => softmax(logits.view_mut()),
            Some(_) => sigmoid(logits.view_mut()),
        }
        logits
    }

    fn entropy(&self, probabilities: &Array3<f32>) -> Array2<f64> {
        let volume = probabilities.view().insert_axis(Axis(1));
        crate::entropy(&volume, self.paint.is_some()).index_axis_move(Axis(0), 0)
    }
}

/// One slice, while networks speak of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// The labels, where one plan's networks are all that there are.
    pub(super) labels: Option<Array2<u16>>,
    /// The mean probability of each class so far, each network counted by its share.
    mean: Option<Array3<f32>>,
    /// The same of networks apart, and the mean of their entropies.
    apart: Option<(Array3<f32>, Array2<f64>)>,
}

impl Part {
    /// Of the mean probability of each class `(C, H, W)`.
    pub(super) fn of_mean(mean: Array3<f32>) -> Self {
        Self { mean: Some(mean), ..Self::default() }
    }

    /// Adds what the networks of one plan say: logits of their mean, then of each network where they were asked apart;
    /// `share` is what each of the networks counts, and `of_plan` what they count together.
    pub(super) fn add(
        &mut self,
        values: &Array3<f32>,
        of_plan: f32,
        share: f32,
        reading: &Reading<'_>,
    ) {
        let classes = reading.classes;
        let of_group = reading.activate(values.slice(s![..classes, .., ..]).to_owned());
        add(&mut self.mean, of_group, of_plan);
        for first in (classes..values.len_of(Axis(0))).step_by(classes) {
            let own = reading.activate(values.slice(s![first..first + classes, .., ..]).to_owned());
            let entropy = reading.entropy(&own) * f64::from(share);
            match &mut self.apart {
                None => self.apart = Some((own * share, entropy)),
                Some((mean, entropies)) => {
                    mean.zip_mut_with(&own, |mean, own| *mean += own * share);
                    *entropies += &entropy;
                }
            }
        }
    }

    /// What is to be said of the slice.
    pub(super) fn finish(self, reading: &Reading<'_>) -> Finished {
        let Self { labels, mean, apart } = self;
        let labels = match (labels, &mean) {
            (Some(labels), _) => labels,
            (None, Some(mean)) => labels_of(mean, reading),
            (None, None) => unreachable!("a slice that somebody has spoken of"),
        };
        let entropy = mean.as_ref().filter(|_| reading.wanted.entropy);
        let entropy = entropy.map(|mean| reading.entropy(mean).mapv(single));
        let disagreement = apart.map(|(mean, entropies)| {
            (reading.entropy(&mean) - entropies).mapv(|share| single(share.max(0.0)))
        });
        let probabilities = mean.filter(|_| reading.wanted.probabilities);
        Finished { labels, probabilities, entropy, disagreement }
    }
}

fn add(mean: &mut Option<Array3<f32>>, values: Array3<f32>, share: f32) {
    match mean {
        None if share < 1.0 => *mean = Some(values * share),
        None => *mean = Some(values),
        Some(mean) => mean.zip_mut_with(&values, |mean, value| *mean += value * share),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share, of which single precision is plenty")]
fn single(share: f64) -> f32 {
    share as f32
}

/// The most probable class, of equal ones the first, where it is as probable as it must be; or regions that are more probable
/// than not, painted in their order.
fn labels_of(probabilities: &Array3<f32>, reading: &Reading<'_>) -> Array2<u16> {
    let (_, h, w) = probabilities.dim();
    let mut labels = Array2::<u16>::zeros((h, w));
    if let Some(paint) = reading.paint {
        for ((channel, region), &label) in probabilities.outer_iter().enumerate().zip(paint) {
            let least = reading.threshold(channel).unwrap_or(0.5);
            labels.zip_mut_with(&region, |it, &p| *it = if p > least { label } else { *it });
        }
        return labels;
    }
    let mut greatest = probabilities.index_axis(Axis(0), 0).to_owned();
    for (class, values) in (1_u16..).zip(probabilities.outer_iter().skip(1)) {
        Zip::from(&mut labels).and(&mut greatest).and(&values).for_each(|it, greatest, &value| {
            if value > *greatest {
                (*it, *greatest) = (class, value);
            }
        });
    }
    if reading.has_thresholds() {
        labels.zip_mut_with(&greatest, |it, &p| {
            if reading.threshold(usize::from(*it)).is_some_and(|least| p <= least) {
                *it = 0;
            }
        });
    }
    labels
}

/// One slice of what was wanted.
#[derive(Debug)]
pub(super) struct Finished {
    labels: Array2<u16>,
    probabilities: Option<Array3<f32>>,
    entropy: Option<Array2<f32>>,
    disagreement: Option<Array2<f32>>,
}

/// What is said of an image, as far as it is known.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    restore: &'a Restore,
    labels: Array3<u16>,
    probabilities: Option<Array4<f32>>,
    entropy: Option<Array3<f32>>,
    disagreement: Option<Array3<f32>>,
}

impl<'a> Canvas<'a> {
    /// Everything is background, for certain.
    pub(super) fn new(restore: &'a Restore, reading: &Reading<'_>) -> Self {
        let [d, h, w] = restore.grid().size;
        let map = |wanted: bool| wanted.then(|| Array3::zeros([d, h, w]));
        let mut probabilities =
            reading.wanted.probabilities.then(|| Array4::zeros([reading.classes, d, h, w]));
        if let (Some(classes), None) = (&mut probabilities, reading.paint) {
            classes.index_axis_mut(Axis(0), 0).fill(1.0);
        }
        Self {
            restore,
            labels: Array3::zeros([d, h, w]),
            probabilities,
            entropy: map(reading.wanted.entropy),
            disagreement: map(reading.wanted.disagreement),
        }
    }

    /// Puts a slice of the kept region at its place.
    pub(super) fn put(&mut self, z: usize, slice: Finished) {
        let restore = self.restore;
        restore.kept_mut(self.labels.view_mut()).index_axis_mut(Axis(0), z).assign(&slice.labels);
        if let (Some(to), Some(from)) = (&mut self.probabilities, slice.probabilities) {
            restore.kept_channels_mut(to.view_mut()).index_axis_mut(Axis(1), z).assign(&from);
        }
        let maps =
            [(&mut self.entropy, slice.entropy), (&mut self.disagreement, slice.disagreement)];
        for (to, from) in maps {
            if let (Some(to), Some(from)) = (to, from) {
                restore.kept_mut(to.view_mut()).index_axis_mut(Axis(0), z).assign(&from);
            }
        }
    }

    pub(super) fn finish(self, activation: Activation) -> Result<Segmentation> {
        let grid = self.restore.grid();
        let image = |map: Option<Array3<f32>>| {
            map.map(|map| Image::new(grid.clone(), map.insert_axis(Axis(0)))).transpose()
        };
        let channels = |map: Array4<f32>, grid: &Grid| Image::new(grid.clone(), map);
        Ok(Segmentation {
            activation,
            labels: LabelMap::new(grid.clone(), self.labels)?,
            probabilities: self.probabilities.map(|map| channels(map, grid)).transpose()?,
            entropy: image(self.entropy)?,
            disagreement: image(self.disagreement)?,
        })
    }
}
