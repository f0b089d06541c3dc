use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::pace::Pace;
use crate::resident_memory::resident_memory;
use crate::{Error, Event, Observer, Result};

/// Writes a line of JSON for each step and each epoch.
///
/// A log only grows: a resumed run goes on in the same file, and its first line says so.
///
/// The line of an epoch is its [`EpochSummary`](crate::EpochSummary), and beside it
/// `steps_per_second` and `patches_per_second`, without what comes between epochs, and
/// `resident_bytes`, the memory that the program takes; each is left out where it is not known.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    pace: Pace,
}

impl Log {
    /// Opens a log to append to.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        let (path, file) = (path.to_owned(), BufWriter::new(file));
        Ok(Self { path, file, pace: Pace::default() })
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        writeln!(self.file, "{line}").map_err(Error::io(&self.path))
    }
}

impl Observer for Log {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        self.pace.on(event);
        match *event {
            Event::Started { epoch, step, epochs, iterations, batch_size, parameters, .. } => {
                self.write(&json!({
                    "event": "started", "epoch": epoch, "step": step, "epochs": epochs,
                    "iterations": iterations, "batch_size": batch_size, "parameters": parameters,
                }))?;
            }
            Event::Step { epoch, step, loss, learning_rate, gradient_norm } => {
                self.write(&json!({
                    "event": "step", "epoch": epoch, "step": step, "loss": loss,
                    "learning_rate": learning_rate, "gradient_norm": gradient_norm,
                }))?;
            }
            Event::Epoch(summary) => {
                let mut line = json!(summary);
                line["event"] = "epoch".into();
                if let Some((steps, patches)) = self.pace.per_second() {
                    line["steps_per_second"] = steps.into();
                    line["patches_per_second"] = patches.into();
                }
                if let Some(bytes) = resident_memory() {
                    line["resident_bytes"] = bytes.into();
                }
                self.write(&line)?;
                self.file.flush().map_err(Error::io(&self.path))?;
            }
            Event::Held(held) => {
                let mut line = json!(held);
                line["event"] = "held".into();
                self.write(&line)?;
            }
            Event::Memory(estimate) => {
                self.write(&json!({
                    "event": "memory", "needed_bytes": estimate.needed,
                    "available_bytes": estimate.available,
                }))?;
            }
            Event::Prepared { .. }
            | Event::Transferred(_)
            | Event::Between { .. }
            | Event::Predicted { .. } => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
