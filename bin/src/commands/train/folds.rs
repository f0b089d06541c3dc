//! `sconce train --fold all`: each fold as a process of its own, on the devices that are given.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sconce::engine::evaluate::{Evaluation, decimals};
use sconce::engine::{DeviceChoice, RunFolder, file};
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::{inform, note};

/// Which fold is held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldChoice {
    /// One, from 0.
    One(usize),
    /// Each in turn, or several at once.
    All,
}

impl FromStr for FoldChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            text => text.parse().map(Self::One).map_err(|_| "it is neither a number nor all"),
        }
    }
}

/// What to start for each fold.
pub(super) struct Folds<'a> {
    /// How many there are.
    pub(super) count: usize,
    /// The folder that has a folder for each.
    pub(super) output: &'a Path,
    /// The arguments of `sconce train` but fold, output, device and `--resume`.
    pub(super) arguments: Vec<String>,
    /// What computes, one process on each.
    pub(super) devices: Vec<DeviceChoice>,
}

#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    folds: Vec<Fold>,
    /// The mean over the folds of each class's Dice.
    dice: Vec<(String, Option<f64>)>,
}

#[derive(Debug, Serialize)]
struct Fold {
    folder: PathBuf,
    held_out: usize,
    dice: Option<f64>,
}

/// A process that trains a fold.
struct Running {
    fold: usize,
    device: DeviceChoice,
    child: Child,
}

/// How often to look whether a process has ended, or is to end.
const LOOK: Duration = Duration::from_millis(50);

impl Folds<'_> {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        let interrupt = Interrupt::listen().context("cannot listen for signals")?;
        let mut left: VecDeque<usize> = (0..self.count).collect();
        left.retain(|&fold| !self.is_done(fold));
        if left.len() < self.count {
            inform(&format!(
                "{} of {} folds are done already",
                self.count - left.len(),
                self.count
            ));
        }
        let mut free: VecDeque<DeviceChoice> = self.devices.iter().copied().collect();
        let (mut running, mut failed): (Vec<Running>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut asked = false;
        loop {
            while !asked && failed.is_empty() && !free.is_empty() && !left.is_empty() {
                let (Some(device), Some(fold)) = (free.pop_front(), left.pop_front()) else {
                    break;
                };
                running.push(self.start(fold, device)?);
            }
            if interrupt.is_asked() && !asked {
                asked = true;
                for Running { child, .. } in &running {
                    end(child);
                }
            }
            if running.is_empty() {
                break;
            }
            thread::sleep(LOOK);
            for at in (0..running.len()).rev() {
                let Some(status) = running[at].child.try_wait()? else { continue };
                let ended = running.swap_remove(at);
                free.push_back(ended.device);
                if !status.success() {
                    failed.push(ended.fold);
                }
            }
        }
        if asked {
            bail!("it was asked to stop; the same command with --resume goes on");
        }
        if let Some(fold) = failed.first() {
            bail!(
                "fold {fold} failed, as said above; the others are kept, and the same command with --resume \
                 goes on"
            );
        }
        Ok(Output::of(&self.report()?))
    }

    fn folder(&self, fold: usize) -> PathBuf {
        self.output.join(format!("fold_{fold}"))
    }

    fn scores(&self, fold: usize) -> PathBuf {
        RunFolder::at(&self.folder(fold)).validation().join("summary.json")
    }

    /// Whether a fold has been trained and scored.
    fn is_done(&self, fold: usize) -> bool {
        self.scores(fold).exists()
    }

    fn start(&self, fold: usize, device: DeviceChoice) -> anyhow::Result<Running> {
        let program = std::env::current_exe().context("cannot find the program itself")?;
        let mut command = Command::new(program);
        command.arg("train").args(&self.arguments).arg("--fold").arg(fold.to_string());
        command.arg("--output").arg(self.folder(fold));
        command.args(["--device", &device.to_string(), "--resume", "--format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Beside others, lines; alone, it has the terminal.
        let shared = self.devices.len() > 1;
        if shared {
            command.stderr(Stdio::piped());
        }
        // Ctrl-C reaches this process alone, which then asks the others once: asked twice, they would end at once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("cannot start a process for a fold")?;
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| note(&line));
            });
        }
        Ok(Running { fold, device, child })
    }

    fn report(&self) -> anyhow::Result<Report> {
        let mut folds = Vec::new();
        let mut classes: Vec<(String, Vec<f64>)> = Vec::new();
        for fold in 0..self.count {
            let evaluation: Evaluation = file::read_json(&self.scores(fold))?;
            let of = |class: &str| evaluation.masks.get(class)?.get("dice")?.mean;
            let each: Vec<f64> = evaluation.classes.iter().filter_map(|class| of(class)).collect();
            for class in &evaluation.classes {
                if !classes.iter().any(|(name, _)| name == class) {
                    classes.push((class.clone(), Vec::new()));
                }
                let known = classes.iter_mut().find(|(name, _)| name == class);
                if let (Some((_, values)), Some(value)) = (known, of(class)) {
                    values.push(value);
                }
            }
            let held_out = evaluation.cases.len();
            folds.push(Fold { folder: self.folder(fold), held_out, dice: mean(&each) });
        }
        let dice = classes.into_iter().map(|(name, values)| (name, mean(&values))).collect();
        Ok(Report { output: self.output.to_owned(), folds, dice })
    }
}

/// Asks a process to end after the step in hand.
fn end(child: &Child) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(child.id())
        && let Some(id) = rustix::process::Pid::from_raw(id)
    {
        // One that has just ended cannot be asked, and need not.
        _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

#[expect(clippy::cast_precision_loss, reason = "few folds and classes")]
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fold  cases  mean Dice")?;
        for (number, fold) in self.folds.iter().enumerate() {
            writeln!(f, "{number:<5} {:<6} {}", fold.held_out, decimals(fold.dice, 4))?;
        }
        for (class, dice) in &self.dice {
            writeln!(f, "{class}: Dice {} over all folds", decimals(*dice, 4))?;
        }
        let output = self.output.display();
        write!(f, "runs     {output}/fold_0 to {output}/fold_{}", self.folds.len() - 1)
    }
}
