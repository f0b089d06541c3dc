use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Event, Observer, Result};

/// Saves a run every few epochs and every few minutes, and where it ends: every run is watched by one.
///
/// Another, of another file, is for those who want to go back further than to the last epoch.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    every: usize,
    /// The longest time between two.
    apart: Option<Duration>,
    last: Instant,
}

impl Checkpoint {
    /// Into this file, after each `every` epochs; after each one, where that is 0.
    pub fn new(path: PathBuf, every: usize) -> Self {
        Self { path, every: every.max(1), apart: None, last: Instant::now() }
    }

    /// The same, and within an epoch where so many minutes have passed since; never, where that is 0 or no length of
    /// time.
    #[must_use]
    pub fn every_minutes(self, minutes: f64) -> Self {
        let apart = Duration::try_from_secs_f64(60.0 * minutes).ok();
        Self { apart: apart.filter(|apart| !apart.is_zero()), ..self }
    }
}

impl Observer for Checkpoint {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        let Event::Between { snapshot, ends } = event else { return Ok(ControlFlow::Continue(())) };
        let of_epoch =
            snapshot.steps_done() == 0 && snapshot.epochs_done().is_multiple_of(self.every);
        let of_time = self.apart.is_some_and(|apart| self.last.elapsed() >= apart);
        if *ends || of_epoch || of_time {
            snapshot.save(&self.path)?;
            self.last = Instant::now();
        }
        Ok(ControlFlow::Continue(()))
    }
}
