//! From an image to probabilities, tile by tile.

mod cascade;
mod course;
mod ensemble;
mod needs;
mod prediction;
mod segmentation;
mod statistics;
mod tile;
pub mod tiles;
mod window;

use candle::Device;
use data::Case;
use models::Model;
use ndarray::{Array4, Axis, s};
use nn::PreparedWeights;
use preprocess::{Plan, Prepared};
use volume::Image;

pub use self::ensemble::{Ensemble, PreparedImage};
pub use self::needs::{NetworkNeeds, PredictionNeeds, available_memory};
pub use self::prediction::Prediction;
pub use self::segmentation::{Segmentation, Wanted};
pub use self::statistics::{ClassStatistics, Statistics};
use self::window::Window;
use crate::calibrate::LogitScaling;
use crate::config::PredictConfig;
use crate::trained::{NetworkConfig, Trained};
use crate::{Error, Result};

/// Predicts images with one trained network, or with several that are averaged.
#[derive(Debug)]
pub struct Predictor {
    models: Vec<Member>,
    config: NetworkConfig,
    plan: Plan,
    settings: PredictConfig,
    device: Device,
    /// Of all networks, whose weights stay as they are.
    weights: PreparedWeights,
    /// How many numbers they have learnt, together.
    parameters: usize,
}

/// Voxels of the tiles that are looked at together.
const TOGETHER: usize = 40 * 40 * 40;

/// One of the networks that are averaged.
#[derive(Debug)]
struct Member {
    model: Box<dyn Model>,
    scaling: LogitScaling,
}

impl Predictor {
    /// For inference with a trained network; `settings` are its own, `trained.config.predict`, or
    /// others.
    ///
    /// # Errors
    ///
    /// Where the settings make no sense, or its parameters do not fit its architecture.
    pub fn new(trained: &Trained, settings: PredictConfig, device: &Device) -> Result<Self> {
        Self::ensemble(std::slice::from_ref(trained), settings, device)
    }

    /// For inference with several networks, such as the folds of a cross-validation: the mean of
    /// their logits, each scaled as the settings and its own calibration say.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the settings make no sense, there is no network, or one sees images in another way or tells apart
    /// other classes than the first; else as [`Predictor::new`].
    pub fn ensemble(trained: &[Trained], settings: PredictConfig, device: &Device) -> Result<Self> {
        settings.check()?;
        let [first, others @ ..] = trained else {
            return Err(Error::Settings("an ensemble needs at least one network".to_owned()));
        };
        if let Some(at) = others.iter().position(|other| !averages_with(first, other)) {
            return Err(Error::Settings(format!(
                "network {} of the ensemble has another plan, other channels, other classes or other mirrored axes \
                 than the first; only networks that differ in nothing but their weights and \
                 architecture can be averaged",
                at + 2
            )));
        }
        let member = |trained: &Trained| -> Result<Member> {
            let scaling = trained.config.scaling(settings.calibration)?;
            Ok(Member { model: trained.build(device)?, scaling })
        };
        Ok(Self {
            models: trained.iter().map(member).collect::<Result<_>>()?,
            config: first.config.clone(),
            plan: first.plan.clone(),
            settings,
            device: device.clone(),
            weights: PreparedWeights::default(),
            parameters: trained.iter().map(elements).sum(),
        })
    }

    /// What the network is; of several, the first.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// How images are made ready for it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// That logits come out as the networks say them, where somebody else is to scale them: twice would be
    /// once too often.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where a network of it is calibrated.
    pub(crate) fn expect_uncalibrated(&self) -> Result<()> {
        if self.models.iter().all(|member| member.scaling.is_identity()) {
            return Ok(());
        }
        Err(Error::Settings(
            "the logits would be calibrated twice; predict with `calibration = \"none\"`"
                .to_owned(),
        ))
    }

    /// Makes an image ready for the network: turned, cut, normalised and resampled as its plan says.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the image has other channels than the network; else where the image cannot be prepared.
    pub fn prepare(&self, image: &Image) -> Result<Prepared> {
        if !self.config.previous_labels.is_empty() {
            return Err(Error::Settings(
                "the network sees what another says before it (a cascade), and is to be predicted with that one".to_owned(),
            ));
        }
        self.prepare_after(image, None)
    }

    /// Predicts an image.
    ///
    /// # Errors
    ///
    /// As [`Predictor::prepare`]; [`Error::OutputNotFinite`], where the network is of no use; else where a tensor operation fails.
    pub fn predict(&self, image: &Image) -> Result<Prediction> {
        let prepared = self.prepare(image)?;
        let logits = self.logits(&prepared.image)?;
        let paint = self.config.has_regions().then(|| self.config.regions_class_order.clone());
        let scaling = self.models[0].scaling.clone();
        Ok(Prediction { logits, restore: prepared.restore, paint, scaling })
    }

    /// Predicts the image of a case; an error names it.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn predict_case(&self, case: &Case) -> Result<Prediction> {
        self.predict(&case.image).map_err(|error| error.in_case(&case.id))
    }

    /// The logits `(C, D, H, W)` of an image `(C_in, D, H, W)` that is on the network's grid,
    /// averaged over tiles, over networks and, where asked for, over mirrored versions of each
    /// tile; scaled.
    ///
    /// An image smaller than a tile is padded with zeros, so that a network for volumes can be
    /// given a few slices; a network for slices sees each slice of a volume by itself, or with so many on either side
    /// as its plan says, which are zeros beyond the volume.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn logits(&self, image: &Array4<f32>) -> Result<Array4<f32>> {
        let (_, d, h, w) = image.dim();
        let mut logits = Array4::zeros((self.outputs(false), d, h, w));
        let mut window = Window::new(self, image, false);
        let mut z = 0;
        while let Some(known) = window.advance(&mut || ())? {
            let next = z + known.len_of(Axis(1));
            logits.slice_mut(s![.., z..next, .., ..]).assign(&known);
            z = next;
        }
        Ok(logits)
    }

    /// How many values a voxel has: the logits of all classes, averaged over networks; with `apart`, then those of each network.
    fn outputs(&self, apart: bool) -> usize {
        let answers = if apart { 1 + self.models.len() } else { 1 };
        answers * self.config.interface.classes
    }

    /// How many tiles are looked at together: small ones leave threads idle, which would wait for one another in each layer.
    fn tiles_at_once(&self) -> usize {
        let voxels: usize = self.plan.patch_size.iter().product();
        if self.device.is_cpu() {
            (TOGETHER / voxels.max(1)).clamp(1, 4 * rayon::current_num_threads())
        } else {
            1
        }
    }

    /// How many networks are averaged.
    pub fn networks(&self) -> usize {
        self.models.len()
    }
}

fn elements(trained: &Trained) -> usize {
    trained.parameters.values().map(candle::Tensor::elem_count).sum()
}

/// Whether the logits of two networks mean the same.
fn averages_with(one: &Trained, other: &Trained) -> bool {
    let meaning = |trained: &Trained| {
        let NetworkConfig {
            interface, activation, regions_class_order, classes, mirror_axes, ..
        } = trained.config.clone();
        let values: Vec<_> = classes.into_iter().map(|class| class.values).collect();
        (interface, activation, regions_class_order, values, mirror_axes)
    };
    one.plan == other.plan && meaning(one) == meaning(other)
}
