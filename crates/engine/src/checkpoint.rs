//! Everything that a run needs to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use candle::Tensor;
use nn::{Optimizer, Parameters};
use serde::{Deserialize, Serialize};

use crate::event::EpochSummary;
use crate::file::Versioned;
use crate::network::Learner;
use crate::{Error, Result, RunConfig, weights};

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointState {
    /// The version of this format: 1.
    pub schema: u32,
    /// Epochs that are done.
    pub epochs_done: usize,
    /// What became of each.
    pub history: Vec<EpochSummary>,
    /// The settings of the run, as TOML.
    pub config: String,
}

impl Versioned for CheckpointState {
    const SCHEMA: u32 = 1;
}

/// A run between two epochs: all that it needs to go on as if it had never stopped.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) learner: &'a Learner,
    pub(crate) history: &'a [EpochSummary],
}

impl Snapshot<'_> {
    /// Epochs that are done.
    pub fn epochs_done(&self) -> usize {
        self.history.len()
    }

    /// What became of each.
    pub fn history(&self) -> &[EpochSummary] {
        self.history
    }

    /// Writes a checkpoint, atomically. In a run folder, `--resume` goes on from
    /// [`RunFolder::checkpoint`](crate::RunFolder::checkpoint).
    ///
    /// # Errors
    ///
    /// As [`save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let state = CheckpointState {
            schema: CheckpointState::SCHEMA,
            epochs_done: self.epochs_done(),
            history: self.history.to_vec(),
            config: self.config.to_toml()?,
        };
        save(path, &self.learner.parameters, self.learner.optimizer.as_ref(), &state)
    }
}

const PARAMETERS: &str = "parameters/";
const OPTIMIZER: &str = "optimizer/";

/// Writes a checkpoint, atomically.
///
/// # Errors
///
/// [`Error::Io`]; a former checkpoint stays.
pub fn save(
    path: &Path,
    parameters: &Parameters,
    optimizer: &dyn Optimizer,
    state: &CheckpointState,
) -> Result<()> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in parameters.tensors()? {
        tensors.insert(format!("{PARAMETERS}{name}"), tensor);
    }
    for (name, tensor) in optimizer.state()? {
        tensors.insert(format!("{OPTIMIZER}{name}"), tensor);
    }
    // How long an epoch took is no part of its state: equal runs make equal checkpoints.
    let mut state = state.clone();
    for epoch in &mut state.history {
        epoch.seconds = 0.0;
    }
    weights::save(path, &tensors, &state)
}

/// Reads a checkpoint back into parameters and optimizer.
///
/// # Errors
///
/// [`Error::File`], where the checkpoint is damaged, of a newer format than this program, or of a
/// run with other settings than `config` (a larger `train.epochs` is no difference: that is how a
/// run is prolonged; one that is smaller than what is done already is refused).
pub fn load(
    path: &Path,
    parameters: &Parameters,
    optimizer: &mut dyn Optimizer,
    config: &RunConfig,
) -> Result<CheckpointState> {
    let (tensors, state): (BTreeMap<String, Tensor>, CheckpointState) =
        weights::load_versioned(path)?;
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    let before: RunConfig = toml::from_str(&state.config).map_err(|error| {
        wrong(format!("its settings cannot be read ({error}); begin a new run in another folder"))
    })?;
    let mut comparable = before.clone();
    comparable.train.epochs = config.train.epochs;
    if comparable != *config {
        return Err(wrong(
            "it is of a run with other settings; give the same run file, or begin a new run in \
             another folder"
                .to_owned(),
        ));
    }
    if config.train.epochs < state.epochs_done {
        return Err(wrong(format!(
            "{} epochs are done already, but train.epochs is {}; set it to at least that, or begin \
             a new run in another folder",
            state.epochs_done, config.train.epochs
        )));
    }
    let below = |prefix: &str| -> BTreeMap<String, Tensor> {
        let inside = tensors.iter().filter_map(|(name, tensor)| {
            name.strip_prefix(prefix).map(|name| (name.to_owned(), tensor.clone()))
        });
        inside.collect()
    };
    parameters.load(&below(PARAMETERS)).map_err(|error| wrong(error.to_string()))?;
    optimizer.load_state(&below(OPTIMIZER)).map_err(|error| wrong(error.to_string()))?;
    Ok(state)
}
