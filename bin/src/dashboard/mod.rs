//! A live picture of a run that trains, on a terminal.
//!
//! [`Watched`] is what is known, from what observers are told; [`draw`] makes a picture of it, and
//! [`Screen`] puts it on the terminal. A thread does so a few times per second, whatever the run does
//! meanwhile: a step may take minutes, and must not wait for a terminal.

mod draw;
mod screen;
mod series;
mod units;
mod watched;

use std::io::{self, Stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::Term;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use sconce::engine::resident_memory;

use self::screen::Screen;
pub(crate) use self::units::amount;
pub(crate) use self::watched::Watched;

/// Between two pictures.
const TICK: Duration = Duration::from_millis(250);

/// Between two looks at what memory the program takes.
const LOOK: Duration = Duration::from_secs(2);

/// After so long without a picture, the program was stopped, and whoever stopped it has written below
/// the last one.
const STOPPED: Duration = Duration::from_secs(3);

/// The one that is up: whatever is said meanwhile, and by whom, goes above it.
static UP: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// A dashboard that is up until it is dropped.
#[derive(Debug)]
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    watched: Mutex<Watched>,
    screen: Mutex<Screen<Stderr>>,
    over: Mutex<bool>,
    ends: Condvar,
}

/// What a thread that panicked left is good enough for a picture.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dashboard {
    /// Puts one up on standard error; `None` where that is no terminal of known size.
    pub(crate) fn up(watched: Watched) -> Option<Self> {
        size()?;
        let screen = Screen::new(io::stderr(), console::colors_enabled_stderr());
        let shared = Arc::new(Shared {
            watched: Mutex::new(watched),
            screen: Mutex::new(screen),
            over: Mutex::new(false),
            ends: Condvar::new(),
        });
        *locked(&UP) = Some(Arc::clone(&shared));
        let painter = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("dashboard".to_owned())
                .spawn(move || shared.keep_painting())
        };
        Some(Self { shared, painter: painter.ok() })
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Watched)) {
        change(&mut locked(&self.shared.watched));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        *locked(&self.shared.over) = true;
        self.shared.ends.notify_all();
        if let Some(painter) = self.painter.take() {
            // A defect in drawing has ended it already.
            _ = painter.join();
        }
        *locked(&UP) = None;
        locked(&self.shared.screen).clear(size().map_or(u16::MAX, |[_, columns]| columns));
    }
}

/// Says lines above the dashboard; `false` where none is up.
pub(crate) fn above(lines: &str) -> bool {
    let up = locked(&UP);
    if let Some(shared) = up.as_ref() {
        locked(&shared.screen).above(lines);
    }
    up.is_some()
}

/// Lets something else write to the terminal, without the dashboard.
pub(crate) fn aside(work: impl FnOnce()) {
    // Whoever panics while it writes here has the lock already.
    let up = UP.try_lock().ok();
    let mut screen = up.as_ref().and_then(|up| up.as_ref()?.screen.try_lock().ok());
    if let Some(screen) = &mut screen {
        screen.clear(size().map_or(u16::MAX, |[_, columns]| columns));
    }
    work();
}

/// Rows and columns of the terminal.
fn size() -> Option<[u16; 2]> {
    Term::stderr().size_checked().map(|(rows, columns)| [rows, columns])
}

impl Shared {
    fn keep_painting(&self) {
        let (mut last, mut looked) = (Instant::now(), None::<Instant>);
        let mut over = locked(&self.over);
        while !*over {
            drop(over);
            let now = Instant::now();
            if looked.is_none_or(|looked| now - looked >= LOOK) {
                let resident = resident_memory();
                locked(&self.watched).resident = resident;
                looked = Some(now);
            }
            if now - last >= STOPPED {
                locked(&self.screen).forget();
            }
            last = now;
            self.paint(now);
            over = locked(&self.over);
            if !*over {
                let waited = self.ends.wait_timeout(over, TICK);
                over = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        drop(over);
        // A run may be over between two pictures: whoever records the terminal has its end.
        self.paint(Instant::now());
    }

    fn paint(&self, now: Instant) {
        // One that has lost its size for a moment will have it again.
        let Some([rows, columns]) = size() else { return };
        let buffer = {
            let watched = locked(&self.watched);
            let [height, width] = draw::fitting(&watched, [rows, columns]);
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            draw::draw(&watched, now, &mut buffer);
            buffer
        };
        // Only now, so that a defect in drawing does not take the screen with it.
        locked(&self.screen).paint(&buffer, columns);
    }
}
