//! One TOML file is one run.

use std::fs;
use std::path::Path;

use data::{LayoutConfig, SplitRule};
use losses::LossConfig;
use models::ModelConfig;
use nn::{OptimizerConfig, ScheduleConfig};
use preprocess::{Augmentation, Fusion, LabelSmoothing, PlanConfig};
use registry::{OutOfRange, StepSize};
use serde::{Deserialize, Deserializer, Serialize};

use crate::calibrate::Calibration;
use crate::{Error, Precision, PretrainedConfig, Result, SupervisionConfig};

/// Steps that a run may have: at ten a second, those of 13 years.
const MOST_STEPS: usize = u32::MAX as usize;

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
    /// The network.
    pub model: ModelConfig,
    /// Weights that an encoder begins with; absent, all is drawn at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedConfig>,
    /// What is minimised, at every head of the network.
    pub loss: LossConfig,
    /// Whom the network learns from beside the labels; absent, from nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<SupervisionConfig>,
    /// How parameters follow their gradients.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
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

/// Which cases are held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// By which rule: nnU-Net's, or that of a paper.
    pub rule: SplitRule,
    /// The number of folds.
    pub folds: usize,
    /// The fold that is held out, from 0.
    pub fold: usize,
    /// The seed of the shuffle; 12345 is nnU-Net's.
    pub seed: u32,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { rule: SplitRule::Nnunet, folds: 5, fold: 0, seed: 12345 }
    }
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

/// How long to train, and in what portions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The number of epochs.
    pub epochs: usize,
    /// Steps in an epoch, each one batch.
    pub iterations_per_epoch: usize,
    /// Patches in a batch.
    pub batch_size: usize,
    /// The learning rate, before the schedule's factor.
    pub learning_rate: f64,
    /// The norm that all gradients together are clipped to; absent, they are not clipped.
    pub clip_gradient_norm: Option<f64>,
    /// The share of patches that are made to contain foreground, as nnU-Net counts it.
    pub oversample_foreground: f64,
    /// Batches of held-out patches that are scored after each epoch.
    pub validation_iterations: usize,
    /// Epochs between checkpoints.
    pub checkpoint_every: usize,
    /// How exactly steps are computed.
    pub precision: Precision,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            iterations_per_epoch: 250,
            batch_size: 2,
            learning_rate: 0.01,
            clip_gradient_norm: Some(12.0),
            oversample_foreground: 1.0 / 3.0,
            validation_iterations: 10,
            checkpoint_every: 1,
            precision: Precision::Exact,
        }
    }
}

/// How an image is predicted, tile by tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictConfig {
    /// The distance between tiles, as a share of the patch: a [`registry::StepSize`].
    #[serde(deserialize_with = "step_size")]
    pub step_size: f64,
    /// Whether the middle of a tile counts more than its border.
    pub gaussian: bool,
    /// Whether to average over all mirrored versions of each tile.
    pub mirror: bool,
    /// How exactly tiles are computed.
    pub precision: Precision,
    /// What is done to logits before they become probabilities: what was fitted to held-out cases.
    pub calibration: Calibration,
}

fn step_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    StepSize::deserialize(deserializer).map(f64::from)
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self {
            step_size: 0.5,
            gaussian: true,
            mirror: true,
            precision: Precision::Exact,
            calibration: Calibration::Temperature,
        }
    }
}

impl PredictConfig {
    /// That the settings make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub fn check(&self) -> Result<()> {
        match StepSize::try_from(self.step_size) {
            Ok(_) => Ok(()),
            Err(OutOfRange { value, range }) => Err(Error::Settings(format!(
                "predict.step_size is {value}; {range} is needed, a share of the patch"
            ))),
        }
    }
}

impl RunConfig {
    /// The version of the format that this program writes.
    pub const SCHEMA: u32 = 1;

    /// Reads a run file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Config`], which points at the line; [`Error::File`], where a
    /// number is out of range or settings contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &[])
    }

    /// Reads the text of a run file.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read`].
    pub fn from_text(text: &str) -> Result<Self> {
        Self::parse(Path::new("the run file"), text)?.checked()
    }

    /// Reads a run file, and gives some of its settings another value, each written
    /// `key.of.setting=value` with the value as in TOML (text without quotes is taken as text).
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read`]; and [`Error::Settings`], which names the assignment that does not
    /// fit.
    pub fn read_with(path: &Path, assignments: &[String]) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let unchanged = Self::parse(path, &text)?;
        // The file is to blame, unless it is an assignment that made it wrong.
        let alone = unchanged.clone().checked();
        let blamed = |error: Error| match (error, alone.is_err()) {
            (Error::Settings(reason), true) => Error::File { path: path.to_owned(), reason },
            (error, _) => error,
        };
        if assignments.is_empty() {
            return unchanged.checked().map_err(blamed);
        }
        let wrong = |source| Error::Config { path: path.to_owned(), source: Box::new(source) };
        let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        for assignment in assignments {
            assign(&mut table, assignment)?;
            // After each one, so that the message names the one that is wrong.
            table
                .clone()
                .try_into::<Self>()
                .map_err(|error| Error::Settings(format!("{assignment}: {}", error.message())))?;
        }
        table.try_into::<Self>().map_err(wrong)?.checked().map_err(blamed)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        toml::from_str(text)
            .map_err(|source| Error::Config { path: path.to_owned(), source: Box::new(source) })
    }

    /// The settings themselves, once they are known not to contradict each other.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub fn checked(self) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Settings(reason));
        let (split, train) = (&self.split, &self.train);
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
        for (name, value) in [
            ("train.epochs", train.epochs),
            ("train.iterations_per_epoch", train.iterations_per_epoch),
            ("train.batch_size", train.batch_size),
            ("train.validation_iterations", train.validation_iterations),
            ("train.checkpoint_every", train.checkpoint_every),
        ] {
            if value == 0 {
                return refuse(format!("{name} is 0; at least 1 is needed"));
            }
        }
        let steps = train.epochs.checked_mul(train.iterations_per_epoch);
        if steps.is_none_or(|steps| steps > MOST_STEPS) {
            return refuse(format!(
                "train.epochs {} of train.iterations_per_epoch {} are more than {MOST_STEPS} steps; \
                 use fewer",
                train.epochs, train.iterations_per_epoch
            ));
        }
        if !(0.0..=1.0).contains(&train.oversample_foreground) {
            return refuse(format!(
                "train.oversample_foreground is {}; a share from 0 to 1 is needed",
                train.oversample_foreground
            ));
        }
        if !(train.learning_rate.is_finite() && train.learning_rate > 0.0) {
            return refuse(format!(
                "train.learning_rate is {}; a positive number is needed",
                train.learning_rate
            ));
        }
        if train.clip_gradient_norm.is_some_and(|norm| norm.is_nan() || norm <= 0.0) {
            return refuse("train.clip_gradient_norm must be positive".to_owned());
        }
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

/// Sets `a.b.c=value` in a table, and makes the tables on the way.
fn assign(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let wrong = |reason: &str| Error::Settings(format!("{assignment}: {reason}"));
    let (key, value) =
        assignment.split_once('=').ok_or_else(|| wrong("it is not of the form key=value"))?;
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = key.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| wrong("it names no key"))?;
    let mut inner = table;
    for key in keys {
        inner = inner
            .entry(key)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| wrong(&format!("{key} holds no settings")))?;
    }
    inner.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_reach_into_tables_and_keep_their_types() -> anyhow::Result<()> {
        let mut table: toml::Table = toml::from_str("seed = 1\n[train]\nepochs = 5")?;

        assign(&mut table, "train.epochs=2")?;
        assign(&mut table, "labels.fusion=majority")?;
        assign(&mut table, "preprocess.spacing=[1.0, 2.0, 3.0]")?;

        let expected = "seed = 1\n[train]\nepochs = 2\n[labels]\nfusion = \"majority\"\n\
                        [preprocess]\nspacing = [1.0, 2.0, 3.0]";
        assert_eq!(table, toml::from_str(expected)?);
        Ok(())
    }

    #[test]
    fn an_assignment_that_does_not_fit_is_named() {
        let mut table: toml::Table = toml::from_str("seed = 1").unwrap();

        let error = assign(&mut table, "seed.more=2").unwrap_err();

        assert_eq!(error.to_string(), "seed.more=2: seed holds no settings");
        assert!(assign(&mut table, "seed").is_err());
        assert!(assign(&mut table, "=3").is_err());
    }
}
