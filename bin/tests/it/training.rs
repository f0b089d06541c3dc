use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{assert_no_partial, command, contents, good, sconce, trained, workplace};

fn weights(folder: &Path, run: &str) -> anyhow::Result<Vec<u8>> {
    Ok(fs::read(folder.join(run).join("model.safetensors"))?)
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_one_thread_or_two() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let train = |output: &str, more: &str| -> anyhow::Result<Vec<u8>> {
        let line = format!("train run.toml --data data --output {output} --device cpu {more}");
        good(folder, &line)?;
        weights(folder, output)
    };

    let first = train("first", "--threads 1")?;

    assert!(first == train("again", "--threads 1")?, "two runs differ");
    assert!(first == train("two", "--threads 2")?, "two threads differ from one");
    assert!(first != train("other", "--threads 2 --set seed=4")?, "the seed changes nothing");
    assert_no_partial(folder)
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let line = |output: &str| {
        format!("train run.toml --data data --output {output} --device cpu --set train.epochs=80")
    };
    good(folder, &line("whole"))?;

    let mut child = command(folder)
        .args(line("killed").split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    while !folder.join("killed/checkpoint.safetensors").exists() {
        assert!(started.elapsed() < Duration::from_mins(1), "no checkpoint appears");
        assert_eq!(child.try_wait()?, None, "the run ended before its first checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    assert!(!folder.join("killed/model.safetensors").exists(), "the run was killed too late");
    // What a kill in the middle of a write leaves.
    fs::write(folder.join("killed/.checkpoint.safetensors.1.partial"), "half")?;

    let refused = sconce(folder, line("killed").split_whitespace())?;
    assert_eq!(refused.code, Some(1));
    assert!(refused.error().contains("--resume"), "{refused:?}");
    let resumed = sconce(folder, format!("{} --resume", line("killed")).split_whitespace())?;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.err.contains("going on at epoch"), "{resumed:?}");

    assert!(weights(folder, "whole")? == weights(folder, "killed")?, "the weights differ");
    assert_no_partial(folder)
}

#[test]
fn scores_follow_the_weights_of_a_run_that_is_prolonged() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let line = "train run.toml --data data --output run --device cpu --resume --set train.epochs=4";
    // A case that appears or goes would move the others across the split.
    fs::rename(folder.join("data/case06"), folder.join("case06"))?;
    let refused = sconce(folder, line.split(' '))?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error().contains("has other cases than run/split.json says (case case06 is"));
    fs::rename(folder.join("case06"), folder.join("data/case06"))?;
    let before = contents(&folder.join("run"))?;

    good(folder, line)?;
    good(folder, "zoo pack run --output model")?;

    // What a kill between weights and scores would leave, had the scores been kept.
    for (path, bytes) in &before {
        if path.ends_with("summary.json") {
            fs::write(path, bytes)?;
        }
    }
    let pack = sconce(folder, "zoo pack run --output other".split(' '))?;
    assert_eq!(pack.code, Some(1), "{pack:?}");
    assert!(
        pack.error().contains("summary.json is not usable: it is of other weights"),
        "{pack:?}"
    );
    assert!(pack.error().contains("with --resume") && !folder.join("other").exists(), "{pack:?}");
    Ok(())
}

#[test]
fn an_occupied_folder_is_refused_and_left_as_it_was() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    good(folder, "zoo pack run --output model")?;

    for occupied in ["run", "model"] {
        let before = contents(&folder.join(occupied))?;
        let line = format!("train run.toml --data data --output {occupied} --device cpu");
        let refused = sconce(folder, line.split(' '))?;

        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.error().contains("choose another folder"), "{refused:?}");
        assert!(contents(&folder.join(occupied))? == before, "{occupied} has changed");
    }
    Ok(())
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing_behind() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    for (wrong, code) in
        [("--set train.epochs=0", 2), ("--set data.raters.image=none", 1), ("--data missing", 1)]
    {
        let data = if wrong.contains("--data") { "" } else { "--data data" };
        let line = format!("train run.toml {data} --output new --device cpu {wrong}");
        let failed = sconce(folder, line.split_whitespace())?;
        assert_eq!(failed.code, Some(code), "{failed:?}");
        failed.error();
        assert!(!folder.join("new").exists(), "{wrong}");
    }
    Ok(())
}
