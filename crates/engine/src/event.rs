//! What happens during a run, told to whoever watches.

use std::ops::ControlFlow;

use serde::{Deserialize as _, Deserializer};

use crate::checkpoint::Snapshot;
use crate::{Held, MemoryEstimate, Result, Transfer};

/// Watches a run: logs it, draws a progress bar, saves it, stops it early.
///
/// Every run is watched by [`observe::Checkpoint`](crate::observe::Checkpoint), whoever else
/// watches: no run is without a checkpoint.
pub trait Observer {
    /// Is told of each event, in order; [`ControlFlow::Break`] ends the run after the step in hand, with a
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// Where watching fails, such as where a log cannot be written: the run ends.
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>>;
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A case has been made ready for the network.
    Prepared {
        /// Cases made ready so far.
        done: usize,
        /// All cases.
        total: usize,
    },
    /// All cases have been made ready: this is where they are.
    Held(&'a Held),
    /// A network has taken what fits of another's weights.
    Transferred(&'a Transfer),
    /// How much memory training will take; told before its first step, where somebody counts.
    Memory(MemoryEstimate),
    /// Training begins, or goes on.
    Started {
        /// The first epoch that is still to do.
        epoch: usize,
        /// Steps of it that are done.
        step: usize,
        /// All epochs.
        epochs: usize,
        /// Steps in an epoch.
        iterations: usize,
        /// Patches in a step.
        batch_size: usize,
        /// The number of trainable values.
        parameters: usize,
        /// The classes but the background, in the order of [`EpochSummary::validation_dice`].
        classes: &'a [String],
        /// The epochs that are done.
        history: &'a [EpochSummary],
    },
    /// A step is done.
    Step {
        /// The epoch, from 0.
        epoch: usize,
        /// The step within the run, from 0.
        step: usize,
        /// The loss of its batch.
        loss: f64,
        /// The learning rate that it was taken with.
        learning_rate: f64,
        /// The norm of all gradients before clipping.
        gradient_norm: f64,
    },
    /// An epoch is done.
    Epoch(&'a EpochSummary),
    /// The run is between two steps, told after [`Event::Step`], or between two epochs, after [`Event::Epoch`]: what is
    /// saved now can be gone on from.
    Between {
        /// The run as it is.
        snapshot: &'a Snapshot<'a>,
        /// Whether this was the last step, or an observer has ended the run: no other moment will
        /// come to save it.
        ends: bool,
    },
    /// A held-out case has been predicted and scored.
    Predicted {
        /// The case.
        id: &'a str,
        /// Cases done so far.
        done: usize,
        /// All cases.
        total: usize,
    },
}

/// What became of an epoch.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EpochSummary {
    /// The epoch, from 0.
    pub epoch: usize,
    /// All epochs.
    pub epochs: usize,
    /// The mean loss of its batches.
    #[serde(deserialize_with = "number_or_nan")]
    pub train_loss: f64,
    /// The mean loss of held-out patches, without augmentation; NaN where it is undefined: see
    /// [`Supervision::terms`](crate::Supervision::terms).
    #[serde(deserialize_with = "number_or_nan")]
    pub validation_loss: f64,
    /// Dice of each foreground class over all held-out patches taken together (nnU-Net's pseudo
    /// Dice); `None` where the class is in none of them.
    pub validation_dice: Vec<Option<f64>>,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// How long it took.
    pub seconds: f64,
}

/// JSON has no NaN: a loss that was none is `null`.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl EpochSummary {
    /// The mean of [`EpochSummary::validation_dice`] over the classes where it is defined.
    pub fn mean_dice(&self) -> Option<f64> {
        let defined: Vec<f64> = self.validation_dice.iter().copied().flatten().collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }
}
