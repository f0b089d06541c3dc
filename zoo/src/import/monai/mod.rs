//! Bundles of MONAI.

mod args;
mod bundle;
mod config;
mod networks;
mod outcome;
mod steps;
mod transforms;
mod yaml;

use std::path::Path;

use data::Class;
use engine::{NetworkConfig, PredictConfig, Trained, WeightsMetadata};
use losses::Activation;
use models::{Interface, ModelConfig};
use serde_json::Value as Json;

use self::args::Args;
use self::bundle::Bundle;
use self::config::{Config, Refusal};
use self::outcome::{Outcome, Tiles, channel_names};
use self::transforms::Preparation;
use super::ImportedModel;
use super::weights::state_dict;
use crate::{Error, Result};

/// What is to be read of a bundle, where it does not say so itself in a way that is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonaiOptions {
    /// Another configuration than `configs/inference.json` or `.yaml`.
    pub config: Option<String>,
    /// Another file of weights than `models/model.pt`, in the bundle or elsewhere.
    pub checkpoint: Option<String>,
    /// Ids, such as `network_def#channels`, with values in JSON that replace what the configuration says.
    pub set: Vec<(String, String)>,
    /// Classes of transforms that are left out, such as `CropForegroundd`.
    pub without: Vec<String>,
    /// How logits become probabilities, whatever the postprocessing says.
    pub activation: Option<Activation>,
}

/// Reads a bundle of MONAI, as [`import_monai`](super::import_monai) does.
///
/// Of its configuration nothing is evaluated: classes are known by name, references lead to values, and what is needed
/// and is an expression is refused.
///
/// # Errors
///
/// [`Error::Import`], which names what is not known here, and says how to give it; [`Error::Io`];
/// [`Error::Checkpoint`].
pub fn read_monai(source: &Path, options: &MonaiOptions) -> Result<ImportedModel> {
    let bundle = Bundle::open(source)?;
    let (path, value) = bundle.config(options.config.as_deref())?;
    let metadata = bundle.metadata()?;
    let named = shown(&bundle, &path);
    let wrong = |reason: Refusal| Error::Import { path: named.clone(), reason };
    let mut config = Config::new(value);
    for (id, value) in &options.set {
        config.set(id, value).map_err(wrong)?;
    }
    let origin = origin(source, metadata.as_ref());
    let understood = Understood::read(&config, options).map_err(wrong)?;
    let weights = bundle.weights(options.checkpoint.as_deref())?;
    let parameters = state_dict(&weights).map_err(|error| in_archive(error, &bundle))?;
    let (trained, notes) =
        understood.trained(&origin, metadata.as_ref(), parameters).map_err(wrong)?;
    let model = trained.build(&candle::Device::Cpu).map_err(|error| Error::Import {
        path: shown(&bundle, &weights),
        reason: format!("its weights are not those of the network in the configuration: {error}"),
    })?;
    let patch = &trained.plan.patch_size[3 - trained.plan.rank..];
    let stride = model.stride();
    if patch.iter().zip(stride).any(|(extent, stride)| !extent.is_multiple_of(*stride)) {
        return Err(wrong(format!(
            "inferer#roi_size is {patch:?}, and the network takes multiples of {stride:?}; give others with --set \
             'inferer#roi_size=[…]'"
        )));
    }
    let program = "a bundle of MONAI";
    Ok(ImportedModel {
        program,
        origin,
        networks: vec![(String::new(), trained)],
        notes,
        previous: None,
    })
}

/// A file of a bundle under a name that lasts, where the bundle was an archive.
fn shown(bundle: &Bundle, path: &Path) -> std::path::PathBuf {
    path.strip_prefix(&bundle.folder).map_or_else(|_| path.to_owned(), |it| bundle.named.join(it))
}

fn in_archive(error: Error, bundle: &Bundle) -> Error {
    match error {
        Error::Import { path, reason } => Error::Import { path: shown(bundle, &path), reason },
        other => other,
    }
}

/// `name version`, of the metadata or the folder.
fn origin(source: &Path, metadata: Option<&Json>) -> String {
    let text = |key: &str| metadata.and_then(|it| it.get(key)).and_then(Json::as_str);
    let file = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = text("name").map_or(file, str::to_owned);
    match text("version") {
        Some(version) => format!("{name} {version}"),
        None => name,
    }
}

/// What a configuration says.
struct Understood {
    architecture: ModelConfig,
    interface: Interface,
    preparation: Preparation,
    tiles: Tiles,
    outcome: Outcome,
    activation: Activation,
}

impl Understood {
    fn read(config: &Config, options: &MonaiOptions) -> Result<Self, Refusal> {
        let (architecture, interface) = network(config)?;
        let Interface { channels, rank, .. } = interface;
        let preparation = Preparation::read(config, rank, channels, &options.without)?;
        let tiles = Tiles::read(config, rank)?;
        let outcome = match options.activation {
            Some(activation) => Outcome { activation: Some(activation), ..Outcome::default() },
            None => Outcome::read(config, &options.without)?,
        };
        let activation = outcome.activation.ok_or(
            "its postprocessing has neither softmax nor sigmoid, argmax nor threshold; give --activation softmax, or \
             --activation sigmoid where channels may overlap",
        )?;
        for name in &options.without {
            if !preparation.left_out.contains(name) && !outcome.left_out.contains(name) {
                return Err(format!("there is no transform {name} that could be left out"));
            }
        }
        Ok(Self { architecture, interface, preparation, tiles, outcome, activation })
    }

    fn trained(
        self,
        origin: &str,
        metadata: Option<&Json>,
        parameters: std::collections::BTreeMap<String, candle::Tensor>,
    ) -> Result<(Trained, Vec<String>), Refusal> {
        let Self { architecture, interface, preparation, tiles, outcome, activation } = self;
        let mut notes = outcome.notes;
        let left_out = preparation.left_out.iter().chain(&outcome.left_out);
        notes.extend(
            left_out.map(|name| format!("{name} is left out: predictions are others than MONAI's")),
        );
        let plan = preparation.plan(&tiles.roi);
        let overlapping = activation == Activation::Sigmoid;
        let names = channel_names(metadata, "outputs", interface.classes, "class");
        if names.is_none() {
            notes.push(
                "the metadata does not name each channel of the output; classes are numbered"
                    .to_owned(),
            );
        }
        let names = names.unwrap_or_else(|| numbered("class", interface.classes));
        let (classes, regions_class_order) = labels(names, overlapping)?;
        if overlapping && interface.classes > 1 {
            notes.push(
                "its channels may overlap: in label files a later one covers an earlier one, with --masks each is \
                 written by itself"
                    .to_owned(),
            );
        }
        let channels = channel_names(metadata, "inputs", interface.channels, "channel");
        let channels = channels.unwrap_or_else(|| numbered("channel", interface.channels));
        let config = NetworkConfig {
            schema: NetworkConfig::SCHEMA,
            dataset: origin.to_owned(),
            architecture,
            interface,
            activation,
            channels,
            orientation: None,
            spacing: None,
            previous_labels: Vec::new(),
            classes,
            regions_class_order,
            mirror_axes: [false; 3],
            predict: PredictConfig {
                step_size: 1.0 - tiles.overlap,
                gaussian: tiles.gaussian,
                mirror: false,
                ..PredictConfig::default()
            },
            text: None,
            temperature: 1.0,
            vector_scaling: None,
        };
        let metadata = WeightsMetadata::of(&config, None);
        Ok((Trained { config, plan, parameters, metadata }, notes))
    }
}

/// The network of `network_def`, or of `network`.
fn network(config: &Config) -> Result<(ModelConfig, Interface), Refusal> {
    for id in ["network_def", "network"] {
        let Some(value) = config.find(id)? else { continue };
        if let Some(args) = Args::of(config, id, value)? {
            return networks::network(args);
        }
    }
    Err("it has neither network_def nor network; name the network with --set 'network_def=@ID'"
        .to_owned())
}

pub(super) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}_{i}")).collect()
}

/// Classes with the values that they have in label files; of channels that may overlap, the order in which they are
/// painted.
pub(super) fn labels(
    names: Vec<String>,
    overlapping: bool,
) -> Result<(Vec<Class>, Vec<u16>), Refusal> {
    let count = names.len() + usize::from(overlapping);
    let last = u16::try_from(count).map_err(|_| format!("{count} classes are too many"))?;
    let background = overlapping.then(|| "background".to_owned());
    let all = background.into_iter().chain(names);
    let classes = all.zip(0..last).map(|(name, value)| Class::new(name, [value])).collect();
    Ok((classes, if overlapping { (1..last).collect() } else { Vec::new() }))
}
