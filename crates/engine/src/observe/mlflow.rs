//! Runs on an MLflow server.

mod api;
mod names;
mod outbox;
mod sender;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use self::api::Identity;
use self::outbox::{Metric, Outbox, now};
use self::sender::Sender;
use super::curves::{SECONDS, curves};
use crate::evaluate::Evaluation;
use crate::{EpochSummary, Event, Observer, Provenance, Result, RunConfig, RunFolder};

pub use self::api::{MlFlowLogin, MlFlowServer};
pub use self::outbox::RunStatus;

/// Losses of steps that a run sends, at most: more would be a burden to the server, and show no more.
const STEPS: usize = 1000;

/// What a run is, to an MLflow server.
#[derive(Clone, Copy, Debug)]
pub struct MlFlowRun<'a> {
    /// The experiment that it belongs to, made where the server has none of that name.
    pub experiment: &'a str,
    /// Who runs it, where that is known and may be told.
    pub user: Option<&'a str>,
    /// The command that runs it, without paths of the user.
    pub command: &'a str,
    /// Its settings, all of which are sent.
    pub config: &'a RunConfig,
    /// Its folder, whose name it gets, and which keeps in `mlflow.json` which run of the server it is.
    pub folder: &'a RunFolder,
    /// Whether it goes on in the run that the folder names.
    pub resume: bool,
}

/// Sends a run to an MLflow server, over its REST API.
///
/// | name | step | value |
/// |---|---|---|
/// | `loss/train`, `loss/validation`, `dice/NAME`, `dice/mean`, `learning_rate`, `seconds_per_epoch` | epoch, from 1 | as [`TensorBoard`](super::TensorBoard) has them |
/// | `loss/step` | step, from 0 | the loss of one step in so many that a run has no more than 1000 |
/// | `held_out/CLASS/SCORE` | epochs | at the end, the mean over held-out cases |
///
/// Parameters are all settings of the run file, such as `train.epochs`; tags say program, command
/// and, at the end, the hash of the weights. Characters that MLflow does not take in a name are
/// written as `_`, and values of parameters are cut after 6000.
///
/// Nothing of this can stop a run, or slow it: a thread of its own sends. Where that fails, `warn` is
/// called with one line, the first time; what was not sent is kept, up to 100 000 values, and tried
/// again after each epoch. A run that goes on sends the epochs that the server does not have, but for
/// how long they took.
/// Epochs that a killed run does again are sent again: of two values of one step, the later holds.
pub struct MlFlow {
    outbox: Arc<Outbox>,
    /// What sends, until training begins.
    sender: Option<Sender>,
    thread: Option<JoinHandle<()>>,
    warn: Box<dyn FnMut(&str)>,
    classes: Vec<String>,
    epochs: usize,
    every: usize,
}

impl MlFlow {
    /// Nothing is sent before training begins.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::File`](crate::Error::File), where a run that goes
    /// on has an `mlflow.json` that cannot be read.
    pub fn new(
        server: MlFlowServer,
        run: &MlFlowRun<'_>,
        warn: impl FnMut(&str) + 'static,
    ) -> Result<Self> {
        let root = run.folder.root();
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let made = Provenance::of_command(run.command);
        let source = [
            ("mlflow.source.name", made.command),
            ("mlflow.source.type", "LOCAL".to_owned()),
            ("sconce.version", made.version),
        ];
        let tags = source.map(|(key, value)| (key.to_owned(), names::tag(&value))).into();
        let user = run.user.map(str::to_owned);
        let identity = Identity { experiment: run.experiment.to_owned(), name, user, tags };
        let outbox = Arc::new(Outbox::default());
        let record = (record(root), run.resume);
        let settings = names::settings(run.config)?;
        let sender = Sender::new(server, identity, settings, Arc::clone(&outbox), record)?;
        Ok(Self {
            outbox,
            sender: Some(sender),
            thread: None,
            warn: Box::new(warn),
            classes: Vec::new(),
            epochs: 0,
            every: 1,
        })
    }

    /// Sends what the run came to: the scores of held-out cases, and the hash of its weights.
    pub fn scores(&mut self, evaluation: &Evaluation) {
        let names = names::names_of_classes(&evaluation.classes);
        let named = evaluation.classes.iter().zip(&names);
        let named = named.map(|(class, name)| (class.as_str(), name.as_str()));
        for (class, name) in named.chain([("mean", "mean")]) {
            for (score, summary) in evaluation.masks.get(class).into_iter().flatten() {
                let key = format!("held_out/{name}/{score}");
                let metric = |value| metric(&key, value, self.epochs);
                self.outbox.add(summary.mean.map(metric));
            }
        }
        if let Some(weights) = &evaluation.weights {
            self.outbox.add_tag("sconce.weights", weights.clone());
        }
    }

    /// Says how the run ended, once all is sent that can be within half a minute.
    pub fn end(&mut self, status: RunStatus) {
        // Where training never began, the server knows of nothing.
        let Some(thread) = self.thread.take() else { return };
        self.outbox.end(status);
        // A thread that panicked has nothing more to say.
        _ = thread.join();
        self.tell();
        let unsent = self.outbox.unsent();
        if unsent > 0 {
            (self.warn)(&format!(
                "MLflow lacks {unsent} values of this run; log.jsonl in its folder has them all"
            ));
        }
    }

    fn tell(&mut self) {
        if let Some(line) = self.outbox.warning() {
            (self.warn)(&line);
        }
    }

    /// The values of an epoch.
    fn epoch(&self, summary: &EpochSummary, before: bool) -> Vec<Metric> {
        let done = summary.epoch + 1;
        let one = |(key, value): (String, f64)| Metric {
            epochs: Some(done),
            before,
            ..metric(&key, value, done)
        };
        let curves = curves(summary, &self.classes).into_iter();
        // A checkpoint does not keep how long epochs took.
        curves.filter(|(key, _)| !before || key != SECONDS).map(one).collect()
    }

    fn begin(&mut self, history: &[EpochSummary]) {
        for summary in history {
            self.outbox.add(self.epoch(summary, true));
        }
        let Some(sender) = self.sender.take() else { return };
        let thread = thread::Builder::new().name("mlflow".to_owned());
        match thread.spawn(move || sender.work()) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.outbox.warn(format!(
                "nothing is sent to MLflow, for want of a thread ({error}); training goes on"
            )),
        }
    }
}

fn metric(key: &str, value: f64, step: usize) -> Metric {
    Metric { key: names::name(key), value, step, time: now(), epochs: None, before: false }
}

/// `mlflow.json` of a run folder.
fn record(root: &Path) -> std::path::PathBuf {
    root.join("mlflow.json")
}

impl fmt::Debug for MlFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlFlow").field("classes", &self.classes).finish_non_exhaustive()
    }
}

impl Observer for MlFlow {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        match *event {
            Event::Started { epochs, iterations, classes, history, .. } => {
                self.classes = names::names_of_classes(classes);
                self.epochs = epochs;
                self.every = (epochs * iterations).div_ceil(STEPS).max(1);
                self.begin(history);
                self.outbox.send();
            }
            Event::Step { step, loss, .. } if step.is_multiple_of(self.every) => {
                self.outbox.add([metric("loss/step", loss, step)]);
            }
            Event::Epoch(summary) => {
                self.outbox.add(self.epoch(summary, false));
                self.outbox.send();
            }
            _ => {}
        }
        self.tell();
        Ok(ControlFlow::Continue(()))
    }
}

/// A run that nobody ended has failed.
impl Drop for MlFlow {
    fn drop(&mut self) {
        self.end(RunStatus::Failed);
    }
}
