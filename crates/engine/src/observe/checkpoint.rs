use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::{Event, Observer, Result};

/// Saves a run every few epochs, and where it ends: every run is watched by one.
///
/// Another, of another file, is for those who want to go back further than to the last epoch.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    every: usize,
}

impl Checkpoint {
    /// Into this file, after each `every` epochs; after each one, where that is 0.
    pub fn new(path: PathBuf, every: usize) -> Self {
        Self { path, every: every.max(1) }
    }
}

impl Observer for Checkpoint {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Between { snapshot, ends } = event
            && (*ends || snapshot.epochs_done().is_multiple_of(self.every))
        {
            snapshot.save(&self.path)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
