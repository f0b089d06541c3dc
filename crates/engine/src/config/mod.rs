//! One TOML file is one run.

mod explain;
mod predict;
mod preset;
mod read;
mod split;
mod train;

use data::LayoutConfig;
use losses::{Dice, LossConfig, NonNegative, Sum};
use models::{ModelConfig, Unet};
use nn::{GroupsConfig, OptimizerConfig, ScheduleConfig, WarmupConfig};
use preprocess::{Augmentation, Fusion, LabelSmoothing, PlanConfig};
use serde::{Deserialize, Serialize};

pub use self::explain::{Source, Sources};
pub use self::predict::PredictConfig;
pub use self::preset::{PRESETS, Preset};
pub use self::split::SplitConfig;
pub use self::train::{EarlyStopping, Keep, TrainConfig};
use crate::{Error, PretrainedConfig, Result, SupervisionConfig, TextConfig};

/// What a training run does, without saying where its data lie.
///
/// ```toml
/// schema = 1
/// seed = 7
/// [data.raters]
/// [labels]
/// fusion = "mean"
/// [model.unet]
/// features_per_stage = [32, 64, 128, 256]
/// [loss.dice_semimetric]
/// [optimizer.sgd]
/// [train]
/// epochs = 50
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The version of this format: 1. Raised only when old files would change meaning.
    pub schema: u32,
    /// The name of settings that hold where this file says nothing: one of [`PRESETS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Where all randomness comes from: weights, order, patches, augmentation.
    #[serde(default)]
    pub seed: u64,
    /// How the data folder is laid out.
    pub data: LayoutConfig,
    /// Which cases are trained on, and which are held out.
    #[serde(default)]
    pub split: SplitConfig,
    /// How labels become targets.
    #[serde(default)]
    pub labels: LabelConfig,
    /// How images become network input; what is not said is planned from the data.
    #[serde(default)]
    pub preprocess: PlanConfig,
    /// How patches are varied; absent, as nnU-Net does it.
    #[serde(default)]
    pub augment: Augmentation,
    /// The network; absent, nnU-Net's U-Net, as deep as the plan has stages.
    #[serde(default = "nnunet_model")]
    pub model: ModelConfig,
    /// Weights that an encoder begins with; absent, all is drawn at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedConfig>,
    /// How words become embeddings, where the network is told in words what to segment; absent, by the encoder that ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig>,
    /// What is minimised, at every head of the network; absent, cross entropy and Dice.
    #[serde(default = "nnunet_loss")]
    pub loss: LossConfig,
    /// Whom the network learns from beside the labels; absent, from nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<SupervisionConfig>,
    /// How parameters follow their gradients.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How single parameters learn; absent, all alike.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub parameters: GroupsConfig,
    /// How the learning rate rises at first; absent, it begins where the schedule does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<WarmupConfig>,
    /// How the learning rate changes over the run.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// How long and in what portions.
    #[serde(default)]
    pub train: TrainConfig,
    /// How images are predicted, held-out cases and others: it goes into `config.json`.
    #[serde(default)]
    pub predict: PredictConfig,
}

fn is_plain(groups: &GroupsConfig) -> bool {
    *groups == GroupsConfig::default()
}

/// nnU-Net's U-Net, with as many stages as a plan has.
fn nnunet_model() -> ModelConfig {
    Unet { features_per_stage: Vec::new(), ..Unet::default() }.into()
}

/// nnU-Net's sum, of classes that exclude each other.
fn nnunet_loss() -> LossConfig {
    let dice = Dice { include_background: false, ..Dice::default() };
    let once = || NonNegative::literal(1.0);
    let terms = vec![
        losses::Term::new(once(), losses::CrossEntropy::default()),
        losses::Term::new(once(), dice),
    ];
    Sum { terms }.into()
}

/// How labels become targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelConfig {
    /// How several raters become one target.
    pub fusion: Fusion,
    /// How doubt is added where labels have none; absent, not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<LabelSmoothing>,
}

impl RunConfig {
    /// The version of the format that this program writes.
    pub const SCHEMA: u32 = 1;

    /// The settings themselves, once they are known not to contradict each other.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub fn checked(self) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Settings(reason));
        let split = &self.split;
        if self.schema != Self::SCHEMA {
            return refuse(format!(
                "schema is {}, but this program reads schema {}; use a program that fits the file",
                self.schema,
                Self::SCHEMA
            ));
        }
        if split.folds < 2 || split.fold >= split.folds {
            return refuse(format!(
                "split.fold is {} of split.folds = {}; folds are at least 2 and counted from 0",
                split.fold, split.folds
            ));
        }
        self.train.check()?;
        let is_idle = |it: &SupervisionConfig| it.teachers.is_empty() && it.cache.is_none();
        if self.supervision.as_ref().is_some_and(is_idle) {
            return refuse("supervision.teachers names no network; name one at least".to_owned());
        }
        if let Some(kde) = self.supervision.as_ref().and_then(|supervision| supervision.kde) {
            kde.check()?;
            if self.supervision.as_ref().is_some_and(|it| (it.temperature.get() - 1.0).abs() > 1e-9)
            {
                return refuse(
                    "supervision.kde needs supervision.temperature = 1: shares of labels have no other"
                        .to_owned(),
                );
            }
        }
        if let Some(smoothing) = self.labels.smoothing {
            let wrong = |error| Error::Settings(format!("labels.smoothing: {error}"));
            smoothing.check().map_err(wrong)?;
        }
        self.predict.check()?;
        if let Some(text) = &self.text {
            text.check()?;
        }
        Ok(self)
    }

    /// The settings as a TOML file with every default written out.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where a value has no TOML form.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Settings(error.to_string()))
    }
}
