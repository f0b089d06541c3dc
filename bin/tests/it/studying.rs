//! Studies: many runs and one table, whatever comes between.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{assert_no_partial, command, good, json, sconce};
use crate::readme::root;

/// The study that ships to be tried, with less of everything.
fn small(folder: &Path) -> anyhow::Result<()> {
    let from = root().join("zoo/studies/phantom");
    let run = fs::read_to_string(from.join("run.toml"))?;
    let run = run.replace("epochs = 10", "epochs = 2");
    let study = fs::read_to_string(from.join("study.toml"))?;
    let study = study.replace("folds = [0, 1]", "folds = [1]");
    fs::write(folder.join("run.toml"), run)?;
    fs::write(folder.join("study.toml"), study)?;
    good(folder, "dataset phantom data --rank 2 --cases 6 --raters 3").map(drop)
}

const STUDY: &str = "study study.toml --data data --device cpu --output";

#[test]
fn a_study_that_is_killed_comes_to_the_same_table() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    small(folder)?;
    let said = good(folder, &format!("{STUDY} whole --note machine=any"))?;
    assert!(said.contains("CE+DML, mean"), "{said}");

    // Killed while its third run trains, by what nobody can catch.
    let mut study = command(folder)
        .args(format!("{STUDY} killed").split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let third = folder.join("killed/runs/CE+DML__majority/seed_1");
    let started = Instant::now();
    while !third.exists() {
        assert!(started.elapsed() < Duration::from_mins(2) && study.try_wait()?.is_none());
        thread::sleep(Duration::from_millis(2));
    }
    study.kill()?;
    study.wait()?;
    assert!(!folder.join("killed/table.json").exists());
    // What it had begun ends, too, and leaves its folder to others.
    let again = loop {
        let ran = sconce(folder, format!("{STUDY} killed").split(' '))?;
        if ran.code == Some(0) || started.elapsed() > Duration::from_mins(2) {
            break ran;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.contains("2 of 8 runs are done"), "{again:?}");

    // Two at a time, in two parts, come to the same, too.
    let parts = format!("{STUDY} parts --runs shared --jobs 2 --shard");
    let first = json(folder, &format!("{parts} 1/2"))?;
    assert_eq!((first["done"].as_u64(), first["runs"].as_u64()), (Some(4), Some(8)));
    assert!(first["table"].is_null());
    good(folder, &format!("{parts} 2/2"))?;
    for name in ["scores.csv", "table.json"] {
        let read = |study: &str| fs::read(folder.join(study).join(name));
        assert!(read("whole")? == read("killed")?, "{name} differs where it was killed");
        assert!(read("whole")? == read("parts")?, "{name} differs where it was divided");
    }
    assert_no_partial(folder)?;
    runs_of_another_study_are_no_results(folder)?;
    what_is_stored_can_be_made_again(folder)
}

/// All runs are there, but one setting of the study has been changed since.
fn runs_of_another_study_are_no_results(folder: &Path) -> anyhow::Result<()> {
    let run = folder.join("run.toml");
    let text = fs::read_to_string(&run)?;
    assert!(text.contains("learning_rate = 0.05"));
    fs::write(&run, text.replace("learning_rate = 0.05", "learning_rate = 0.04"))?;
    let before = fs::read(folder.join("whole/table.json"))?;

    let ran = sconce(folder, format!("{STUDY} whole").split(' '))?;

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.error().contains("was trained by other settings than the study has now"),
        "{ran:?}"
    );
    assert_eq!(fs::read(folder.join("whole/table.json"))?, before);
    Ok(fs::write(&run, text)?)
}

fn what_is_stored_can_be_made_again(folder: &Path) -> anyhow::Result<()> {
    let table = json(folder, "study study.toml --output whole --check")?;
    let dice = &table["table"]["scores"][0];
    assert_eq!(dice["score"], "dice");
    assert_eq!(dice["cells"].as_array().map(Vec::len), Some(4));
    assert_eq!(dice["contrasts"].as_array().map(Vec::len), Some(2));
    assert!(dice["cells"][0]["over_seeds"].as_f64().is_some_and(|sd| sd > 0.0), "{dice}");

    // Another caption makes another page, of the same scores.
    let study = folder.join("study.toml");
    let text = fs::read_to_string(&study)?;
    fs::write(&study, text.replacen("claim =", "caption = \"It was <tried>.\"\nclaim =", 1))?;
    good(folder, "study study.toml --output whole --table")?;
    let page = fs::read_to_string(folder.join("whole/index.html"))?;
    assert!(page.contains("It was &lt;tried&gt;.") && page.contains("machine"), "{page}");
    good(folder, "study study.toml --output whole --check")?;

    // A score that somebody has changed does not go unseen.
    let scores = folder.join("whole/scores.csv");
    let text = fs::read_to_string(&scores)?;
    let (head, last) = text.trim_end().rsplit_once(',').expect("columns");
    fs::write(&scores, format!("{head},{}\n", last.parse::<f64>()? + 0.25))?;
    let ran = sconce(folder, "study study.toml --output whole --check".split(' '))?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("table.json is not what its scores make"), "{ran:?}");
    Ok(())
}

#[test]
fn a_study_that_cannot_be_is_refused_before_anything_is_trained() -> anyhow::Result<()> {
    let workplace = tempfile::tempdir()?;
    let folder = workplace.path();
    small(folder)?;
    let study = fs::read_to_string(folder.join("study.toml"))?;
    let refused = |from: &str, to: &str, line: &str| -> anyhow::Result<String> {
        assert!(study.contains(from), "{from}");
        fs::write(folder.join("wrong.toml"), study.replacen(from, to, 1))?;
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(!folder.join("out").exists(), "something was begun");
        Ok(ran.error().to_owned())
    };
    let line = "study wrong.toml --data data --output out --device cpu";

    let said = refused("fusion=majority", "fusion=majorty", line)?;
    assert!(said.contains("labels.fusion=majorty"), "{said}");
    let said = refused("\"case_ece\"", "\"ece\"", line)?;
    assert!(said.contains("there is no score \"ece\" of cases"), "{said}");
    let said = refused("reference = \"majority\"", "reference = \"most\"", line)?;
    assert!(said.contains("\"most\", which is no level of labels"), "{said}");
    let said = refused("run.toml", "ran.toml", line)?;
    assert!(said.contains("ran.toml") && said.contains("check the path"), "{said}");
    let said = refused("schema", "schema", "study wrong.toml --data nowhere --output out")?;
    assert!(said.contains("cannot read nowhere"), "{said}");
    let said = refused("schema", "schema", "study wrong.toml --output out --check")?;
    assert!(said.contains("table.json"), "{said}");
    Ok(())
}

/// The tables that ship are what their scores make.
#[test]
fn studies_that_ship_have_the_tables_of_their_scores() -> anyhow::Result<()> {
    let mut checked = 0;
    for entry in root().join("zoo/studies").read_dir()? {
        let folder = entry?.path();
        if folder.join("scores.csv").exists() {
            good(&folder, "study study.toml --check")?;
            checked += 1;
        }
    }
    assert!(checked > 0);
    Ok(())
}
