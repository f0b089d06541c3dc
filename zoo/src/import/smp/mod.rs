//! Networks of segmentation-models-pytorch.

mod settings;
mod shapes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle::{Device, Tensor};
use engine::{NetworkConfig, PredictConfig, Trained, WeightsMetadata};
use losses::Activation;
use models::Interface;
use preprocess::{GridRule, Interpolation, Normalize, Plan};
use serde_json::Value as Json;

use self::settings::Settings;
use super::monai::{labels, numbered};
use super::weights::state_dict;
use super::{ImportedModel, monai};
use crate::{Error, Result};

/// How images were made ready for a network of segmentation-models-pytorch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SmpNormalization {
    /// Divided by 255, then by the means and deviations of ImageNet, as its encoders were pretrained.
    Imagenet,
    /// Divided by 255.
    ZeroToOne,
    /// Each channel by its own mean and deviation.
    ZScore,
    /// As they are.
    None,
    /// Divided by 255, then by these means and deviations.
    Given {
        /// One for each channel, from 0 to 1.
        mean: Vec<f64>,
        /// One for each channel.
        std: Vec<f64>,
    },
}

/// What a file of weights does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SmpOptions {
    /// `Unet`, `FPN` or `DeepLabV3Plus`, in any case; absent, by the names of the weights.
    pub architecture: Option<String>,
    /// Such as `resnet34`; absent, by the shapes of the weights.
    pub encoder: Option<String>,
    /// How images were made ready; absent, as for the pretrained encoder, where `config.json` names its weights.
    pub normalize: Option<SmpNormalization>,
    /// How logits become probabilities; absent, by a sigmoid where there is one, else by a softmax.
    pub activation: Option<Activation>,
    /// The names of the classes that the network has; empty for numbers.
    pub classes: Vec<String>,
    /// What the network sees at once, pixels, height and width; absent, 512 each.
    pub patch: Option<[usize; 2]>,
}

/// Reads a network of segmentation-models-pytorch, as [`import_smp`](super::import_smp) does.
///
/// # Errors
///
/// [`Error::Import`], which names what is not known here; [`Error::Io`]; [`Error::Checkpoint`].
pub fn read_smp(source: &Path, options: &SmpOptions) -> Result<ImportedModel> {
    let (path, given) = files(source)?;
    let wrong = |reason: String| Error::Import { path: source.to_owned(), reason };
    let parameters = shapes::stripped(state_dict(&path)?).map_err(wrong)?;
    let settings = Settings::read(given.as_ref(), options, &parameters).map_err(wrong)?;
    let (trained, notes) = trained(&settings, options, parameters).map_err(wrong)?;
    let model = trained.build(&Device::Cpu).map_err(|error| {
        wrong(format!("its weights are not those of {}: {error}", settings.name()))
    })?;
    let patch = &trained.plan.patch_size[1..];
    let stride = model.stride();
    if patch.iter().zip(stride).any(|(extent, stride)| !extent.is_multiple_of(*stride)) {
        return Err(wrong(format!(
            "a patch of {patch:?} pixels is no multiple of {stride:?}, as the network needs; change --patch"
        )));
    }
    let program = "segmentation-models-pytorch";
    let networks = vec![(String::new(), trained)];
    Ok(ImportedModel { program, origin: settings.name(), networks, notes, previous: None })
}

/// The file of weights, and `config.json` beside it, where a folder has one.
fn files(source: &Path) -> Result<(PathBuf, Option<Json>)> {
    if !source.is_dir() {
        return Ok((source.to_owned(), None));
    }
    let wrong = |path: &Path, reason: String| Error::Import { path: path.to_owned(), reason };
    let names = ["model.safetensors", "pytorch_model.bin"];
    let Some(weights) = names.iter().map(|it| source.join(it)).find(|path| path.is_file()) else {
        let reason = format!("it has neither {}; give the file of weights", names.join(" nor "));
        return Err(wrong(source, reason));
    };
    let config = source.join("config.json");
    if !config.is_file() {
        return Ok((weights, None));
    }
    let text = std::fs::read_to_string(&config).map_err(Error::io(&config))?;
    let value: Json =
        serde_json::from_str(&text).map_err(|error| wrong(&config, error.to_string()))?;
    if !value.is_object() {
        return Err(wrong(&config, "it is no mapping".to_owned()));
    }
    Ok((weights, Some(value)))
}

fn trained(
    settings: &Settings,
    options: &SmpOptions,
    parameters: BTreeMap<String, Tensor>,
) -> Result<(Trained, Vec<String>), String> {
    let mut notes = settings.notes.clone();
    let interface = Interface { channels: settings.channels, classes: settings.classes, rank: 2 };
    let activation = settings.activation;
    let overlapping = activation == Activation::Sigmoid;
    let names = if options.classes.is_empty() {
        notes.push("classes are numbered; name them with --classes".to_owned());
        numbered("class", settings.classes)
    } else {
        options.classes.clone()
    };
    if names.len() != settings.classes {
        return Err(format!(
            "{} classes are named, and the network has {}",
            names.len(),
            settings.classes
        ));
    }
    if options.patch.is_none() {
        notes.push(
            "tiles are of 512 by 512 pixels; give those of its training with --patch HEIGHT,WIDTH"
                .to_owned(),
        );
    }
    let (classes, regions_class_order) = labels(names, overlapping)?;
    let channels = match settings.channels {
        3 => ["red", "green", "blue"].map(str::to_owned).to_vec(),
        count => monai::numbered("channel", count),
    };
    let config = NetworkConfig {
        schema: NetworkConfig::SCHEMA,
        dataset: settings.name(),
        architecture: settings.model.clone(),
        interface,
        activation,
        channels,
        orientation: None,
        spacing: None,
        previous_labels: Vec::new(),
        classes,
        regions_class_order,
        mirror_axes: [false; 3],
        predict: PredictConfig { mirror: false, ..PredictConfig::default() },
        text: None,
        temperature: 1.0,
        vector_scaling: None,
    };
    let [height, width] = options.patch.unwrap_or([512, 512]);
    let patch_size = [1, height, width];
    let plan = Plan {
        schema: Plan::SCHEMA,
        rank: 2,
        canonical: false,
        transpose: [0, 1, 2],
        crop_to_nonzero: false,
        normalize: normalize(&settings.normalize, settings.channels)?,
        resample: false,
        spacing: [1.0; 3],
        interpolation: Interpolation::Linear,
        grid: GridRule::Nnunet,
        median_size: patch_size.map(|extent| extent as f64),
        patch_size,
        context: 0,
        batch_size: 1,
    };
    let metadata = WeightsMetadata::of(&config, None);
    Ok((Trained { config, plan, parameters, metadata }, notes))
}

/// Of ImageNet, red, green and blue.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

fn normalize(how: &SmpNormalization, channels: usize) -> Result<Vec<Normalize>, String> {
    let known = |subtrahend: f64, divisor: f64| Normalize::Standardize {
        subtrahend: Some(subtrahend),
        divisor: Some(divisor),
        nonzero: false,
    };
    let each = |mean: &[f64], std: &[f64]| {
        if mean.len() != channels || std.len() != channels {
            return Err(format!(
                "{} means and {} deviations are given for {channels} channels; give as many with --mean and --std",
                mean.len(),
                std.len()
            ));
        }
        if std.iter().any(|&std| !(std.is_finite() && std > 0.0)) {
            return Err(format!("a deviation of {std:?} is not positive; change --std"));
        }
        Ok(mean.iter().zip(std).map(|(mean, std)| known(255.0 * mean, 255.0 * std)).collect())
    };
    match how {
        SmpNormalization::Imagenet => each(&MEAN, &STD),
        SmpNormalization::Given { mean, std } => each(mean, std),
        SmpNormalization::ZeroToOne => Ok(vec![known(0.0, 255.0); channels]),
        SmpNormalization::ZScore => Ok(vec![Normalize::ZScore { masked: false }; channels]),
        SmpNormalization::None => Ok(vec![Normalize::None; channels]),
    }
}
