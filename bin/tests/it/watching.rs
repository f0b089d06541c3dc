use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::program::{Ran, clean, files, sconce, workplace};

const TRAIN: &str = "train run.toml --data data --output run --device cpu";

#[test]
fn a_quiet_program_says_its_result_and_nothing_else() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();

    for line in ["dataset check data", TRAIN, "predict -m run -i data/case01/image.nii.gz -o out"] {
        let line = format!("{line} --quiet --format json");
        let ran = sconce(folder, line.split_whitespace())?;

        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line}");
        let result: Value = serde_json::from_str(&ran.out)?;
        assert!(result.is_object(), "{line}: {result}");
    }
    // What went wrong must be known all the same.
    let failed = sconce(folder, format!("-q {TRAIN}").split_whitespace())?;
    assert_eq!(failed.code, Some(1));
    assert_eq!(failed.err.lines().count(), 1);
    assert!(failed.error().contains("choose another folder"), "{failed:?}");
    Ok(())
}

#[test]
fn a_run_leaves_curves_and_a_log() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    for more in ["--set train.epochs=1", "--resume"] {
        let ran = sconce(folder, format!("{TRAIN} {more}").split_whitespace())?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    let curves = files(&folder.join("run/tensorboard"))?;
    assert_eq!(curves.len(), 2, "{curves:?}");
    for file in curves {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        assert!(text.contains("brain.Event:2") && text.contains("dice/organ"), "{file:?}");
    }
    let log = fs::read_to_string(folder.join("run/log.jsonl"))?;
    let entries = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let epochs: Vec<&Value> = entries.iter().filter(|entry| entry["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    for epoch in epochs {
        let (steps, patches) = (&epoch["steps_per_second"], &epoch["patches_per_second"]);
        assert_eq!(patches.as_f64(), steps.as_f64().map(|steps| 2.0 * steps), "{epoch}");
        assert!(epoch["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{epoch}");
    }
    Ok(())
}

/// Runs the program on a terminal of that size; `None` where nothing here can make one.
#[cfg(target_os = "linux")]
fn on_terminal(folder: &std::path::Path, [rows, columns]: [u16; 2], line: &str) -> Option<Ran> {
    let program = env!("CARGO_BIN_EXE_sconce");
    let shell = format!("stty rows {rows} cols {columns}; exec '{program}' {line}");
    let mut script = clean(Command::new("script"), folder);
    script.env("TERM", "xterm").env("NO_COLOR", "1");
    let output = script.args(["-qec", &shell, "/dev/null"]).output().ok()?;
    Some(Ran::of(&output))
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_a_dashboard_and_is_left_as_it_was() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let line = format!("{TRAIN} --set train.iterations_per_epoch=16");

    let Some(ran) = on_terminal(folder, [24, 80], &line) else { return Ok(()) };

    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["╭ run", "held-out", "organ", "lesion", "steps/s", "run epoch   2/2  loss"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    // Neither another screen nor other modes, such as one without a cursor; and no colors.
    assert!(!ran.out.contains("\x1b[?") && !ran.out.contains("\x1b[0"), "{}", ran.out);
    let (_, end) = ran.out.rsplit_once("\x1b[J").expect("it is taken away");
    assert!(end.contains("predict  sconce predict") && !end.contains('╭'), "{end}");
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_fails_leaves_the_terminal_as_it_was() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let line = format!("{TRAIN} --set train.learning_rate=1e30");

    let Some(ran) = on_terminal(workplace.path(), [24, 80], &line) else { return Ok(()) };

    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (_, end) = ran.out.rsplit_once("\x1b[J").expect("the dashboard is taken away");
    assert!(end.starts_with("error: training stopped") && end.lines().count() == 1, "{end}");
    Ok(())
}
