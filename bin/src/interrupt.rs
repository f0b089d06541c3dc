//! Ends a run with a checkpoint where a signal asks for its end.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sconce::engine::{self, Event, Observer};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Watches for Ctrl-C and for `SIGTERM`, which clusters send before they take a machine away. A second one ends the
/// program at once.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on, signals are told to this.
    pub(crate) fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Whether an end was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Observer for Interrupt {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        match event {
            _ if !self.is_asked() => Ok(ControlFlow::Continue(())),
            // There is nothing yet, or nothing more, to be saved.
            Event::Prepared { .. } | Event::Predicted { .. } => Err(engine::Error::Interrupted),
            _ => Ok(ControlFlow::Break(())),
        }
    }
}
