use std::sync::Arc;

use ndarray::{Array3, Array4, Axis, Zip};
use rand_chacha::ChaCha8Rng;
use volume::{Grid, Image, Label, SoftLabelMap};

use crate::budget::voxels;
use crate::crop::{Nonzero, Region, cut, cut_channels, nonzero};
use crate::grid_rule::GridRule;
use crate::locations::Locations;
use crate::normalize::Normalize;
use crate::orient::Orientation;
use crate::resample::{Resampling, separate_axis};
use crate::restore::Restore;
use crate::spline::Interpolation;
use crate::{Error, Fusion, Plan, Result, Truth, fuse};

/// A label, the number of classes, how raters are fused, and the randomness that takes.
pub type Annotation<'a> = (&'a Label, usize, &'a Fusion, &'a mut ChaCha8Rng);

/// A case as a network wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Normalised intensities on the network's grid, `(C, D, H, W)`.
    pub image: Array4<f32>,
    /// The truth on that grid, where there is a label.
    pub truth: Option<Truth>,
    /// Further truths of the same voxels, such as what other networks say of them: whatever becomes of the
    /// truth becomes of these. [`Plan::prepare`] leaves none; [`Restore::bring`] makes them.
    pub further: Arc<[Truth]>,
    /// What is outside the patient on that grid, for channels normalised without it.
    pub outside: Option<Outside>,
    /// Where classes are found on that grid.
    pub locations: Locations,
    /// The way back to the file's grid.
    pub restore: Restore,
    /// Spacing of that grid, mm, `(z, y, x)`.
    pub spacing: [f64; 3],
}

impl Prepared {
    /// What its arrays take in memory, bytes.
    pub fn bytes(&self) -> u64 {
        let of_truth = |truth: &Truth| match truth {
            Truth::Hard(labels) => 2 * labels.len(),
            Truth::Soft(soft) => 4 * soft.len(),
        };
        let labels: usize = self.truth.iter().chain(self.further.iter()).map(of_truth).sum();
        let outside = self.outside.as_ref().map_or(0, |outside| outside.voxels.len());
        (4 * self.image.len() + labels + outside) as u64
    }
}

/// What is outside the patient, and 0 in some channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    /// The voxels, `(D, H, W)`.
    pub voxels: Array3<bool>,
    /// The channels that are 0 there.
    pub channels: Vec<usize>,
}

impl Plan {
    /// Prepares a case: fuses raters, turns axes, cuts off the empty margin, normalises, and
    /// resamples, in this order; by [`GridRule::Monai`], it resamples before it normalises.
    ///
    /// The same case gives the same bits, whatever the number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::Channels`], [`Error::NotFinite`], [`Error::NotRgb`], where the image does not suit
    /// the plan; [`Error::GridMismatch`], where the label lies elsewhere; and where [`fuse`] fails.
    pub fn prepare(&self, image: &Image, truth: Option<Annotation<'_>>) -> Result<Prepared> {
        self.check(image)?;
        let turned = if self.canonical {
            Orientation::canonical(&image.grid)
        } else {
            Orientation::IDENTITY
        };
        let orientation = turned.then(self.transpose);
        let classes = truth.as_ref().map_or(0, |&(_, classes, _, _)| classes);
        let truth = truth.map(|annotation| fused(image, annotation)).transpose()?;

        let view = orientation.view_channels(image.data.view());
        let size = orientation.turn(image.grid.size);
        let Nonzero { region, outside } = if self.crop_to_nonzero {
            nonzero(view)
        } else {
            Nonzero { region: Region::whole(size), outside: None }
        };
        let spacing = orientation.turn(image.grid.spacing);
        let target = self.target(spacing);
        let resampling = Resampling::by_rule(self.grid, region.size, spacing, target);
        check_size(resampling.to)?;

        let mut data = cut_channels(view, region).as_standard_layout().into_owned();
        if self.grid == GridRule::Monai {
            data = self.resampled_image(data, resampling);
        }
        for (mut channel, normalize) in data.axis_iter_mut(Axis(0)).zip(&self.normalize) {
            normalize.apply(channel.view_mut(), outside.as_ref().map(|outside| outside.view()))?;
        }
        if self.grid == GridRule::Nnunet {
            data = self.resampled_image(data, resampling);
        }
        let truth = truth.map(|truth| {
            let kept = cropped(&truth, orientation, region);
            resampled(kept, outside.as_ref(), resampling)
        });
        let locations = truth.as_ref().map(|truth| Locations::find(truth, classes));
        let separate = match self.grid {
            GridRule::Nnunet => separate_axis(target, spacing),
            GridRule::Monai => None,
        };
        let restore =
            Restore { grid: image.grid.clone(), orientation, region, resampling, separate };
        Ok(Prepared {
            image: data,
            truth,
            further: Arc::default(),
            outside: outside.and_then(|outside| self.outside(&outside, resampling)),
            locations: locations.unwrap_or_default(),
            restore,
            spacing: target,
        })
    }

    /// How large an image of this grid is on the network's, voxels, where no margin is cut off.
    pub fn network_size(&self, grid: &Grid) -> [usize; 3] {
        let turned =
            if self.canonical { Orientation::canonical(grid) } else { Orientation::IDENTITY };
        let orientation = turned.then(self.transpose);
        let (size, spacing) = (orientation.turn(grid.size), orientation.turn(grid.spacing));
        Resampling::by_rule(self.grid, size, spacing, self.target(spacing)).to
    }

    /// The spacing that an image of another is brought to.
    fn target(&self, spacing: [f64; 3]) -> [f64; 3] {
        match (self.resample, self.rank) {
            (false, _) => spacing,
            (true, 2) => [spacing[0], self.spacing[1], self.spacing[2]],
            (true, _) => self.spacing,
        }
    }

    fn check(&self, image: &Image) -> Result<()> {
        if !(0..3).all(|axis| self.transpose.contains(&axis)) {
            let text =
                format!("the plan's transpose is {:?}; use 0, 1 and 2 once each", self.transpose);
            return Err(Error::Settings(text));
        }
        self.check_rules()?;
        check_size(image.grid.size)?;
        let (expected, actual) = (self.normalize.len(), image.channels());
        if expected != actual {
            return Err(Error::Channels { expected, actual });
        }
        let bad = image.data.indexed_iter().find(|(_, value)| !value.is_finite());
        match bad {
            Some(((channel, z, y, x), &value)) => {
                Err(Error::NotFinite { channel, voxel: [z, y, x], value })
            }
            None => Ok(()),
        }
    }

    /// That its rules go together.
    fn check_rules(&self) -> Result<()> {
        if let Some(fault) = self.normalize.iter().find_map(Normalize::fault) {
            let text = format!("the plan's normalisation {fault} has no finite result; change it");
            return Err(Error::Settings(text));
        }
        let plain = self.interpolation <= Interpolation::Linear && !self.crop_to_nonzero;
        if self.grid == GridRule::Monai && !plain {
            return Err(Error::Settings(
                "the plan's grid is MONAI's, which goes with interpolation nearest or linear, and without \
                 crop_to_nonzero; change one of them"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn resampled_image(&self, data: Array4<f32>, resampling: Resampling) -> Array4<f32> {
        if resampling.is_identity() {
            return data;
        }
        let [d, h, w] = resampling.to;
        let mut image = Array4::zeros((data.shape()[0], d, h, w));
        for (from, mut to) in data.axis_iter(Axis(0)).zip(image.axis_iter_mut(Axis(0))) {
            let across = Interpolation::Nearest;
            to.assign(&resampling.intensities(from, self.interpolation, across));
        }
        image
    }

    fn outside(&self, outside: &Array3<bool>, resampling: Resampling) -> Option<Outside> {
        let masked = |normalize: &Normalize| *normalize == Normalize::ZScore { masked: true };
        let channels: Vec<usize> =
            (0..self.normalize.len()).filter(|&at| masked(&self.normalize[at])).collect();
        if channels.is_empty() {
            return None;
        }
        let labels = resampling.labels(outside.mapv(u16::from).view());
        Some(Outside { voxels: labels.mapv(|label| label > 0), channels })
    }
}

impl Restore {
    /// Class probabilities on the image's grid, brought to the network's: turned, cut and resampled as the
    /// truth is.
    ///
    /// # Errors
    ///
    /// [`Error::GridMismatch`], where they lie elsewhere.
    pub fn bring(&self, probabilities: SoftLabelMap) -> Result<Truth> {
        if let Some(difference) = self.grid.difference(&probabilities.grid) {
            return Err(Error::GridMismatch(difference));
        }
        let truth = Truth::Soft(probabilities.data);
        Ok(resampled(cropped(&truth, self.orientation, self.region), None, self.resampling))
    }
}

fn check_size(size: [usize; 3]) -> Result<()> {
    if voxels(size).is_some() {
        return Ok(());
    }
    let text = format!("{size:?} voxels are more than 2^32; use a coarser preprocess.spacing");
    Err(Error::Settings(text))
}

fn fused(image: &Image, (label, classes, fusion, rng): Annotation<'_>) -> Result<Truth> {
    if let Some(difference) = image.grid.difference(label.grid()) {
        return Err(Error::GridMismatch(difference));
    }
    fuse(label, classes, fusion, rng)
}

fn cropped(truth: &Truth, orientation: Orientation, region: Region) -> Truth {
    match truth {
        Truth::Hard(labels) => {
            let view = orientation.view(labels.view());
            Truth::Hard(cut(view, region).as_standard_layout().into_owned())
        }
        Truth::Soft(soft) => {
            let view = orientation.view_channels(soft.view());
            Truth::Soft(cut_channels(view, region).as_standard_layout().into_owned())
        }
    }
}

/// Background outside the patient competes for voxels by itself, apart from that inside, as in
/// nnU-Net, which writes it as −1; then it is background like any other.
fn resampled(truth: Truth, outside: Option<&Array3<bool>>, resampling: Resampling) -> Truth {
    if resampling.is_identity() {
        return truth;
    }
    match (truth, outside) {
        (Truth::Hard(mut labels), Some(outside)) => {
            // Shifted by one: 0 is outside.
            Zip::from(&mut labels).and(outside).for_each(|label, &outside| {
                *label = if outside && *label == 0 { 0 } else { label.saturating_add(1) };
            });
            let labels = resampling.labels(labels.view());
            Truth::Hard(labels.mapv_into(|label| label.saturating_sub(1)))
        }
        (truth, _) => resampling.truth(&truth),
    }
}
