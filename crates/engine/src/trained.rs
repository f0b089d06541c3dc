//! A trained network on disk: what every run folder and every model of the zoo has in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle::{Device, Tensor};
use losses::Activation;
use models::{Interface, Model, ModelConfig};
use preprocess::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::LabelMap;

use crate::calibrate::{Calibration, LogitScaling, VectorScaling};
use crate::config::PredictConfig;
use crate::file::{Versioned, read_versioned, sha256, write_json};
use crate::label_space::label_values;
use crate::stored_as::{StoredAs, widened};
use crate::{Error, Result, TextRecord, colors, weights};

/// `config.json`: the network, and what its channels mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The version of this format: 1.
    pub schema: u32,
    /// The name of the data set that it was trained on.
    pub dataset: String,
    /// The network, with everything that was planned for it written out.
    pub architecture: ModelConfig,
    /// Channels, classes and rank.
    pub interface: Interface,
    /// How its logits become probabilities.
    pub activation: Activation,
    /// The name of each image channel.
    pub channels: Vec<String>,
    /// Of a cascade: the labels, as in label files, that the network before says, each of which is a further channel of what it
    /// sees, 1 where the label is; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_labels: Vec<u16>,
    /// The classes, background first.
    pub classes: Vec<data::Class>,
    /// How the axes of its images run, slowest first, each letter the side of the patient that an axis runs to, such as `SAR`; absent where
    /// they are as in the files. For readers: `plan.json` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// The spacing that it is meant for, mm, along these axes; absent where images keep their own. For readers, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// Where regions overlap: the label that each class but the background is painted with, in the
    /// order of painting, so that a later one covers an earlier one; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions_class_order: Vec<u16>,
    /// Along which axes, `(z, y, x)`, it saw mirrored images in training: the others cannot be
    /// mirrored in prediction, where left may not be right.
    #[serde(default = "all_axes")]
    pub mirror_axes: [bool; 3],
    /// What it is told in words by, where it is: see [`Trained::prompted`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextRecord>,
    /// How images are predicted unless something else is asked for: as its temperature was fitted
    /// and its scores were found.
    #[serde(default)]
    pub predict: PredictConfig,
    /// What logits are divided by before they become probabilities: 1 where nothing was fitted.
    pub temperature: f64,
    /// What is done to the logits of each channel instead, where [`PredictConfig::calibration`] asks for
    /// it; `None` where nothing was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_scaling: Option<VectorScaling>,
}

fn all_axes() -> [bool; 3] {
    [true; 3]
}

impl NetworkConfig {
    /// The version of the format that this program writes.
    pub const SCHEMA: u32 = 1;

    /// The same with what other programs want to know: a colour for each class, how axes run, and their spacing.
    #[must_use]
    pub fn described(mut self, plan: &Plan) -> Self {
        for (index, color) in self.colors().into_iter().enumerate() {
            self.classes[index].color = Some(color);
        }
        let sides = plan.transpose.map(|axis| ["S", "A", "R"].get(axis).copied().unwrap_or("?"));
        self.orientation = plan.canonical.then(|| sides.concat());
        self.spacing = plan.resample.then_some(plan.spacing);
        self
    }

    /// The colour of each class, the background first: its own, or one that most others do not have.
    pub fn colors(&self) -> Vec<[u8; 3]> {
        let color = |(index, class): (usize, &data::Class)| {
            class.color.unwrap_or_else(|| colors::of_class(index))
        };
        self.classes.iter().enumerate().map(color).collect()
    }

    /// Whether classes may overlap, so that each is a probability of its own.
    pub fn has_regions(&self) -> bool {
        self.activation == Activation::Sigmoid
    }

    /// What a calibration does to its logits.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where it has no such calibration, or one for other channels.
    pub fn scaling(&self, calibration: Calibration) -> Result<LogitScaling> {
        match calibration {
            Calibration::None => Ok(LogitScaling::default()),
            Calibration::Temperature => Ok(LogitScaling::Temperature(self.temperature)),
            Calibration::Vector => {
                let channels = self.interface.classes;
                let vector = self.vector_scaling.as_ref().filter(|it| it.fits(channels));
                let vector = vector.ok_or_else(|| {
                    Error::Settings(format!(
                        "the network has no weight and bias for each of its {channels} channels, as \
                         calibration by a vector needs them; use the calibration temperature or none, \
                         or score the run anew: repeat its `sconce train` with --resume"
                    ))
                })?;
                Ok(LogitScaling::Vector(vector.clone()))
            }
        }
    }

    /// The value that each class has in label files that are written, background first: the data
    /// set's own where it has one, such as 255; where a class stands for several values or none,
    /// its index, unless that is another's value. Where regions overlap, what they are painted
    /// with.
    pub fn label_values(&self) -> Vec<u16> {
        if self.has_regions() {
            return std::iter::once(0).chain(self.regions_class_order.iter().copied()).collect();
        }
        label_values(&self.classes)
    }

    /// Which values in label files that are written belong to each class, the background first: of regions that overlap
    /// several, else one.
    pub fn label_members(&self) -> Vec<Vec<u16>> {
        if self.has_regions() {
            return self.classes.iter().map(|class| class.values.clone()).collect();
        }
        self.label_values().into_iter().map(|value| vec![value]).collect()
    }

    /// Labels as [`Prediction::labels`](crate::Prediction::labels) gives them, with the values
    /// that they have in files.
    #[must_use]
    pub fn to_files(&self, mut labels: LabelMap) -> LabelMap {
        // Those of regions are painted with their values already.
        if !self.has_regions() {
            let values = self.label_values();
            labels
                .data
                .mapv_inplace(|class| values.get(usize::from(class)).copied().unwrap_or(class));
        }
        labels
    }
}

impl Versioned for NetworkConfig {
    const SCHEMA: u32 = Self::SCHEMA;
}

impl Versioned for Plan {
    const SCHEMA: u32 = Self::SCHEMA;
}

/// What `model.safetensors` says of itself, as JSON with sorted keys under the one metadata key
/// [`METADATA_KEY`](crate::weights::METADATA_KEY): enough to know what the file is where it has
/// been parted from its folder, and nothing of time, path, host or number of threads, so that equal
/// runs make equal files.
///
/// ```json
/// {"activation":"softmax","architecture":{"unet":{"conv_bias":true}},
///  "classes":[{"name":"background","values":[0]},{"name":"organ","values":[1,2]}],
///  "dataset":"phantom-3d","format":"sconce","interface":{"channels":1,"classes":2,"rank":3},
///  "schema":1,"seed":1}
/// ```
///
/// What is optional here is not in older files, nor in files that hold other tensors than weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsMetadata {
    /// What wrote it.
    pub format: String,
    /// The version of this format: 1.
    pub schema: u32,
    /// The network, with every setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<ModelConfig>,
    /// Channels, classes and rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// The name of the data set that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The classes, background first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<data::Class>>,
    /// How its logits become probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// The seed of the run that trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What the weights are in the file.
    #[serde(default, skip_serializing_if = "StoredAs::is_f32")]
    pub weights: StoredAs,
}

impl WeightsMetadata {
    /// Of a network, and of the seed of the run that trained it, where that is known.
    pub fn of(config: &NetworkConfig, seed: Option<u64>) -> Self {
        Self {
            architecture: Some(config.architecture.clone()),
            interface: Some(config.interface),
            dataset: Some(config.dataset.clone()),
            classes: Some(config.classes.clone()),
            activation: Some(config.activation),
            seed,
            ..Self::default()
        }
    }
}

impl Versioned for WeightsMetadata {
    const SCHEMA: u32 = 1;
}

impl Default for WeightsMetadata {
    /// Of tensors that are no network's weights.
    fn default() -> Self {
        Self {
            format: "sconce".to_owned(),
            schema: Self::SCHEMA,
            architecture: None,
            interface: None,
            dataset: None,
            classes: None,
            activation: None,
            seed: None,
            weights: StoredAs::F32,
        }
    }
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What it is.
    pub config: NetworkConfig,
    /// How images are made ready for it.
    pub plan: Plan,
    /// Its parameters, on the CPU, by their names on disk, in single precision.
    pub parameters: BTreeMap<String, Tensor>,
    /// What the file of the parameters says of itself: kept as it was read, so that a network that
    /// is read and written has the same [hash](Trained::weights_hash).
    pub metadata: WeightsMetadata,
}

/// `model.safetensors` in a folder.
pub(crate) fn weights_path(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

/// `config.json` in a folder.
pub(crate) fn config_path(folder: &Path) -> PathBuf {
    folder.join("config.json")
}

/// `plan.json` in a folder.
pub(crate) fn plan_path(folder: &Path) -> PathBuf {
    folder.join("plan.json")
}

impl Trained {
    /// Reads a network from a run folder or a model folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`], where one of the three files is missing or damaged.
    pub fn load(folder: &Path) -> Result<Self> {
        if !weights_path(folder).exists() {
            return Err(Error::File {
                path: folder.to_owned(),
                reason: "it is no model: it has no model.safetensors; give the folder of a \
                         finished run or of a model"
                    .to_owned(),
            });
        }
        let config: NetworkConfig = read_versioned(&config_path(folder))?;
        let plan: Plan = read_versioned(&plan_path(folder))?;
        let (parameters, metadata) = weights::load_versioned(&weights_path(folder))?;
        let parameters = widened(&parameters)?;
        Ok(Self { config, plan, parameters, metadata })
    }

    /// Writes the three files, each atomically, the weights last.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&config_path(folder), &self.config)?;
        write_json(&plan_path(folder), &self.plan)?;
        weights::save(&weights_path(folder), &self.stored()?, &self.metadata)
    }

    /// The SHA-256 hash of the file that [`Trained::save`] writes the weights to: what ties scores
    /// to the weights that they are of.
    ///
    /// # Errors
    ///
    /// Where a tensor cannot be brought to the CPU.
    pub fn weights_hash(&self) -> Result<String> {
        let path = Path::new("model.safetensors");
        let bytes = weights::serialize(path, &self.stored()?, &self.metadata)?;
        sha256(&bytes[..]).map_err(Error::io(path))
    }

    /// Its parameters as their file has them.
    fn stored(&self) -> Result<BTreeMap<String, Tensor>> {
        self.metadata.weights.stored(&self.parameters)
    }

    /// The network itself, for inference on a device.
    ///
    /// # Errors
    ///
    /// Where the parameters are not exactly those that the architecture asks for.
    pub fn build(&self, device: &Device) -> Result<Box<dyn Model>> {
        let mut moved = BTreeMap::new();
        for (name, tensor) in &self.parameters {
            moved.insert(name.clone(), tensor.to_device(device)?);
        }
        let frozen = nn::frozen(moved);
        let model =
            self.config.architecture.as_dyn().build(self.config.interface, frozen.builder())?;
        let unused = frozen.unused();
        if !unused.is_empty() {
            return Err(Error::Settings(format!(
                "the weights hold parameters that the network does not have: {}",
                unused.into_iter().collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(model)
    }
}
