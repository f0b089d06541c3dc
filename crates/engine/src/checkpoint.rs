//! Everything that a run needs to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use candle::{Device, Tensor};
use nn::LossScale;
use safetensors::View as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::course::Course;
use crate::event::EpochSummary;
use crate::file::{Versioned, hexadecimal, write_verified};
use crate::learner::Learner;
use crate::weights::{self, serialize};
use crate::{Error, Result, RunConfig};

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointState {
    /// The version of this format: 2.
    pub schema: u32,
    /// Epochs that are done.
    pub epochs_done: usize,
    /// What became of each.
    pub history: Vec<EpochSummary>,
    /// Steps of the next epoch that are done.
    #[serde(default)]
    pub steps_done: usize,
    /// The sum of their losses.
    #[serde(default)]
    pub losses: f64,
    /// What the loss is multiplied by, where it is.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// The settings of the run, as TOML.
    pub config: String,
    /// The SHA-256 hash of all this and the tensors: that they are as they were written. Version 1 has none.
    #[serde(default)]
    pub content: Option<String>,
}

impl Versioned for CheckpointState {
    const SCHEMA: u32 = 2;
}

/// A run between two steps: all that it needs to go on as if it had never stopped.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) learner: &'a Learner,
    pub(crate) course: &'a Course,
}

impl Snapshot<'_> {
    /// Epochs that are done.
    pub fn epochs_done(&self) -> usize {
        self.course.epochs_done()
    }

    /// Steps of the next epoch that are done; 0 between two epochs.
    pub fn steps_done(&self) -> usize {
        self.course.steps
    }

    /// What became of each epoch.
    pub fn history(&self) -> &[EpochSummary] {
        &self.course.history
    }

    /// Writes a checkpoint, atomically: a former one stays until this one is whole, on disk, and has been read back. In
    /// a run folder, `--resume` goes on from [`RunFolder::checkpoint`](crate::RunFolder::checkpoint).
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; a former checkpoint stays.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.learner.state()?;
        let mut history = self.course.history.clone();
        // How long an epoch took is no part of its state: equal runs make equal checkpoints.
        for epoch in &mut history {
            epoch.seconds = 0.0;
        }
        let mut state = CheckpointState {
            schema: CheckpointState::SCHEMA,
            epochs_done: self.epochs_done(),
            history,
            steps_done: self.course.steps,
            losses: self.course.losses,
            loss_scale: self.learner.scale().cloned(),
            config: self.config.to_toml()?,
            content: None,
        };
        state.content = Some(content(&tensors, &state)?);
        write_verified(path, &serialize(path, &tensors, &state)?)
    }
}

/// A hash of a state without its hash, and of what tensors hold, their names and shapes.
fn content(tensors: &BTreeMap<String, Tensor>, state: &CheckpointState) -> Result<String> {
    let mut hasher = Sha256::new();
    let state = serde_json::to_string(state).map_err(|error| Error::Settings(error.to_string()))?;
    hasher.update(state);
    for (name, tensor) in tensors {
        hasher.update(format!("{name} {:?} {:?}\n", tensor.dtype(), tensor.dims()));
        let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
        hasher.update(tensor.data());
    }
    Ok(hexadecimal(&hasher.finalize()))
}

/// Reads a checkpoint back into a network in training; how far the run has come.
///
/// # Errors
///
/// [`Error::File`], where the checkpoint is damaged, of a newer format than this program, or of a
/// run with other settings than `config`. What may differ: `train.epochs`, where it is not less than is done already, which is
/// how a run is prolonged, how often a run is saved, and as what its weights are stored in the end.
pub(crate) fn load(path: &Path, learner: &mut Learner, config: &RunConfig) -> Result<Course> {
    let (tensors, mut state): (BTreeMap<String, Tensor>, CheckpointState) =
        weights::load_versioned(path)?;
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    if let Some(expected) = state.content.take()
        && expected != content(&tensors, &state)?
    {
        return Err(wrong(
            "it is damaged: it does not hold what was written; restore it from a copy, or begin a new run in \
             another folder"
                .to_owned(),
        ));
    }
    let before: RunConfig = toml::from_str(&state.config).map_err(|error| {
        wrong(format!("its settings cannot be read ({error}); begin a new run in another folder"))
    })?;
    let mut comparable = before;
    comparable.train.epochs = config.train.epochs;
    comparable.train.checkpoint_every = config.train.checkpoint_every;
    comparable.train.checkpoint_minutes = config.train.checkpoint_minutes;
    comparable.train.weights = config.train.weights;
    if comparable != *config {
        return Err(wrong(
            "it is of a run with other settings; give the same run file, or begin a new run in \
             another folder"
                .to_owned(),
        ));
    }
    let begun = state.epochs_done + usize::from(state.steps_done > 0);
    if config.train.epochs < begun {
        return Err(wrong(format!(
            "{begun} epochs are {} already, but train.epochs is {}; set it to at least that, or begin a new \
             run in another folder",
            if state.steps_done > 0 { "begun" } else { "done" },
            config.train.epochs
        )));
    }
    learner.load(&tensors, state.loss_scale).map_err(|error| wrong(error.to_string()))?;
    Ok(Course { history: state.history, steps: state.steps_done, losses: state.losses })
}
