//! From an image to probabilities, tile by tile.

mod ensemble;
mod prediction;
mod statistics;
pub mod tiles;

use candle::{Device, Tensor};
use data::Case;
use models::{Input, Model};
use ndarray::{Array3, Array4, ArrayView4, Zip, s};
use nn::PreparedWeights;
use preprocess::Plan;
use volume::Image;

pub use self::ensemble::{Ensemble, EnsemblePrediction, MeanPrediction};
pub use self::prediction::Prediction;
pub use self::statistics::{ClassStatistics, Statistics};
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
}

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

    /// Predicts an image.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the image has other channels than the network;
    /// [`Error::OutputNotFinite`], where the network is of no use; else where the image cannot be
    /// prepared or a tensor operation fails.
    pub fn predict(&self, image: &Image) -> Result<Prediction> {
        let expected = self.plan.normalize.len();
        if image.channels() != expected {
            return Err(Error::Settings(format!(
                "the image has {} channels, but the network takes {expected}: {}",
                image.channels(),
                self.config.channels.join(", ")
            )));
        }
        let prepared = self.plan.prepare(image, None)?;
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
        let patch = self.plan.patch_size;
        let (padded, offset) = pad(image, patch);
        let size = [padded.dim().1, padded.dim().2, padded.dim().3];
        let context = self.plan.context;
        let padded = with_slices(padded, context);
        let along: [Vec<usize>; 3] = std::array::from_fn(|axis| match axis {
            0 if self.plan.rank == 2 => (0..size[0]).collect(),
            _ => tiles::positions(size[axis], patch[axis], self.settings.step_size),
        });
        let importance = tiles::importance(patch, self.settings.gaussian);
        let classes = self.config.interface.classes;
        let mut sums = Array4::<f32>::zeros((classes, size[0], size[1], size[2]));
        let mut weights = Array3::<f32>::zeros(size);
        for &z in &along[0] {
            for &y in &along[1] {
                for &x in &along[2] {
                    let (zs, ys, xs) = (z..z + patch[0], y..y + patch[1], x..x + patch[2]);
                    let seen = zs.start..zs.end + 2 * context;
                    let tile = padded.slice(s![.., seen, ys.clone(), xs.clone()]);
                    let run = || self.settings.precision.run(|| self.tile(&tile));
                    let run = || self.weights.within(run);
                    let logits = nn::step_scope(&self.device, run)?;
                    let mut sum = sums.slice_mut(s![.., zs.clone(), ys.clone(), xs.clone()]);
                    for (mut sum, logits) in sum.outer_iter_mut().zip(logits.outer_iter()) {
                        Zip::from(&mut sum)
                            .and(&logits)
                            .and(&importance)
                            .for_each(|sum, logit, weight| *sum += logit * weight);
                    }
                    let mut weight = weights.slice_mut(s![zs, ys, xs]);
                    weight += &importance;
                }
            }
        }
        for mut class in sums.outer_iter_mut() {
            class /= &weights;
        }
        let (_, d, h, w) = image.dim();
        if [d, h, w] == size {
            return Ok(sums);
        }
        let [z, y, x] = offset;
        Ok(sums.slice(s![.., z..z + d, y..y + h, x..x + w]).to_owned())
    }

    /// The logits of one tile, averaged over networks and over its mirrored versions.
    fn tile(&self, tile: &ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let rank = self.config.interface.rank;
        let (c, d, h, w) = tile.dim();
        // Of a network for slices, all slices are channels.
        let (c, d) = if rank == 2 { (c * d, 1) } else { (c, d) };
        let space = [d, h, w];
        let shape = [&[1, c], &space[3 - rank..]].concat();
        let values: Vec<f32> = tile.iter().copied().collect();
        let dtype = self.settings.precision.dtype();
        let input = Tensor::from_vec(values, shape, &self.device)?.to_dtype(dtype)?;
        let mirrored: Vec<usize> = (0..rank)
            .filter(|axis| self.settings.mirror && self.config.mirror_axes[axis + 3 - rank])
            .collect();
        let versions = 1usize << mirrored.len();
        let mut total: Option<Tensor> = None;
        for version in 0..versions {
            let chosen = mirrored.iter().enumerate().filter(|(bit, _)| version >> bit & 1 == 1);
            let axes: Vec<usize> = chosen.map(|(_, axis)| axis + 2).collect();
            let images = Input::images(mirror(&input, &axes)?);
            for Member { model, scaling } in &self.models {
                let logits = mirror(model.forward_t(&images, false)?.main(), &axes)?;
                let share = 1.0 / (versions * self.models.len()) as f64;
                let logits = scaled(&logits, scaling, share)?;
                total = Some(match total {
                    Some(total) => (total + logits)?,
                    None => logits,
                });
            }
        }
        let mean = total.expect("at least one network and the unmirrored version");
        let values = mean.to_dtype(candle::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if values.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::OutputNotFinite);
        }
        let classes = self.config.interface.classes;
        Ok(Array4::from_shape_vec((classes, d, h, w), values)
            .expect("the main head has the resolution of the image"))
    }
}

/// A share of logits `(1, C, *S)`, scaled.
fn scaled(logits: &Tensor, scaling: &LogitScaling, share: f64) -> Result<Tensor> {
    if let Some(temperature) = scaling.temperature() {
        return Ok((logits * (share / temperature))?);
    }
    let channels = logits.dim(1)?;
    let (weights, biases): (Vec<f64>, Vec<f64>) = (0..channels)
        .map(|channel| scaling.of_channel(channel))
        .map(|(weight, bias)| (weight * share, bias * share))
        .unzip();
    let mut shape = vec![1; logits.rank()];
    shape[1] = channels;
    let of_channels = |values: Vec<f64>| -> Result<Tensor> {
        let values = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?;
        Ok(values.to_dtype(logits.dtype())?.to_device(logits.device())?)
    };
    let logits = logits.broadcast_mul(&of_channels(weights)?)?;
    Ok(logits.broadcast_add(&of_channels(biases)?)?)
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

/// Pads an image with zeros to at least `patch`, an odd voxel at the end; also where it begins.
fn pad(image: &Array4<f32>, patch: [usize; 3]) -> (Array4<f32>, [usize; 3]) {
    let (c, d, h, w) = image.dim();
    let size = [d, h, w];
    let padded: [usize; 3] = std::array::from_fn(|axis| size[axis].max(patch[axis]));
    let offset: [usize; 3] = std::array::from_fn(|axis| (padded[axis] - size[axis]) / 2);
    let mut result = Array4::zeros((c, padded[0], padded[1], padded[2]));
    let [z, y, x] = offset;
    result.slice_mut(s![.., z..z + d, y..y + h, x..x + w]).assign(image);
    (result, offset)
}

/// An image with so many slices of zeros before and after.
fn with_slices(image: Array4<f32>, count: usize) -> Array4<f32> {
    if count == 0 {
        return image;
    }
    let (c, d, h, w) = image.dim();
    let mut result = Array4::zeros((c, d + 2 * count, h, w));
    result.slice_mut(s![.., count..count + d, .., ..]).assign(&image);
    result
}

/// A tensor reversed along each of `axes`.
fn mirror(tensor: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut tensor = tensor.clone();
    for &axis in axes {
        let extent = tensor.dim(axis)?;
        let last = u32::try_from(extent).map_err(candle::Error::wrap)?;
        let reversed: Vec<u32> = (0..last).rev().collect();
        let indices = Tensor::from_vec(reversed, extent, tensor.device())?;
        tensor = tensor.contiguous()?.index_select(&indices, axis)?;
    }
    Ok(tensor)
}
