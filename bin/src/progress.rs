//! Progress on standard error: on a terminal a dashboard of training and bars for all else, with an
//! estimate; otherwise a line an epoch; nothing where the program is to be quiet.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sconce::engine::evaluate::decimals;
use sconce::engine::{self, Event, Held, MemoryEstimate, Observer, Transfer, device};

use crate::dashboard::{self, Dashboard, Watched, amount};

/// Shows how far a command has come.
#[derive(Debug)]
pub(crate) struct Progress {
    label: String,
    shown: Shown,
    bar: Option<ProgressBar>,
    dashboard: Option<Dashboard>,
    stage: Stage,
    /// What computes.
    device: Option<sconce::Device>,
    held: Option<Held>,
    /// When the last line about the stage was written, where there is no bar.
    told: Instant,
    /// When the stage began, and what was done before.
    began: (Instant, u64),
}

/// How often to say how far a stage has come, where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// So many parts of one thing are told apart.
const PARTS: u64 = 1000;

/// Whether only errors and warnings are said: the same for all commands, and set before any of them.
static QUIET: AtomicBool = AtomicBool::new(false);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Live,
    Lines,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    None,
    Prepare,
    Predict,
}

impl Progress {
    /// For a command that works on `label`.
    pub(crate) fn new(label: &str) -> Self {
        let shown = if QUIET.load(Ordering::Relaxed) {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() && !is_dumb() {
            Shown::Live
        } else {
            Shown::Lines
        };
        Self {
            label: label.to_owned(),
            shown,
            bar: None,
            dashboard: None,
            stage: Stage::None,
            device: None,
            held: None,
            told: Instant::now(),
            began: (Instant::now(), 0),
        }
    }

    /// The same for a command that computes on this device, whose memory is shown.
    pub(crate) fn on_device(self, device: &sconce::Device) -> Self {
        Self { device: Some(device.clone()), ..self }
    }

    /// Says something that stays, unless the program is to be quiet.
    pub(crate) fn say(&self, line: &str) {
        if self.shown != Shown::Nothing {
            self.warn(line);
        }
    }

    /// Says something that must be known, and stays.
    pub(crate) fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    /// Shows that `done` of `total` are done at `what`.
    pub(crate) fn count(&mut self, what: &str, done: usize, total: usize) {
        self.show(Stage::Predict, what, done, total);
    }

    /// The same while a share of one more is done.
    pub(crate) fn part(&mut self, what: &str, done: usize, total: usize, share: f64) {
        self.show_part(Stage::Predict, what, done, total, share);
    }

    fn show(&mut self, stage: Stage, what: &str, done: usize, total: usize) {
        self.show_part(stage, what, done, total, 0.0);
    }

    fn show_part(&mut self, stage: Stage, what: &str, done: usize, total: usize, share: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let parts = done as u64 * PARTS + (share.clamp(0.0, 1.0) * PARTS as f64) as u64;
        let all = total as u64 * PARTS;
        if self.stage != stage || self.bar.as_ref().is_some_and(ProgressBar::is_finished) {
            self.finish();
            self.stage = stage;
            if self.shown == Shown::Live {
                let bar = ProgressBar::new(all).with_position(parts);
                let style = ProgressStyle::with_template(
                    "{prefix} {bar:30} {msg} [{elapsed} elapsed, {eta} left]",
                );
                if let Ok(style) = style {
                    bar.set_style(style.progress_chars("━╸─"));
                }
                bar.set_prefix(format!("{} {what}", self.label));
                // What was done before says nothing about what is left.
                bar.reset_eta();
                bar.enable_steady_tick(Duration::from_millis(500));
                self.bar = Some(bar);
            } else {
                self.say(&format!("{} {what}: {total} to do", self.label));
                self.told = Instant::now();
                self.began = (self.told, parts);
            }
        } else if self.bar.is_none() && done < total && self.told.elapsed() >= BETWEEN_LINES {
            let left = self.left(parts, all);
            self.say(&format!("{} {what}: {done} of {total}{left}", self.label));
            self.told = Instant::now();
        }
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(parts);
            bar.set_message(format!("{done}/{total}"));
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }

    /// How long it will take still, if it goes on like this.
    fn left(&self, parts: u64, all: u64) -> String {
        let (began, before) = self.began;
        if parts <= before {
            return String::new();
        }
        let seconds =
            began.elapsed().as_secs_f64() * (all - parts) as f64 / (parts - before) as f64;
        if seconds < 90.0 {
            format!(", about {seconds:.0} s left")
        } else {
            format!(", about {:.0} min left", seconds / 60.0)
        }
    }

    fn say_what_is_on_disk(&self, held: &Held) {
        if held.on_disk == 0 {
            return;
        }
        let folder = held.folder.as_ref().map(|folder| folder.display().to_string());
        self.say(&format!(
            "{}: {} of {} prepared cases ({}) do not fit into {} of memory (--memory); their \
             patches are read from {}",
            self.label,
            held.on_disk,
            held.on_disk + held.in_memory,
            amount(held.on_disk_bytes),
            amount(held.memory),
            folder.unwrap_or_else(|| "the data folder".to_owned()),
        ));
    }

    /// Takes bar and dashboard away.
    pub(crate) fn finish(&mut self) {
        self.dashboard = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.stage = Stage::None;
    }
}

/// Lets the program say nothing but errors and warnings on standard error.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether it may.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether the terminal can do nothing but add to what it shows.
fn is_dumb() -> bool {
    match std::env::var_os("TERM") {
        Some(kind) => kind == "dumb",
        // Elsewhere, terminals do not say what they are.
        None => cfg!(unix),
    }
}

/// Writes a line for information, unless the program is to be quiet.
pub(crate) fn inform(line: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        note(line);
    }
}

/// Writes an error or a warning to standard error, where there still is one.
pub(crate) fn note(line: &str) {
    if !dashboard::above(line) {
        _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl Observer for Progress {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Some(dashboard) = &self.dashboard {
            // Once an epoch, and here, where the device is in use anyhow.
            let memory = match (event, &self.device) {
                (Event::Epoch(_), Some(device)) => device::memory(device),
                _ => None,
            };
            dashboard.update(|watched| watched.on(event, memory, Instant::now()));
        }
        match *event {
            Event::Prepared { done, total } => {
                self.show(Stage::Prepare, "preparing cases", done, total);
            }
            Event::Held(held) => {
                self.held = Some(held.clone());
                self.say_what_is_on_disk(held);
            }
            Event::Transferred(Transfer { reused, fresh, left }) => {
                let list = |names: &[String]| match names {
                    [] => "none".to_owned(),
                    names if names.len() <= 4 => names.join(", "),
                    names => format!("{}, … ({} in all)", names[..3].join(", "), names.len()),
                };
                self.say(&format!(
                    "{}: {reused} parameters reused; initialised anew: {}; left: {}",
                    self.label,
                    list(fresh),
                    list(left),
                ));
            }
            Event::Memory(MemoryEstimate { needed, available }) => {
                let line = format!("{}: training will take about {}", self.label, amount(needed));
                if needed > available {
                    self.warn(&format!(
                        "{line}, and there are {}; lower train.batch_size or preprocess.patch_size, or set \
                         gradient_checkpointing of the model",
                        amount(available)
                    ));
                } else {
                    self.say(&format!("{line} of memory"));
                }
            }
            Event::Started { epoch, step, epochs, iterations, parameters, .. } => {
                self.say(&format!(
                    "{}: {parameters} parameters, {epochs} {} of {iterations} steps{}",
                    self.label,
                    if epochs == 1 { "epoch" } else { "epochs" },
                    match (epoch, step) {
                        (0, 0) => String::new(),
                        (epoch, 0) => format!(", going on at epoch {}", epoch + 1),
                        (epoch, step) => {
                            format!(", going on at epoch {}, step {}", epoch + 1, step + 1)
                        }
                    }
                ));
                self.finish();
                if self.shown == Shown::Live {
                    let (held, now) = (self.held.take(), Instant::now());
                    let watched = Watched::begin(&self.label, held, event, now);
                    self.dashboard = watched.and_then(Dashboard::up);
                }
            }
            Event::Epoch(summary) => {
                let dice = decimals(summary.mean_dice(), 3);
                self.say(&format!(
                    "{} epoch {:>3}/{}  loss {:.4}  held-out loss {}  Dice {dice}  {:.1} s",
                    self.label,
                    summary.epoch + 1,
                    summary.epochs,
                    summary.train_loss,
                    decimals(Some(summary.validation_loss), 4),
                    summary.seconds,
                ));
                if summary.epoch + 1 == summary.epochs {
                    self.finish();
                }
            }
            Event::Predicted { done, total, .. } => {
                self.show(Stage::Predict, "scoring cases", done, total);
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
