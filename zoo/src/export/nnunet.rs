//! Networks, as nnU-Net v2 keeps those that it has trained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use candle::Tensor;
use engine::calibrate::Calibration;
use engine::file::write_json;
use engine::{NetworkConfig, Trained};
use models::ModelConfig;
use pytorch::Value;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::plans::plans;
use crate::pack::{Workshop, check_vacant};
use crate::{Error, Result, load_all};

/// What has been exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The folder that nnU-Net's predictor is given.
    pub folder: PathBuf,
    /// Such as `3d_fullres`.
    pub configuration: String,
    /// The folds, from 0.
    pub folds: usize,
    /// Whether a temperature has been taken into the weights.
    pub calibrated: bool,
}

/// Writes a model as the folder of a trained network that nnU-Net's own predictor reads:
/// `plans.json`, `dataset.json`, `fold_N/checkpoint_final.pth`.
///
/// `model` is a model folder, a run, or a folder with one of them for each fold. nnU-Net knows no calibration: a temperature
/// is taken into the last layer, so that probabilities are the calibrated ones; labels do not change.
///
/// # Errors
///
/// [`Error::Export`], where nnU-Net has no such network, or would prepare images in another way.
pub fn export_nnunet(model: &Path, output: &Path) -> Result<Exported> {
    check_vacant(output)?;
    let networks = load_all(model)?;
    let first = &networks[0];
    let wrong = |reason: String| Error::Export { path: model.to_owned(), reason };
    let meaning = |it: &Trained| {
        let NetworkConfig { architecture, classes, regions_class_order, channels, .. } =
            it.config.clone();
        (architecture, classes, regions_class_order, channels)
    };
    if networks.iter().any(|it| it.plan != first.plan || meaning(it) != meaning(first)) {
        return Err(wrong(
            "its folds have different networks, plans or classes, where nnU-Net's share one; export each by itself".to_owned(),
        ));
    }
    if !first.config.previous_labels.is_empty() {
        return Err(wrong(
            "it sees what another network says before it (a cascade), and only networks that stand alone are exported".to_owned(),
        ));
    }
    check_classes(&first.config).map_err(wrong)?;
    let configuration = if first.plan.rank == 2 { "2d" } else { "3d_fullres" };
    let plans = plans(first, configuration).map_err(wrong)?;
    let mut calibrated = false;
    let workshop = Workshop::beside(output)?;
    write_json(&workshop.0.join("plans.json"), &plans)?;
    write_json(&workshop.0.join("dataset.json"), &dataset(&first.config))?;
    for (fold, network) in networks.iter().enumerate() {
        let folder = workshop.0.join(format!("fold_{fold}"));
        fs::create_dir(&folder).map_err(Error::io(&folder))?;
        let weights = Weights::of(network, wrong)?;
        calibrated |= weights.calibrated;
        let checkpoint = checkpoint(network, configuration, fold, weights.tensors);
        let path = folder.join("checkpoint_final.pth");
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            pytorch::write(&checkpoint, &mut file)?;
            file.sync_all()
        };
        write().map_err(Error::io(&path))?;
    }
    workshop.rename(output)?;
    Ok(Exported {
        folder: output.to_owned(),
        configuration: configuration.to_owned(),
        folds: networks.len(),
        calibrated,
    })
}

fn whole(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What nnU-Net's predictor looks at in a checkpoint.
fn checkpoint(
    network: &Trained,
    configuration: &str,
    fold: usize,
    weights: Vec<(String, Tensor)>,
) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let first = 3 - network.plan.rank;
    let mirrored = (first..3).filter(|&axis| network.config.mirror_axes[axis]);
    let mirrored: Vec<Value> = mirrored.map(|axis| whole(axis - first)).collect();
    let axes = if mirrored.is_empty() { Value::None } else { Value::Tuple(mirrored) };
    let weights = weights.into_iter().map(|(name, tensor)| (name, Value::Tensor(tensor)));
    let entries = [
        ("network_weights", Value::Dict(weights.collect())),
        ("trainer_name", text("nnUNetTrainer")),
        ("inference_allowed_mirroring_axes", axes),
        (
            "init_args",
            Value::Dict(vec![
                ("configuration".to_owned(), text(configuration)),
                ("fold".to_owned(), whole(fold)),
            ]),
        ),
        ("current_epoch", Value::Int(0)),
    ];
    Value::Dict(entries.map(|(key, value)| (key.to_owned(), value)).to_vec())
}

/// What nnU-Net's network is given.
struct Weights {
    /// All names that it knows its weights by, of which many are the same tensor.
    tensors: Vec<(String, Tensor)>,
    /// Whether a temperature was taken into the last layer.
    calibrated: bool,
}

impl Weights {
    fn of(network: &Trained, wrong: impl Fn(String) -> Error) -> Result<Self> {
        let config = &network.config;
        let mut parameters = network.parameters.clone();
        let features = match &config.architecture {
            ModelConfig::Unet(unet) => &unet.features_per_stage,
            ModelConfig::ResidualUnet(unet) => &unet.features_per_stage,
            _ => return Err(wrong("its network is none of nnU-Net's".to_owned())),
        };
        // Heads come coarsest first.
        let last = features.len() - 2;
        let head = |stage: usize, part: &str| format!("decoder.seg_layers.{stage}.{part}");
        let calibrated = match config.predict.calibration {
            Calibration::None => false,
            Calibration::Temperature => config.temperature.to_bits() != 1.0_f64.to_bits(),
            Calibration::Vector => {
                let reason = "it is calibrated by a vector, for which nnU-Net has no place; predict with another \
                              calibration";
                return Err(wrong(reason.to_owned()));
            }
        };
        if calibrated {
            for part in ["weight", "bias"] {
                if let Some(tensor) = parameters.get_mut(&head(last, part)) {
                    *tensor = (&*tensor / config.temperature)?;
                }
            }
        }
        Ok(Self { tensors: aliased(parameters), calibrated })
    }
}

/// Each weight under each of its names.
fn aliased(parameters: BTreeMap<String, Tensor>) -> Vec<(String, Tensor)> {
    let mut all = Vec::new();
    for (name, tensor) in parameters {
        let mut names = vec![name.clone()];
        // A convolution and its norm are also the first and second of a list.
        for (part, place) in [(".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")] {
            if let Some((before, after)) = name.rsplit_once(part) {
                names.push(format!("{before}{place}{after}"));
            }
        }
        // The decoder keeps the encoder.
        if name.starts_with("encoder.") {
            names.extend(names.clone().iter().map(|name| format!("decoder.{name}")));
        }
        all.extend(names.into_iter().map(|name| (name, tensor.clone())));
    }
    all
}

/// `dataset.json`.
#[derive(Debug, Serialize)]
struct DatasetJson<'a> {
    channel_names: InOrder<usize, &'a String>,
    /// By their values, as nnU-Net counts them: one after the other.
    labels: InOrder<String, serde_json::Value>,
    #[serde(rename = "numTraining")]
    num_training: usize,
    file_ending: &'static str,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    regions_class_order: &'a [u16],
}

/// An object whose keys stay in this order: regions are told apart by it.
#[derive(Debug)]
struct InOrder<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for InOrder<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Refuses names that would mean something else to nnU-Net.
fn check_classes(config: &NetworkConfig) -> Result<(), String> {
    let mut seen = BTreeSet::from(["background"]);
    for class in config.classes.iter().skip(1) {
        if class.name == "ignore" || !seen.insert(&class.name) {
            return Err(format!(
                "it has a class called {}, which nnU-Net would take for another; give it another name in config.json",
                class.name
            ));
        }
    }
    if config.has_regions() && config.classes.iter().skip(1).all(|class| class.values.len() == 1) {
        return Err(
            "its classes are decided each by itself, as where data sets label some of them, but nnU-Net takes classes of one \
             value each for such as exclude each other"
                .to_owned(),
        );
    }
    Ok(())
}

fn dataset(config: &NetworkConfig) -> DatasetJson<'_> {
    let label = |(index, class): (usize, &'_ data::Class)| match (
        config.has_regions(),
        class.values.as_slice(),
    ) {
        (false, _) => json!(index),
        (true, [one]) => json!(one),
        (true, several) => json!(several),
    };
    // nnU-Net knows the background by this name alone.
    let name = |(at, class): (usize, &'_ data::Class)| {
        if at == 0 { "background".to_owned() } else { class.name.clone() }
    };
    let labels = config.classes.iter().enumerate();
    DatasetJson {
        channel_names: InOrder(config.channels.iter().enumerate().collect()),
        labels: InOrder(labels.map(|one| (name(one), label(one))).collect()),
        num_training: 0,
        file_ending: ".nii.gz",
        regions_class_order: &config.regions_class_order,
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, configuration, folds, calibrated } = self;
        write!(f, "exported {configuration}, {folds} folds, to {}", folder.display())?;
        if *calibrated {
            write!(f, "; the temperature is now in the weights of the last layer")?;
        }
        Ok(())
    }
}
