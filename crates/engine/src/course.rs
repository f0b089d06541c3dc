use nn::Moment;
use serde::{Deserialize, Serialize};

use crate::config::{Keep, TrainConfig};
use crate::event::EpochSummary;
use crate::{Progress, RunConfig};

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Course {
    /// What became of each epoch that is done.
    pub history: Vec<EpochSummary>,
    /// Steps of the next epoch that are done.
    pub steps: usize,
    /// The sum of their losses.
    pub losses: f64,
}

impl Course {
    /// Epochs that are done.
    pub fn epochs_done(&self) -> usize {
        self.history.len()
    }

    /// The validation losses of the epochs that are done.
    pub(crate) fn validation_losses(&self) -> Vec<f64> {
        self.history.iter().map(|epoch| epoch.validation_loss).collect()
    }

    /// Whether no epoch is to follow: all are done, or the validation loss no longer falls.
    pub(crate) fn is_over(&self, train: &TrainConfig) -> bool {
        self.epochs_done() >= train.epochs
            || train.early_stopping.is_some_and(|it| it.ends(self.validation_losses()))
    }

    /// The epoch whose weights a run ends with; `None` for those after its last step, also where no validation loss
    /// is a number.
    pub(crate) fn kept(&self, train: &TrainConfig) -> Option<usize> {
        if train.keep == Keep::Last {
            return None;
        }
        let numbers = self.history.iter().filter(|epoch| !epoch.validation_loss.is_nan());
        // Of equal losses, the first.
        let best = numbers.min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss));
        best.map(|epoch| epoch.epoch)
    }

    /// Where the step after those that are done is in the run.
    pub(crate) fn next_step(&self, train: &TrainConfig) -> Progress {
        progress(train, self.epochs_done(), self.steps)
    }

    /// The learning rate of a step.
    pub(crate) fn learning_rate(&self, config: &RunConfig, progress: Progress) -> f64 {
        let losses = &self.validation_losses();
        let moment = Moment { step: progress.step as f64, total: progress.steps as f64, losses };
        config.train.learning_rate * config.schedule.at(&moment, config.warmup.as_ref())
    }

    /// What became of the epoch whose steps are all done, which it is counted among now.
    pub(crate) fn end_epoch(
        &mut self,
        config: &RunConfig,
        (validation_loss, validation_dice): (f64, Vec<Option<f64>>),
        seconds: f64,
    ) -> EpochSummary {
        let train = &config.train;
        let (epoch, iterations) = (self.epochs_done(), train.iterations_per_epoch);
        let last = progress(train, epoch, iterations - 1);
        let summary = EpochSummary {
            epoch,
            epochs: train.epochs,
            train_loss: self.losses / iterations as f64,
            validation_loss,
            validation_dice,
            learning_rate: self.learning_rate(config, last),
            seconds,
        };
        self.history.push(summary.clone());
        (self.steps, self.losses) = (0, 0.0);
        summary
    }
}

fn progress(train: &TrainConfig, epoch: usize, iteration: usize) -> Progress {
    let iterations = train.iterations_per_epoch;
    Progress { epoch, step: epoch * iterations + iteration, steps: train.epochs * iterations }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(losses: &[f64]) -> Course {
        let epoch = |(epoch, &validation_loss): (usize, &f64)| EpochSummary {
            epoch,
            epochs: 9,
            train_loss: 0.0,
            validation_loss,
            validation_dice: Vec::new(),
            learning_rate: 0.1,
            seconds: 0.0,
        };
        let history = losses.iter().enumerate().map(epoch).collect();
        Course { history, ..Course::default() }
    }

    #[test]
    fn the_first_of_the_least_losses_is_kept() {
        let best = TrainConfig { keep: Keep::Best, ..TrainConfig::default() };

        assert_eq!(after(&[0.4, 0.2, f64::NAN, 0.2, 0.3]).kept(&best), Some(1));
        assert_eq!(after(&[f64::NAN]).kept(&best), None);
        assert_eq!(after(&[]).kept(&best), None);
        assert_eq!(after(&[0.4, 0.2]).kept(&TrainConfig::default()), None);
    }
}
