//! From an image to probabilities, tile by tile.

pub mod tiles;

use candle::{Device, Tensor};
use data::Case;
use models::{Input, Model};
use ndarray::{Array3, Array4, Axis, s};
use volume::{Image, LabelMap, SoftLabelMap};

use crate::config::PredictConfig;
use crate::trained::{NetworkConfig, Trained};
use crate::{Error, Result};
use preprocess::{Plan, Restore};

/// Predicts images with one trained network.
#[derive(Debug)]
pub struct Predictor {
    model: Box<dyn Model>,
    config: NetworkConfig,
    plan: Plan,
    settings: PredictConfig,
    device: Device,
}

/// What was predicted for an image.
#[derive(Debug)]
pub struct Prediction {
    logits: Array4<f32>,
    restore: Restore,
    activation: losses::Activation,
}

impl Predictor {
    /// For inference with a trained network.
    ///
    /// # Errors
    ///
    /// Where its parameters do not fit its architecture.
    pub fn new(trained: &Trained, settings: PredictConfig, device: &Device) -> Result<Self> {
        let model = trained.build(device)?;
        Ok(Self {
            model,
            config: trained.config.clone(),
            plan: trained.plan.clone(),
            settings,
            device: device.clone(),
        })
    }

    /// What the network is.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// How images are made ready for it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Predicts an image.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the image has other channels than the network; else where it
    /// cannot be prepared or a tensor operation fails.
    pub fn predict(&self, image: &Image) -> Result<Prediction> {
        let expected = self.config.interface.channels;
        if image.channels() != expected {
            return Err(Error::Settings(format!(
                "the image has {} channels, but the network takes {expected}: {}",
                image.channels(),
                self.config.channels.join(", ")
            )));
        }
        let prepared = self.plan.prepare(image, None)?;
        let mut logits = self.logits(&prepared.image)?;
        #[expect(clippy::cast_possible_truncation, reason = "a temperature near 1")]
        let scale = (1.0 / self.config.temperature) as f32;
        if scale.to_bits() != 1f32.to_bits() {
            logits.mapv_inplace(|logit| logit * scale);
        }
        Ok(Prediction { logits, restore: prepared.restore, activation: self.config.activation })
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
    /// averaged over tiles and, where asked for, over mirrored versions of each.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn logits(&self, image: &Array4<f32>) -> Result<Array4<f32>> {
        let patch = self.plan.patch_size;
        let (padded, offset) = pad(image, patch);
        let size = [padded.dim().1, padded.dim().2, padded.dim().3];
        let along: [Vec<usize>; 3] = std::array::from_fn(|axis| {
            tiles::positions(size[axis], patch[axis], self.settings.step_size)
        });
        let importance = tiles::importance(patch, self.settings.gaussian);
        let classes = self.config.interface.classes;
        let mut sums = Array4::<f32>::zeros((classes, size[0], size[1], size[2]));
        let mut weights = Array3::<f32>::zeros(size);
        for &z in &along[0] {
            for &y in &along[1] {
                for &x in &along[2] {
                    let (zs, ys, xs) = (z..z + patch[0], y..y + patch[1], x..x + patch[2]);
                    let tile = padded.slice(s![.., zs.clone(), ys.clone(), xs.clone()]);
                    let logits = self.tile(&tile.as_standard_layout().into_owned())?;
                    let mut sum = sums.slice_mut(s![.., zs.clone(), ys.clone(), xs.clone()]);
                    for (mut sum, logits) in sum.outer_iter_mut().zip(logits.outer_iter()) {
                        ndarray::Zip::from(&mut sum)
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
        let [z, y, x] = offset;
        Ok(sums.slice(s![.., z..z + d, y..y + h, x..x + w]).to_owned())
    }

    /// The logits of one tile, averaged over its mirrored versions.
    fn tile(&self, tile: &Array4<f32>) -> Result<Array4<f32>> {
        let rank = self.config.interface.rank;
        let (c, d, h, w) = tile.dim();
        let space = [d, h, w];
        let shape = [&[1, c], &space[3 - rank..]].concat();
        let values: Vec<f32> = tile.iter().copied().collect();
        let input = Tensor::from_vec(values, shape, &self.device)?;
        let flips = if self.settings.mirror { 1usize << rank } else { 1 };
        let mut total: Option<Tensor> = None;
        for flip in 0..flips {
            let axes: Vec<usize> = (0..rank).filter(|axis| flip >> axis & 1 == 1).collect();
            let axes: Vec<usize> = axes.iter().map(|axis| axis + 2).collect();
            let mirrored = mirror(&input, &axes)?;
            let logits = self.model.forward_t(&Input::images(mirrored), false)?;
            let logits = mirror(logits.main(), &axes)?;
            total = Some(match total {
                Some(total) => (total + logits)?,
                None => logits,
            });
        }
        let mean = (total.expect("at least the unmirrored version") / flips as f64)?;
        let classes = self.config.interface.classes;
        let values = mean.to_dtype(candle::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Array4::from_shape_vec((classes, d, h, w), values)
            .expect("the main head has the resolution of the image"))
    }
}

impl Prediction {
    /// On the network's grid, before the way back: logits `(C, D, H, W)`, divided by the
    /// network's temperature.
    pub fn logits(&self) -> &Array4<f32> {
        &self.logits
    }

    /// The same with logits divided once more.
    #[must_use]
    pub fn at_temperature(mut self, temperature: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a temperature near 1")]
        let scale = (1.0 / temperature) as f32;
        self.logits.mapv_inplace(|logit| logit * scale);
        self
    }

    /// The most probable class of each voxel, on the image's own grid.
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn labels(&self) -> Result<LabelMap> {
        Ok(self.restore.labels(&self.logits)?)
    }

    /// The probability of each class, on the image's own grid.
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn probabilities(&self) -> Result<SoftLabelMap> {
        let losses::Activation::Softmax = self.activation else {
            return Err(Error::Settings(
                "classes of a sigmoid network may overlap: they are no class probabilities"
                    .to_owned(),
            ));
        };
        Ok(self.restore.probabilities(&softmax(&self.logits))?)
    }
}

/// Softmax over the first axis.
fn softmax(logits: &Array4<f32>) -> Array4<f32> {
    let mut probabilities = logits.clone();
    let mut greatest = probabilities.index_axis(Axis(0), 0).to_owned();
    for class in logits.outer_iter() {
        greatest.zip_mut_with(&class, |greatest, &logit| *greatest = greatest.max(logit));
    }
    let mut total = Array3::<f32>::zeros(greatest.dim());
    for mut class in probabilities.outer_iter_mut() {
        class.zip_mut_with(&greatest, |logit, &greatest| *logit = (*logit - greatest).exp());
        total += &class;
    }
    for mut class in probabilities.outer_iter_mut() {
        class /= &total;
    }
    probabilities
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

/// A tensor reversed along each of `axes`.
fn mirror(tensor: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut tensor = tensor.clone();
    for &axis in axes {
        let extent = i64::try_from(tensor.dim(axis)?).unwrap_or(i64::MAX);
        let reversed: Vec<i64> = (0..extent).rev().collect();
        let indices = Tensor::from_vec(reversed, extent as usize, tensor.device())?;
        tensor = tensor.contiguous()?.index_select(&indices, axis)?;
    }
    Ok(tensor)
}
