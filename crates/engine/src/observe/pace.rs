use std::time::Instant;

use crate::Event;

/// How fast the steps of an epoch are made: what comes between epochs does not count.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    last: Option<Instant>,
    steps: usize,
    batch_size: usize,
}

impl Pace {
    /// Is told of each event.
    pub(super) fn on(&mut self, event: &Event<'_>) {
        match *event {
            Event::Started { batch_size, .. } => {
                *self = Self { since: Some(Instant::now()), batch_size, ..Self::default() };
            }
            Event::Step { .. } => {
                self.last = Some(Instant::now());
                self.steps += 1;
            }
            Event::Between { snapshot, .. } if snapshot.steps_done() == 0 => {
                (self.since, self.last, self.steps) = (Some(Instant::now()), None, 0);
            }
            _ => {}
        }
    }

    /// Steps and patches per second of the epoch so far; `None` before its first step.
    pub(super) fn per_second(&self) -> Option<(f64, f64)> {
        let seconds = self.last?.duration_since(self.since?).as_secs_f64();
        let steps = self.steps as f64 / seconds;
        (seconds > 0.0).then_some((steps, steps * self.batch_size as f64))
    }
}
