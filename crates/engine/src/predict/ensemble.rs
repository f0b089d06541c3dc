//! Networks that were planned apart, and see images in different ways.

use candle::Device;
use losses::Activation;
use ndarray::{Array3, Array4, Axis, Zip};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use super::{Prediction, Predictor};
use crate::config::PredictConfig;
use crate::trained::{NetworkConfig, Trained};
use crate::{Error, Result};

/// Several networks that tell apart the same classes, such as the folds of a cross-validation, whose plans are those of
/// different cases.
///
/// Those with the same plan are averaged on their own grid, as [`Predictor::ensemble`] does, where the mean is that of logits.
/// Beyond that it is probabilities that are averaged, on the grid of the image, and each network counts as much as another:
/// what nnU-Net does with the folds of one configuration. (Of several configurations, nnU-Net counts each once, however many
/// folds it has.)
#[derive(Debug)]
pub struct Ensemble {
    /// Networks of one plan, and how many there are.
    groups: Vec<(Predictor, usize)>,
}

/// What an ensemble predicts for an image.
#[derive(Debug)]
pub enum EnsemblePrediction {
    /// Of networks with one plan.
    One(Box<Prediction>),
    /// The mean of several.
    Mean(Box<MeanPrediction>),
}

/// Mean probabilities on the grid of an image.
#[derive(Debug)]
pub struct MeanPrediction {
    grid: Grid,
    values: Array4<f32>,
    /// Where regions may overlap, the label that each is painted with.
    paint: Option<Vec<u16>>,
}

impl Ensemble {
    /// For inference with one network or several; `settings` says how each predicts.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no network, or one has other channels or tells apart other classes than the first;
    /// else as [`Predictor::new`].
    pub fn new(
        networks: &[Trained],
        settings: impl Fn(&Trained) -> PredictConfig,
        device: &Device,
    ) -> Result<Self> {
        let mut groups: Vec<Vec<Trained>> = Vec::new();
        for (at, network) in networks.iter().enumerate() {
            if let Some(what) = differs(&networks[0], network) {
                return Err(Error::Settings(format!(
                    "network {} of the ensemble has {what} other than the first; only networks that answer the same \
                     question can be averaged",
                    at + 1
                )));
            }
            let alike = |group: &&mut Vec<Trained>| {
                super::averages_with(&group[0], network) && settings(&group[0]) == settings(network)
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(network.clone()),
                None => groups.push(vec![network.clone()]),
            }
        }
        if groups.is_empty() {
            return Err(Error::Settings("an ensemble needs at least one network".to_owned()));
        }
        let predictor = |group: Vec<Trained>| {
            Ok((Predictor::ensemble(&group, settings(&group[0]), device)?, group.len()))
        };
        Ok(Self { groups: groups.into_iter().map(predictor).collect::<Result<_>>()? })
    }

    /// What the first network is.
    pub fn config(&self) -> &NetworkConfig {
        self.groups[0].0.config()
    }

    /// How many channels an image has.
    pub fn channels(&self) -> usize {
        self.groups[0].0.plan().normalize.len()
    }

    /// Predicts an image.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn predict(&self, image: &Image) -> Result<EnsemblePrediction> {
        if let [(predictor, _)] = self.groups.as_slice() {
            return Ok(EnsemblePrediction::One(Box::new(predictor.predict(image)?)));
        }
        let all: usize = self.groups.iter().map(|(_, count)| count).sum();
        let mut mean: Option<MeanPrediction> = None;
        for (predictor, count) in &self.groups {
            let prediction = predictor.predict(image)?;
            #[expect(clippy::cast_possible_truncation, reason = "a share, at most 1")]
            let share = (*count as f64 / all as f64) as f32;
            let Image { grid, data: mut values, .. } = prediction.probability_image()?;
            match &mut mean {
                None => {
                    values.par_mapv_inplace(|value| value * share);
                    mean = Some(MeanPrediction { grid, values, paint: prediction.paint });
                }
                Some(mean) => {
                    let sum = Zip::from(&mut mean.values).and(&values);
                    sum.par_for_each(|sum, value| *sum += value * share);
                }
            }
        }
        match mean {
            Some(mean) => Ok(EnsemblePrediction::Mean(Box::new(mean))),
            None => unreachable!("an ensemble has at least one group"),
        }
    }
}

impl EnsemblePrediction {
    /// How logits became probabilities.
    pub fn activation(&self) -> Activation {
        match self {
            Self::One(prediction) => prediction.activation(),
            Self::Mean(mean) if mean.paint.is_some() => Activation::Sigmoid,
            Self::Mean(_) => Activation::Softmax,
        }
    }

    /// How undecided it is about each voxel, from 0 to 1, on the grid of the image: see [`entropy`](fn@crate::entropy).
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn entropy(&self) -> Result<Image> {
        let Image { grid, data } = self.probability_image()?;
        let regions = self.activation() == Activation::Sigmoid;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a share, of which single precision is plenty"
        )]
        let entropy = crate::entropy(&data.view(), regions).mapv(|share| share as f32);
        Ok(Image::new(grid, entropy.insert_axis(Axis(0)))?)
    }

    /// As [`Prediction::labels`].
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn labels(&self) -> Result<LabelMap> {
        match self {
            Self::One(prediction) => prediction.labels(),
            Self::Mean(mean) => mean.labels(),
        }
    }

    /// As [`Prediction::probabilities`].
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where regions may overlap; else where the way back fails.
    pub fn probabilities(&self) -> Result<SoftLabelMap> {
        match self {
            Self::One(prediction) => prediction.probabilities(),
            Self::Mean(mean) if mean.paint.is_some() => Err(super::prediction::overlapping()),
            Self::Mean(mean) => Ok(SoftLabelMap::new(mean.grid.clone(), mean.values.clone())?),
        }
    }

    /// As [`Prediction::probability_image`].
    ///
    /// # Errors
    ///
    /// Where the way back fails.
    pub fn probability_image(&self) -> Result<Image> {
        match self {
            Self::One(prediction) => prediction.probability_image(),
            Self::Mean(mean) => Ok(Image::new(mean.grid.clone(), mean.values.clone())?),
        }
    }
}

impl MeanPrediction {
    /// The most probable class, of equal ones the first; or regions that are more probable than not, painted in their order.
    fn labels(&self) -> Result<LabelMap> {
        let (_, d, h, w) = self.values.dim();
        let mut labels = Array3::<u16>::zeros((d, h, w));
        if let Some(paint) = &self.paint {
            for (region, &label) in self.values.axis_iter(Axis(0)).zip(paint) {
                Zip::from(&mut labels).and(&region).par_for_each(|it, &probability| {
                    if probability > 0.5 {
                        *it = label;
                    }
                });
            }
        } else {
            let mut greatest = self.values.index_axis(Axis(0), 0).to_owned();
            for (class, values) in (1_u16..).zip(self.values.axis_iter(Axis(0)).skip(1)) {
                Zip::from(&mut labels).and(&mut greatest).and(&values).par_for_each(
                    |it, greatest, &value| {
                        if value > *greatest {
                            (*it, *greatest) = (class, value);
                        }
                    },
                );
            }
        }
        Ok(LabelMap::new(self.grid.clone(), labels)?)
    }
}

/// What keeps the answers of two networks from being averaged.
fn differs(one: &Trained, other: &Trained) -> Option<&'static str> {
    let values = |trained: &Trained| -> Vec<Vec<u16>> {
        trained.config.classes.iter().map(|class| class.values.clone()).collect()
    };
    if one.plan.normalize.len() != other.plan.normalize.len() {
        return Some("channels");
    }
    let (a, b) = (&one.config, &other.config);
    let names = |config: &NetworkConfig| -> Vec<String> {
        config.classes.iter().skip(1).map(|class| class.name.to_lowercase()).collect()
    };
    let channels = |config: &NetworkConfig| -> Vec<String> {
        config.channels.iter().map(|name| name.to_lowercase()).collect()
    };
    let (one_way, other_way) = (channels(a), channels(b));
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if one_way != other_way && sorted(&one_way) == sorted(&other_way) {
        return Some("an order of channels");
    }
    let same = a.activation == b.activation
        && names(a) == names(b)
        && a.regions_class_order == b.regions_class_order
        && values(one) == values(other);
    (!same).then_some("classes")
}
