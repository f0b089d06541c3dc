//! Progress on standard error: bars with an estimate on a terminal, else a line an epoch; nothing
//! where the program is to be quiet.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sconce::engine::evaluate::decimals;
use sconce::engine::{self, Event, Held, Observer, Transfer};

/// Shows how far a command has come.
#[derive(Debug)]
pub(crate) struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    stage: Stage,
    shown: Shown,
    /// When the last line about the stage was written, where there is no bar.
    told: Instant,
    /// The mean loss of the epoch so far.
    loss: f64,
    steps: usize,
}

/// How often to say how far a stage has come, where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

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
    Train,
    Predict,
}

impl Progress {
    /// For a command that works on `label`.
    pub(crate) fn new(label: &str) -> Self {
        let shown = if QUIET.load(Ordering::Relaxed) {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Live
        } else {
            Shown::Lines
        };
        Self {
            label: label.to_owned(),
            bar: None,
            stage: Stage::None,
            shown,
            told: Instant::now(),
            loss: 0.0,
            steps: 0,
        }
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

    fn show(&mut self, stage: Stage, what: &str, done: usize, total: usize) {
        if self.stage != stage || self.bar.as_ref().is_some_and(ProgressBar::is_finished) {
            self.finish();
            self.stage = stage;
            if self.shown == Shown::Live {
                let bar = ProgressBar::new(total as u64).with_position(done as u64);
                let style = ProgressStyle::with_template(
                    "{prefix} {bar:30} {pos}/{len} {msg} [{elapsed} elapsed, {eta} left]",
                );
                if let Ok(style) = style {
                    bar.set_style(style.progress_chars("━╸─"));
                }
                bar.set_prefix(format!("{} {what}", self.label));
                // What was done before says nothing about what is left.
                bar.reset_eta();
                bar.enable_steady_tick(Duration::from_millis(500));
                self.bar = Some(bar);
            } else if stage != Stage::Train {
                // Of training there is a line an epoch.
                self.say(&format!("{} {what}: {total} to do", self.label));
                self.told = Instant::now();
            }
        } else if self.bar.is_none() && done < total && self.told.elapsed() >= BETWEEN_LINES {
            self.say(&format!("{} {what}: {done} of {total}", self.label));
            self.told = Instant::now();
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.stage = Stage::None;
    }
}

/// Bytes in words.
fn amount(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{} MB", bytes / 1_000_000)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

/// Lets the program say nothing but errors and warnings on standard error.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes a line for information, unless the program is to be quiet.
pub(crate) fn inform(line: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        note(line);
    }
}

/// Writes an error or a warning to standard error, where there still is one.
pub(crate) fn note(line: &str) {
    _ = writeln!(std::io::stderr(), "{line}");
}

impl Observer for Progress {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        match *event {
            Event::Prepared { done, total } => {
                self.show(Stage::Prepare, "preparing cases", done, total);
            }
            Event::Held(Held { on_disk, on_disk_bytes, in_memory, memory, folder, .. })
                if *on_disk > 0 =>
            {
                let folder = folder.as_ref().map(|folder| folder.display().to_string());
                self.say(&format!(
                    "{}: {on_disk} of {} prepared cases ({}) do not fit into {} of memory (--memory); their \
                     patches are read from {}",
                    self.label,
                    on_disk + in_memory,
                    amount(*on_disk_bytes),
                    amount(*memory),
                    folder.unwrap_or_else(|| "the data folder".to_owned()),
                ));
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
            Event::Started { epoch, epochs, iterations, parameters, .. } => {
                self.say(&format!(
                    "{}: {parameters} parameters, {epochs} {} of {iterations} steps{}",
                    self.label,
                    if epochs == 1 { "epoch" } else { "epochs" },
                    if epoch > 0 {
                        format!(", going on at epoch {}", epoch + 1)
                    } else {
                        String::new()
                    }
                ));
                self.show(Stage::Train, "steps", epoch * iterations, epochs * iterations);
            }
            Event::Step { step, loss, .. } => {
                self.loss += loss;
                self.steps += 1;
                if let Some(bar) = &self.bar {
                    bar.set_position(step as u64 + 1);
                    bar.set_message(format!("loss {:.4}", self.loss / self.steps as f64));
                }
            }
            Event::Epoch(summary) => {
                (self.loss, self.steps) = (0.0, 0);
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
