//! Work that further processes of this program do, several at once.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sconce::engine::DeviceChoice;

use crate::interrupt::Interrupt;
use crate::progress::note;

/// How often to look whether a process has ended, or is to end.
const LOOK: Duration = Duration::from_millis(50);

/// What began the names of variables by which launchers talk to the processes that they start: ours would take themselves for these.
const LAUNCHERS: [&str; 7] =
    ["OMPI_", "PMI_", "PMIX_", "PRTE_", "MPI_LOCAL", "SLURM_PROCID", "SLURM_STEP_"];

/// The variable that tells a process whose worker it is.
const PARENT: &str = "SCONCE_PARENT";

/// Where this process is a worker, it ends when the one that has started it ends, even by a signal that nobody can catch: as if it
/// had been asked to, with a checkpoint. Left behind, it would hold the folder that whoever comes next goes on in.
pub(crate) fn follow_parent() {
    #[cfg(target_os = "linux")]
    if let Some(parent) = std::env::var(PARENT).ok().and_then(|id| id.parse::<i32>().ok()) {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        // Where that cannot be had, there is a lock to say so.
        _ = set_parent_process_death_signal(Some(Signal::TERM));
        if getppid().is_none_or(|id| id.as_raw_nonzero().get() != parent) {
            std::process::exit(1);
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    /// Whether a signal asked for an end.
    pub(crate) asked: bool,
    /// What failed; its process has said why.
    pub(crate) failed: Vec<T>,
}

/// A process at work.
struct Running<T> {
    task: T,
    device: DeviceChoice,
    child: Child,
}

/// Does each task by a process of its own, `sconce` with these arguments, one at a time on each device. After a failure or a signal no
/// further task is begun, and those that have begun are waited for; of a signal they are told, too.
pub(crate) fn work<T>(
    tasks: impl IntoIterator<Item = T>,
    devices: &[DeviceChoice],
    arguments: impl Fn(&T, DeviceChoice) -> Vec<String>,
) -> anyhow::Result<Ended<T>> {
    let interrupt = Interrupt::listen().context("cannot listen for signals")?;
    let mut left: VecDeque<T> = tasks.into_iter().collect();
    let mut free: VecDeque<DeviceChoice> = devices.iter().copied().collect();
    let mut running: Vec<Running<T>> = Vec::new();
    let mut ended = Ended { asked: false, failed: Vec::new() };
    loop {
        while !ended.asked && ended.failed.is_empty() && !free.is_empty() && !left.is_empty() {
            let (Some(device), Some(task)) = (free.pop_front(), left.pop_front()) else { break };
            // Beside others, lines; alone, it has the terminal.
            let child = start(&arguments(&task, device), devices.len() > 1)?;
            running.push(Running { task, device, child });
        }
        if interrupt.is_asked() && !ended.asked {
            ended.asked = true;
            for Running { child, .. } in &running {
                end(child);
            }
        }
        if running.is_empty() {
            return Ok(ended);
        }
        thread::sleep(LOOK);
        for at in (0..running.len()).rev() {
            let Some(status) = running[at].child.try_wait()? else { continue };
            let Running { task, device, .. } = running.swap_remove(at);
            free.push_back(device);
            if !status.success() {
                ended.failed.push(task);
            }
        }
    }
}

fn start(arguments: &[String], shared: bool) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    if shared {
        command.stderr(Stdio::piped());
    }
    for (name, _) in std::env::vars_os() {
        if LAUNCHERS.iter().any(|launcher| name.to_string_lossy().starts_with(launcher)) {
            command.env_remove(name);
        }
    }
    command.env(PARENT, std::process::id().to_string());
    // Ctrl-C reaches this process alone, which then asks the others once: asked twice, they would end at once.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().context("cannot start a process")?;
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| note(&line));
        });
    }
    Ok(child)
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
