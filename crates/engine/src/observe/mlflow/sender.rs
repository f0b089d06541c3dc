//! Takes what waits, and sends it: on a thread of its own, so that no step waits for a server.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::api::{Client, Failure, Identity, MlFlowServer};
use super::outbox::{Batch, Outbox, RunStatus, Task, now};
use crate::Result;
use crate::file::{Versioned, read_versioned, write_json};

/// `mlflow.json` of a run folder: which run of a server it is. Where that server is, it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The version of this format: 1.
    schema: u32,
    /// The run, as the server calls it.
    run_id: String,
    /// Whether all settings are there.
    settings: bool,
    /// How many epochs are there.
    epochs: usize,
}

impl Versioned for Record {
    const SCHEMA: u32 = 1;
}

/// Sends what is of one run.
pub(super) struct Sender {
    client: Client,
    server: String,
    identity: Identity,
    settings: Vec<(String, String)>,
    outbox: Arc<Outbox>,
    /// Where it is written down which run it is.
    path: PathBuf,
    /// The run, once there is one.
    record: Option<Record>,
    /// Whether the server knows that it goes on.
    open: bool,
    start: u64,
}

impl Sender {
    /// `resume` asks for the run that the record at `path` names.
    ///
    /// # Errors
    ///
    /// Where there is such a record, and it cannot be read.
    pub(super) fn new(
        server: MlFlowServer,
        identity: Identity,
        settings: Vec<(String, String)>,
        outbox: Arc<Outbox>,
        (path, resume): (PathBuf, bool),
    ) -> Result<Self> {
        let record = if resume && path.exists() { Some(read_versioned(&path)?) } else { None };
        let (address, start) = (server.address().to_owned(), now());
        let client = Client::new(server);
        Ok(Self {
            client,
            server: address,
            identity,
            settings,
            outbox,
            path,
            record,
            open: false,
            start,
        })
    }

    /// Sends until the run ends.
    pub(super) fn work(mut self) {
        // So that whoever looks at the server sees the run before its first epoch is done.
        if let Err(failure) = self.open() {
            self.failed(failure, Batch::default());
        }
        loop {
            let (batch, status) = match self.outbox.next() {
                Task::Send(batch) => (batch, None),
                Task::Close(status) => (Batch::default(), Some(status)),
                Task::GiveUp => return,
            };
            let sent = self.open().and_then(|()| self.send(&batch, status));
            match sent {
                Ok(()) if status.is_some() => return,
                Ok(()) => {}
                Err(failure) => {
                    let refused = matches!(failure, Failure::Refused { .. });
                    self.failed(failure, batch);
                    if refused && status.is_some() {
                        return;
                    }
                }
            }
        }
    }

    /// Keeps what may be sent later, and gives up what is never taken.
    fn failed(&self, failure: Failure, batch: Batch) {
        match failure {
            Failure::Outage(reason) => {
                self.warn(&reason, "it will be tried again after each epoch");
                self.outbox.put_back(batch);
            }
            Failure::Refused { message, .. } => {
                self.warn(&message, "what it does not take is left out");
                self.outbox.lose(batch.metrics.len());
            }
        }
    }

    fn warn(&self, reason: &str, then: &str) {
        let (server, reason) =
            (&self.server, reason.split_whitespace().collect::<Vec<_>>().join(" "));
        self.outbox.warn(format!(
            "MLflow at {server} does not take what is sent ({reason}); training goes on, and {then}"
        ));
    }

    /// Makes the run known to the server, or takes up one that it knows.
    fn open(&mut self) -> Result<(), Failure> {
        if self.open {
            return Ok(());
        }
        if let Some(record) = &self.record {
            match self.client.update(&record.run_id, RunStatus::Running, None) {
                Ok(()) => {}
                Err(Failure::Outage(reason)) => return Err(Failure::Outage(reason)),
                // Another server, or a run that someone has deleted: a new one takes its place.
                Err(Failure::Refused { .. }) => self.record = None,
            }
        }
        if self.record.is_none() {
            let run_id = self.client.create(&self.identity, self.start)?;
            self.keep(Record { schema: Record::SCHEMA, run_id, settings: false, epochs: 0 });
        }
        self.open = true;
        if self.record.as_ref().is_some_and(|it| !it.settings) {
            self.outbox.add_parameters(std::mem::take(&mut self.settings));
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch, status: Option<RunStatus>) -> Result<(), Failure> {
        let Some(mut record) = self.record.clone() else { return Ok(()) };
        let mut batch = batch.clone();
        let known = record.epochs;
        batch.metrics.retain(|it| !it.before || it.epochs.is_none_or(|epochs| epochs > known));
        if batch != Batch::default() {
            self.client.log(&record.run_id, &batch)?;
            record.settings |= !batch.parameters.is_empty();
            let epochs = batch.metrics.iter().filter_map(|it| it.epochs).max();
            record.epochs = epochs.unwrap_or(0).max(record.epochs);
            if self.record.as_ref() != Some(&record) {
                self.keep(record.clone());
            }
        }
        match status {
            Some(status) => self.client.update(&record.run_id, status, Some(now())),
            None => Ok(()),
        }
    }

    /// Writes down which run it is. Where the folder cannot be written to, training itself will say so.
    fn keep(&mut self, record: Record) {
        if let Err(error) = write_json(&self.path, &record) {
            let path = self.path.display();
            self.outbox.warn(format!(
                "cannot write {path} ({error}), so that --resume would begin another run of MLflow"
            ));
        }
        self.record = Some(record);
    }
}
