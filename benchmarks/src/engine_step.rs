//! Steps of a whole run: the engine trains in a thread, and goes on when it is asked.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use candle::Device;
use sconce::engine::{
    self, Error, Event, Observer, Origins, Run, RunConfig, RunFolder, Storage, train,
};
use sconce::nn::{Spent, Work, spent, spent_so_far};
use sconce::ranks::Alone;
use serde::Deserialize;

use crate::patches::Volumes;

/// Which run, and how many of its steps at a time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EngineRequest {
    /// Steps that are made when it is asked.
    pub steps: usize,
    /// Channels of each stage.
    pub features: Vec<usize>,
    /// Voxels of a patch, z y x; of a slice, z is 1.
    pub patch: [usize; 3],
    /// Patches in a batch.
    pub batch: usize,
    /// As a run file has it.
    pub precision: String,
    /// Whether patches are varied as nnU-Net does it, or not at all.
    pub augment: bool,
}

/// What some steps came to.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    seconds: f64,
    loss: f64,
    spent: Spent,
}

/// A run that waits between steps.
#[derive(Debug)]
pub struct EngineWork {
    go: Option<SyncSender<()>>,
    turns: Receiver<Turn>,
    run: Option<thread::JoinHandle<engine::Result<()>>>,
}

/// Lets the run wait until it is asked for more steps.
struct Gate {
    steps: usize,
    go: Receiver<()>,
    turns: SyncSender<Turn>,
    made: usize,
    since: Option<(Instant, Spent)>,
}

impl Observer for Gate {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        let loss = match event {
            Event::Started { .. } => None,
            Event::Step { loss, .. } => {
                self.made += 1;
                if !self.made.is_multiple_of(self.steps) {
                    return Ok(ControlFlow::Continue(()));
                }
                Some(*loss)
            }
            _ => return Ok(ControlFlow::Continue(())),
        };
        let now = spent_so_far().unwrap_or_default();
        if let (Some(loss), Some((since, before))) = (loss, self.since) {
            let seconds = since.elapsed().as_secs_f64();
            let turn = Turn { seconds, loss, spent: now.since(&before) };
            // Whoever no longer listens no longer asks.
            _ = self.turns.send(turn);
        }
        if self.go.recv().is_err() {
            return Ok(ControlFlow::Break(()));
        }
        self.since = Some((Instant::now(), spent_so_far().unwrap_or_default()));
        Ok(ControlFlow::Continue(()))
    }
}

impl EngineWork {
    /// Begins the run, up to its first step.
    ///
    /// # Errors
    ///
    /// Where its settings are wrong.
    pub fn new(request: &EngineRequest) -> anyhow::Result<Self> {
        let EngineRequest { patch, batch, features, precision, augment, .. } = request;
        let rank = if patch[0] == 1 { 2 } else { 3 };
        let augment = if *augment { "" } else { "augment = []\n" };
        let text = format!(
            "schema = 1\nseed = 1\n{augment}[data.nnunet_raw]\n[preprocess]\nrank = {rank}\npatch_size = {patch:?}\n\
             normalize = [\"z_score\"]\n[model.unet]\nfeatures_per_stage = {features:?}\n[optimizer.sgd]\n\
             [train]\nepochs = 1\niterations_per_epoch = 1000000\nbatch_size = {batch}\n\
             checkpoint_minutes = 0.0\nprecision = {precision:?}\n"
        );
        let config = RunConfig::from_text(&text).context(text)?;
        // Larger than the patch, as scans are.
        let volumes =
            Volumes::new(8, patch.map(|extent| if extent == 1 { 1 } else { extent * 3 / 2 }));
        let (go, asked) = sync_channel(1);
        let (told, turns) = sync_channel(1);
        let steps = request.steps;
        let run = thread::spawn(move || -> engine::Result<()> {
            let place = std::env::temp_dir().join(format!("sconce-steps-{}", std::process::id()));
            let folder = RunFolder::create(&place, false)?;
            let mut gate = Gate { steps, go: asked, turns: told, made: 0, since: None };
            let run = Run {
                config: &config,
                dataset: &volumes,
                folder: &folder,
                device: &Device::Cpu,
                resume: false,
                origins: Origins::default(),
                storage: Storage::default(),
                group: Arc::new(Alone),
                meter: None,
                command: "",
            };
            let (outcome, _) = spent(|| train(&run, &mut [&mut gate as &mut dyn Observer]));
            // Nobody wants its network.
            std::fs::remove_dir_all(&place)
                .map_err(|error| Error::Io { path: place.clone(), source: error })?;
            outcome.map(drop)
        });
        Ok(Self { go: Some(go), turns, run: Some(run) })
    }

    /// Makes some steps: the seconds that one took, its loss, and the seconds for each kind of work.
    ///
    /// # Errors
    ///
    /// Where the run has failed.
    pub fn run(&mut self, steps: usize) -> anyhow::Result<Vec<f64>> {
        let asked = self.go.as_ref().is_some_and(|go| go.send(()).is_ok());
        let turn = if asked { self.turns.recv().ok() } else { None };
        let Some(Turn { seconds, loss, spent }) = turn else {
            let ended = self.run.take().map(thread::JoinHandle::join);
            match ended {
                Some(Ok(Err(error))) => return Err(error.into()),
                _ => anyhow::bail!("the run has ended"),
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "few steps")]
        let steps = steps as f64;
        let parts = Work::ALL.iter().map(|&work| spent.on(work) / steps);
        Ok([loss, seconds / steps].into_iter().chain(parts).collect())
    }
}

impl Drop for EngineWork {
    fn drop(&mut self) {
        self.go = None;
        if let Some(run) = self.run.take() {
            _ = run.join();
        }
    }
}
