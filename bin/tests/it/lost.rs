//! Whatever ends a run, at whatever moment: nothing is lost, and it goes on as if nothing had happened.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sconce::engine::checkpoint::CheckpointState;
use sconce::engine::weights;

use crate::program::{
    Ran, assert_no_partial, clean, command, good, on_a_small_disk, sconce, workplace,
};

/// Epochs long enough to be ended within.
const LONG: &str = "--set train.epochs=12 --set train.iterations_per_epoch=150";

fn line(output: &str) -> String {
    format!("train run.toml --data data --output {output} --device cpu {LONG}")
}

fn start(folder: &Path, line: &str) -> anyhow::Result<Child> {
    let mut program = command(folder);
    program.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(program.spawn()?)
}

/// That two runs came to the same network, and would go on alike.
fn same(folder: &Path, one: &str, other: &str) -> anyhow::Result<()> {
    let read = |run: &str| fs::read(folder.join(run).join("model.safetensors"));
    assert!(read(one)? == read(other)?, "the networks of {one} and {other} differ");
    // How often a run is saved is a setting, which its checkpoint has: but for that, they are the same.
    let state = |run: &str| -> anyhow::Result<(Vec<u8>, CheckpointState)> {
        let path = folder.join(run).join("checkpoint.safetensors");
        let (tensors, state): (_, CheckpointState) = weights::load_versioned(&path)?;
        let alone = folder.join("tensors");
        weights::save(&alone, &tensors, &())?;
        Ok((fs::read(alone)?, CheckpointState { config: String::new(), content: None, ..state }))
    };
    let (one, other) = (state(one)?, state(other)?);
    assert!(one.0 == other.0, "what optimizers remember differs");
    assert_eq!(one.1, other.1);
    Ok(())
}

/// When a file was last written; `None` where it is not there.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Waits until a program has written a file anew; whether it has, before its end.
fn waits(child: &mut Child, path: &Path, before: Option<SystemTime>) -> anyhow::Result<bool> {
    let started = Instant::now();
    while written(path) == before {
        assert!(started.elapsed() < Duration::from_mins(1), "nothing is written");
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

#[test]
fn a_run_that_is_killed_twenty_times_comes_to_the_same_network() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    // Several times as long as so many kills take, on a fast machine too.
    let line = |output: &str| format!("{} --set train.epochs=24", line(output));
    good(folder, &line("whole"))?;
    // A checkpoint every 20 milliseconds or so.
    let line = format!("{} --set train.checkpoint_minutes=0.0003 --resume", line("killed"));
    let checkpoint = folder.join("killed/checkpoint.safetensors");
    let mut random: u64 = 7;
    let mut kills = 0;
    while kills < 24 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = written(&checkpoint);
        let mut child = start(folder, &line)?;
        // One in four before it has done anything, the others soon after they have saved something.
        if kills % 4 != 3 {
            assert!(waits(&mut child, &checkpoint, before)?, "it ended after {kills} kills");
        }
        thread::sleep(Duration::from_micros((random >> 33) % 40_000));
        assert_eq!(child.try_wait()?, None, "it ended after {kills} kills");
        child.kill()?;
        child.wait()?;
        kills += 1;
    }
    assert!(!folder.join("killed/model.safetensors").exists(), "it was killed too late");

    let resumed = sconce(folder, line.split_whitespace())?;

    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.err.contains("going on at epoch"), "{resumed:?}");
    same(folder, "whole", "killed")?;
    assert_no_partial(folder)
}

#[test]
fn a_signal_ends_a_run_with_a_checkpoint_within_its_epoch() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    good(folder, &line("whole"))?;
    for signal in ["TERM", "INT"] {
        let output = format!("run_{signal}");
        let path = folder.join(&output).join("log.jsonl");
        let mut child = start(folder, &line(&output))?;
        assert!(waits(&mut child, &path, None)?, "it ended by itself");
        // The log is opened before the first case is read: this may be at any of the moments that follow.
        thread::sleep(Duration::from_millis(150));
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
        assert!(sent.success());

        let ended = Ran::of(&child.wait_with_output()?);

        assert_eq!(ended.code, Some(1), "{ended:?}");
        let told = ended.out.contains("the same command with --resume goes on")
            || ended.error().contains("the same command with --resume goes on");
        assert!(told, "{ended:?}");
        assert!(!folder.join(&output).join("model.safetensors").exists());
        good(folder, &format!("{} --resume", line(&output)))?;
        same(folder, "whole", &output)?;
    }
    Ok(())
}

/// That a run ended with one line, and that its last checkpoint is whole and can be gone on from.
fn assert_last_checkpoint_is_good(
    folder: &Path,
    ended: &Ran,
    expected: &str,
) -> anyhow::Result<()> {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error().contains(expected), "{ended:?}");
    let path = folder.join("checkpoint.safetensors");
    let (_, state): (_, CheckpointState) = weights::load_versioned(&path)?;
    assert!(state.epochs_done > 0);
    assert_no_partial(folder)
}

#[test]
fn a_full_disk_ends_a_run_with_one_line_and_its_last_checkpoint() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let long = format!("{} --set train.epochs=100000 --memory 1", line("run"));

    // Else files of limited size, here of the log.
    let ended = on_a_small_disk(folder, "run", (400, 300), "true", &long)?;

    assert_last_checkpoint_is_good(&folder.join("kept"), &ended, "cannot access run/")?;
    let line = ended.error();
    assert!(line.contains("No space left") || line.contains("File too large"), "{line}");
    Ok(())
}

#[test]
fn a_checkpoint_that_vanishes_is_missed_by_nobody() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let path = folder.join("run/checkpoint.safetensors");
    let mut child = start(folder, &line("run"))?;
    assert!(waits(&mut child, &path, None)?, "it ended by itself");
    fs::remove_file(&path)?;

    let ended = Ran::of(&child.wait_with_output()?);

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(path.exists());
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_lack_of_memory_ends_a_run_with_one_line() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    good(folder, &line("run"))?;
    let more = "--resume --set train.epochs=13";
    let large = format!(
        "train run.toml --data data --output large --device cpu --set preprocess.patch_size=[1,512,512] \
         --set train.batch_size=64 {more}"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 3000000; exec \"$0\" \"$@\""]);
    shell.arg(env!("CARGO_BIN_EXE_sconce")).args(large.split_whitespace());

    let ended = Ran::of(&clean(shell, folder).output()?);

    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error().contains("out of memory"), "{ended:?}");
    assert!(ended.error().contains("smaller batches or patches"), "{ended:?}");
    assert_no_partial(folder)
}
