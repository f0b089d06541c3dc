//! What waits to be sent: training puts it in, and never waits for whoever takes it out.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a server takes at once.
const PARAMETERS: usize = 100;
const METRICS: usize = 1000;
/// Of all kinds together.
const ENTRIES: usize = 1000;

/// Values that wait at most: beyond these, the oldest are given up.
const MOST: usize = 100_000;

/// How long the end of a run waits for what is left to be sent.
const FAREWELL: Duration = Duration::from_secs(30);

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// It goes on.
    Running,
    /// It reached its end.
    Finished,
    /// It was stopped, and can go on.
    Killed,
    /// It ended by an error.
    Failed,
}

impl RunStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Killed => "KILLED",
            Self::Failed => "FAILED",
        }
    }
}

/// A value of a curve.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) key: String,
    pub(super) value: f64,
    pub(super) step: usize,
    /// Milliseconds since 1970.
    pub(super) time: u64,
    /// The number of epochs that are done with it, where it is of an epoch.
    pub(super) epochs: Option<usize>,
    /// Whether it was known before this start of the run, so that it may be there already.
    pub(super) before: bool,
}

/// What is sent at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) metrics: Vec<Metric>,
    pub(super) tags: Vec<(String, String)>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Task {
    Send(Batch),
    /// All is sent, and this is how the run ended.
    Close(RunStatus),
    /// There is no time left.
    GiveUp,
}

#[derive(Debug, Default)]
struct Inside {
    parameters: Vec<(String, String)>,
    metrics: VecDeque<Metric>,
    tags: Vec<(String, String)>,
    /// How the run ended, and until when that may be said.
    end: Option<(RunStatus, Instant)>,
    /// Whether the last call failed, so that the next waits until it is asked for.
    resting: bool,
    /// What is to be told to whoever watches, and whether something was.
    warning: Option<String>,
    warned: bool,
    lost: usize,
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    inside: Mutex<Inside>,
    changed: Condvar,
}

impl Outbox {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_parameters(&self, more: Vec<(String, String)>) {
        self.inside().parameters.extend(more);
        self.changed.notify_all();
    }

    pub(super) fn add_tag(&self, key: &str, value: String) {
        self.inside().tags.push((key.to_owned(), value));
    }

    pub(super) fn add(&self, more: impl IntoIterator<Item = Metric>) {
        let mut inside = self.inside();
        // A number that is none has no JSON form.
        inside.metrics.extend(more.into_iter().filter(|metric| metric.value.is_finite()));
        while inside.metrics.len() > MOST {
            inside.metrics.pop_front();
            inside.lost += 1;
        }
    }

    /// Lets what is there be sent, or be tried again.
    pub(super) fn send(&self) {
        self.inside().resting = false;
        self.changed.notify_all();
    }

    /// Lets the rest be sent, and then how the run ended.
    pub(super) fn end(&self, status: RunStatus) {
        self.inside().end = Some((status, Instant::now() + FAREWELL));
        self.send();
    }

    /// What to do next; waits until there is something.
    pub(super) fn next(&self) -> Task {
        let mut inside = self.inside();
        loop {
            if let Some((_, until)) = inside.end
                && (inside.resting || Instant::now() > until)
            {
                return Task::GiveUp;
            }
            if !inside.resting {
                if let Some(batch) = inside.take() {
                    return Task::Send(batch);
                }
                if let Some((status, _)) = inside.end {
                    return Task::Close(status);
                }
            }
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back what could not be sent, until more is asked for.
    pub(super) fn put_back(&self, batch: Batch) {
        let mut inside = self.inside();
        inside.parameters.splice(..0, batch.parameters);
        inside.tags.splice(..0, batch.tags);
        for metric in batch.metrics.into_iter().rev() {
            inside.metrics.push_front(metric);
        }
        inside.resting = true;
    }

    /// Counts values that will not be sent.
    pub(super) fn lose(&self, count: usize) {
        self.inside().lost += count;
    }

    /// Has something told, unless something was before.
    pub(super) fn warn(&self, line: String) {
        let mut inside = self.inside();
        if !inside.warned {
            (inside.warned, inside.warning) = (true, Some(line));
        }
    }

    /// What is to be told, once.
    pub(super) fn warning(&self) -> Option<String> {
        self.inside().warning.take()
    }

    /// How many values were not sent, those that still wait among them.
    pub(super) fn unsent(&self) -> usize {
        let inside = self.inside();
        inside.lost + inside.metrics.len()
    }
}

impl Inside {
    /// As much as a server takes at once; `None` where nothing waits.
    fn take(&mut self) -> Option<Batch> {
        let parameters = self.parameters.len().min(PARAMETERS);
        let tags = self.tags.len().min(PARAMETERS);
        let metrics = self.metrics.len().min(METRICS).min(ENTRIES - parameters - tags);
        (parameters + tags + metrics > 0).then(|| Batch {
            parameters: self.parameters.drain(..parameters).collect(),
            metrics: self.metrics.drain(..metrics).collect(),
            tags: self.tags.drain(..tags).collect(),
        })
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: usize) -> Metric {
        let key = "loss".to_owned();
        Metric { key, value: 0.5, step, time: 0, epochs: None, before: false }
    }

    fn batch(outbox: &Outbox) -> Batch {
        match outbox.next() {
            Task::Send(batch) => batch,
            other => panic!("nothing to send: {other:?}"),
        }
    }

    #[test]
    fn no_batch_is_larger_than_a_server_takes() {
        let outbox = Outbox::default();
        outbox.add_parameters((0..150).map(|at| (format!("p{at}"), String::new())).collect());
        outbox.add((0..2500).map(metric));
        outbox.add_tag("t", String::new());

        let sizes = |it: Batch| (it.parameters.len(), it.tags.len(), it.metrics.len());
        assert_eq!(sizes(batch(&outbox)), (100, 1, 899));
        assert_eq!(sizes(batch(&outbox)), (50, 0, 950));
        assert_eq!(sizes(batch(&outbox)), (0, 0, 651));
        outbox.end(RunStatus::Finished);
        assert!(matches!(outbox.next(), Task::Close(RunStatus::Finished)));
    }

    #[test]
    fn what_could_not_be_sent_waits_in_its_place_up_to_a_bound() {
        let outbox = Outbox::default();
        outbox.add((0..1500).map(metric));
        let first = batch(&outbox);
        outbox.put_back(first.clone());
        outbox.send();
        assert_eq!(batch(&outbox), first, "the same, in order");

        outbox.put_back(first);
        outbox.add((1500..MOST + 2000).map(metric));
        assert_eq!(outbox.unsent(), MOST + 2000, "none is forgotten to be counted");
        outbox.send();
        assert_eq!(batch(&outbox).metrics[0].step, 2000, "the oldest are given up");
        outbox.end(RunStatus::Killed);
        outbox.put_back(Batch::default());
        assert!(matches!(outbox.next(), Task::GiveUp), "the end waits for no later try");
    }

    #[test]
    fn one_warning_is_enough_and_no_number_is_none() {
        let outbox = Outbox::default();
        outbox.add([Metric { value: f64::NAN, ..metric(0) }]);
        outbox.warn("first".to_owned());
        outbox.warn("second".to_owned());

        assert_eq!(outbox.unsent(), 0);
        assert_eq!((outbox.warning().as_deref(), outbox.warning()), (Some("first"), None));
    }
}
