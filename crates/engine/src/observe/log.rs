use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Error, Event, Observer, Result};

/// Writes a line of JSON for each step and each epoch.
///
/// A log only grows: a resumed run goes on in the same file, and its first line says so.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
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
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        writeln!(self.file, "{line}").map_err(Error::io(&self.path))
    }
}

impl Observer for Log {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        match *event {
            Event::Started { epoch, epochs, iterations, parameters } => self.write(&json!({
                "event": "started", "epoch": epoch, "epochs": epochs,
                "iterations": iterations, "parameters": parameters,
            }))?,
            Event::Step { epoch, step, loss, learning_rate, gradient_norm } => {
                self.write(&json!({
                    "event": "step", "epoch": epoch, "step": step, "loss": loss,
                    "learning_rate": learning_rate, "gradient_norm": gradient_norm,
                }))?;
            }
            Event::Epoch(summary) => {
                let mut line = json!(summary);
                line["event"] = "epoch".into();
                self.write(&line)?;
                self.file.flush().map_err(Error::io(&self.path))?;
            }
            Event::Held(held) => {
                let mut line = json!(held);
                line["event"] = "held".into();
                self.write(&line)?;
            }
            Event::Prepared { .. }
            | Event::Transferred(_)
            | Event::Between { .. }
            | Event::Predicted { .. } => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
