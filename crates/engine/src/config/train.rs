use nn::AverageConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Precision, Result, StoredAs};

/// Steps that a run may have: at ten a second, those of 13 years.
const MOST_STEPS: usize = u32::MAX as usize;

/// Minutes between two checkpoints beyond which none would be made: a year.
const MOST_MINUTES: f64 = 525_600.0;

/// How long to train, and in what portions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The number of epochs.
    pub epochs: usize,
    /// Steps in an epoch.
    pub iterations_per_epoch: usize,
    /// Patches in a batch.
    pub batch_size: usize,
    /// Batches whose gradients are averaged in one step: more patches in a step than memory has room for.
    pub accumulate_grad_batches: usize,
    /// The learning rate, before the schedule's factor.
    pub learning_rate: f64,
    /// The norm that all gradients together are clipped to; absent or infinite, they are not clipped.
    #[serde(deserialize_with = "norm_or_none", serialize_with = "norm_or_infinity")]
    pub clip_gradient_norm: Option<f64>,
    /// The share of patches that are made to contain foreground, as nnU-Net counts it.
    pub oversample_foreground: f64,
    /// Batches of held-out patches that are scored after each epoch.
    pub validation_iterations: usize,
    /// Epochs between checkpoints.
    pub checkpoint_every: usize,
    /// Minutes between checkpoints, within an epoch too; 0 for none but those of epochs.
    pub checkpoint_minutes: f64,
    /// How exactly steps are computed.
    pub precision: Precision,
    /// An average of the weights over the steps, which is what is scored and published; absent, the weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<AverageConfig>,
    /// Which weights a run ends with.
    pub keep: Keep,
    /// What they are in their file; they are scored and calibrated as they are there.
    #[serde(skip_serializing_if = "StoredAs::is_f32")]
    pub weights: StoredAs,
    /// When a run ends before its last epoch; absent, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
}

/// An infinite limit is none: that is how a run file undoes the default.
fn norm_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.filter(|norm| *norm != f64::INFINITY))
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn norm_or_infinity<S: Serializer>(norm: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(norm.unwrap_or(f64::INFINITY))
}

/// Which weights a run ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those after the last step.
    #[default]
    Last,
    /// Those after the epoch of the least validation loss.
    Best,
}

/// Ends a run whose validation loss no longer falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without a better loss after which a run ends.
    pub patience: usize,
    /// By how much a loss must be less than the least so far to be better.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 50, min_delta: 0.0 }
    }
}

impl EarlyStopping {
    /// Whether a run with these validation losses, one for each epoch that is done, is to end. A loss that is NaN is no
    /// better than any.
    pub(crate) fn ends(self, losses: impl IntoIterator<Item = f64>) -> bool {
        let (mut least, mut without) = (f64::INFINITY, 0);
        for loss in losses {
            if loss < least - self.min_delta {
                (least, without) = (loss, 0);
            } else {
                without += 1;
            }
        }
        without >= self.patience
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            iterations_per_epoch: 250,
            batch_size: 2,
            accumulate_grad_batches: 1,
            learning_rate: 0.01,
            clip_gradient_norm: Some(12.0),
            oversample_foreground: 1.0 / 3.0,
            validation_iterations: 10,
            checkpoint_every: 1,
            checkpoint_minutes: 10.0,
            precision: Precision::Exact,
            average: None,
            keep: Keep::Last,
            weights: StoredAs::F32,
            early_stopping: None,
        }
    }
}

impl TrainConfig {
    /// That the settings make sense.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Settings(reason));
        for (name, value) in [
            ("train.epochs", self.epochs),
            ("train.iterations_per_epoch", self.iterations_per_epoch),
            ("train.batch_size", self.batch_size),
            ("train.accumulate_grad_batches", self.accumulate_grad_batches),
            ("train.validation_iterations", self.validation_iterations),
            ("train.checkpoint_every", self.checkpoint_every),
            ("train.early_stopping.patience", self.early_stopping.map_or(1, |it| it.patience)),
        ] {
            if value == 0 {
                return refuse(format!("{name} is 0; at least 1 is needed"));
            }
        }
        let steps = self.epochs.checked_mul(self.iterations_per_epoch);
        let batches = steps.and_then(|steps| steps.checked_mul(self.accumulate_grad_batches));
        if batches.is_none_or(|batches| batches > MOST_STEPS) {
            return refuse(format!(
                "train.epochs {} of train.iterations_per_epoch {} of train.accumulate_grad_batches {} \
                 are more than {MOST_STEPS} steps; use fewer",
                self.epochs, self.iterations_per_epoch, self.accumulate_grad_batches
            ));
        }
        if !(0.0..=1.0).contains(&self.oversample_foreground) {
            return refuse(format!(
                "train.oversample_foreground is {}; a share from 0 to 1 is needed",
                self.oversample_foreground
            ));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse(format!(
                "train.learning_rate is {}; a positive number is needed",
                self.learning_rate
            ));
        }
        if self.clip_gradient_norm.is_some_and(|norm| norm.is_nan() || norm <= 0.0) {
            return refuse("train.clip_gradient_norm must be positive".to_owned());
        }
        if !(0.0..=MOST_MINUTES).contains(&self.checkpoint_minutes) {
            return refuse(format!(
                "train.checkpoint_minutes is {}; minutes are needed, or 0 for none but those of epochs",
                self.checkpoint_minutes
            ));
        }
        let delta = self.early_stopping.map_or(0.0, |it| it.min_delta);
        if !(delta.is_finite() && delta >= 0.0) {
            return refuse(format!(
                "train.early_stopping.min_delta is {delta}; a number of 0 or more is needed"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_after_so_many_epochs_without_a_better_loss() {
        let stopping = EarlyStopping { patience: 2, min_delta: 0.1 };

        assert!(!stopping.ends([]));
        assert!(!stopping.ends([1.0, 0.95]));
        assert!(stopping.ends([1.0, 0.95, 0.91]));
        assert!(!stopping.ends([1.0, 0.95, 0.8]));
        assert!(!stopping.ends([1.0, f64::NAN, 0.8, 0.9]));
        assert!(stopping.ends([1.0, f64::NAN, f64::NAN]));
        assert!(stopping.ends([f64::NAN, f64::NAN]));
    }
}
