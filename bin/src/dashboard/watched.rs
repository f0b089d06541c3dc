//! What the dashboard knows of a run, from what observers are told.

use std::time::{Duration, Instant};

use sconce::engine::device::DeviceMemory;
use sconce::engine::{EpochSummary, Event, Held};

use super::series::Series;

/// A run as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(super) name: String,
    pub(super) epochs: usize,
    /// Steps in an epoch.
    pub(super) iterations: usize,
    batch_size: usize,
    /// The epoch that is being done, from 0.
    pub(super) epoch: usize,
    /// Steps done in it.
    pub(super) step: usize,
    pub(super) started: Instant,
    pub(super) learning_rate: Option<f64>,
    pub(super) gradient_norm: Option<f64>,
    /// The mean loss of the epoch so far, or of the last one.
    pub(super) train_loss: Option<f64>,
    /// Losses over epochs, in parts of epochs.
    pub(super) train: Series,
    pub(super) validation: Series,
    pub(super) validation_loss: Scores,
    /// The mean over classes, and then each class where there are several.
    pub(super) dice: Vec<Scores>,
    pub(super) held: Option<Held>,
    /// What the program takes of the machine's memory, bytes.
    pub(super) resident: Option<u64>,
    pub(super) device: Option<DeviceMemory>,
    clock: Clock,
    losses: f64,
}

/// What was found of held-out patches, epoch by epoch.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub(super) name: String,
    pub(super) history: Vec<Option<f64>>,
    /// The best, and its epoch, from 0.
    pub(super) best: Option<(f64, usize)>,
    lower_is_better: bool,
}

impl Scores {
    fn new(name: impl Into<String>, lower_is_better: bool) -> Self {
        Self { name: name.into(), history: Vec::new(), best: None, lower_is_better }
    }

    pub(super) fn now(&self) -> Option<f64> {
        self.history.last().copied().flatten()
    }

    fn push(&mut self, value: Option<f64>, epoch: usize) {
        self.history.push(value);
        let better = |value: f64, best: f64| {
            if self.lower_is_better { value < best } else { value > best }
        };
        if let Some(value) = value
            && self.best.is_none_or(|(best, _)| better(value, best))
        {
            self.best = Some((value, epoch));
        }
    }
}

impl Watched {
    /// A run that begins, or goes on; `None` of any other event.
    pub(crate) fn begin(
        name: &str,
        held: Option<Held>,
        event: &Event<'_>,
        now: Instant,
    ) -> Option<Self> {
        let Event::Started { epochs, iterations, batch_size, classes, history, .. } = *event else {
            return None;
        };
        let dice = match classes {
            [class] => vec![Scores::new(format!("Dice {class}"), false)],
            several => ["Dice".to_owned()]
                .into_iter()
                .chain(several.iter().map(|class| format!("  {class}")))
                .map(|name| Scores::new(name, false))
                .collect(),
        };
        // Beside points of whole epochs, those of steps would look like more than they are.
        let per_point = if history.is_empty() { 1 } else { iterations };
        let mut watched = Self {
            name: name.to_owned(),
            epochs,
            iterations,
            batch_size,
            epoch: 0,
            step: 0,
            started: now,
            learning_rate: None,
            gradient_norm: None,
            train_loss: None,
            train: Series::new(per_point),
            validation: Series::new(1),
            validation_loss: Scores::new("loss", true),
            dice,
            held,
            resident: None,
            device: None,
            clock: Clock::default(),
            losses: 0.0,
        };
        for summary in history {
            let middle = summary.epoch as f64 + 0.5;
            watched.train.push(middle, summary.train_loss, iterations);
            watched.end_epoch(summary);
        }
        Some(watched)
    }

    /// Takes up what has happened, and what memory of the device is taken where that is known.
    pub(crate) fn on(&mut self, event: &Event<'_>, device: Option<DeviceMemory>, now: Instant) {
        self.device = device.or(self.device);
        match *event {
            Event::Step { epoch, step, loss, learning_rate, gradient_norm } => {
                self.epoch = epoch;
                self.step = (step + 1).saturating_sub(epoch * self.iterations);
                self.losses += loss;
                self.train_loss = Some(self.losses / self.step.max(1) as f64);
                self.train.push((step + 1) as f64 / self.iterations as f64, loss, 1);
                (self.learning_rate, self.gradient_norm) =
                    (Some(learning_rate), Some(gradient_norm));
                self.clock.step(now, self.step == 1);
            }
            Event::Epoch(summary) => self.end_epoch(summary),
            _ => {}
        }
    }

    fn end_epoch(&mut self, summary: &EpochSummary) {
        let EpochSummary { epoch, train_loss, validation_loss, .. } = *summary;
        (self.epoch, self.step, self.losses) = (epoch + 1, 0, 0.0);
        self.train_loss = Some(train_loss);
        self.learning_rate = Some(summary.learning_rate);
        let validation_loss = Some(validation_loss).filter(|loss| loss.is_finite());
        self.validation_loss.push(validation_loss, epoch);
        if let Some(loss) = validation_loss {
            self.validation.push(epoch as f64 + 1.0, loss, 1);
        }
        let classes = summary.validation_dice.iter().copied();
        for (scores, dice) in
            self.dice.iter_mut().zip([summary.mean_dice()].into_iter().chain(classes))
        {
            scores.push(dice, epoch);
        }
    }

    /// Whether all steps of an epoch are done, and held-out patches are being scored.
    pub(super) fn is_scoring(&self) -> bool {
        self.step >= self.iterations
    }

    /// Which share of the steps of the whole run is done.
    pub(super) fn share(&self) -> f64 {
        let done = self.epoch * self.iterations + self.step;
        done as f64 / (self.epochs * self.iterations).max(1) as f64
    }

    /// Steps and patches per second.
    pub(super) fn per_second(&self) -> Option<(f64, f64)> {
        let steps = 1.0 / self.clock.step?;
        Some((steps, steps * self.batch_size as f64))
    }

    /// How long the epoch and the run will go on.
    pub(super) fn left(&self) -> Option<[Duration; 2]> {
        let step = self.clock.step?;
        let (iterations, done) = (self.iterations as f64, self.step as f64);
        let epoch = (iterations - done).max(0.0) * step + self.clock.between;
        let others = self.epochs.saturating_sub(self.epoch + 1) as f64;
        let run = epoch + others * (iterations * step + self.clock.between);
        let duration = |seconds| Duration::try_from_secs_f64(seconds).ok();
        Some([duration(epoch)?, duration(run)?])
    }
}

/// How long steps take, and what comes between epochs: seconds.
#[derive(Clone, Debug, Default)]
struct Clock {
    last: Option<Instant>,
    step: Option<f64>,
    between: f64,
}

/// For so long, roughly, what a step took goes on to count.
const MEMORY: f64 = 20.0;

impl Clock {
    fn step(&mut self, now: Instant, first: bool) {
        let seconds = self.last.map(|last| now.saturating_duration_since(last).as_secs_f64());
        self.last = Some(now);
        let Some(seconds) = seconds else { return };
        match &mut self.step {
            // Held-out patches were scored since the last step, and a checkpoint written.
            Some(step) if first => self.between = (seconds - *step).max(0.0),
            Some(step) => *step += (1.0 - (-seconds / MEMORY).exp()) * (seconds - *step),
            None => self.step = Some(seconds),
        }
    }
}

#[cfg(test)]
#[path = "watched_tests.rs"]
pub(super) mod tests;
