//! A report of runs and models on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ReportInput;
use super::picture::load_pictures;
use crate::evaluate::{Evaluation, evaluation_file};
use crate::file::read_versioned;
use crate::{EpochSummary, Error, Provenance, Result};

/// Collects what finished runs, model folders that came with an evaluation, and evaluations by
/// themselves have to show: see [`evaluation_file`].
///
/// From each: the evaluation, the calibration before a temperature was fitted, learning curves,
/// pictures and settings, where they are there. Several folders of one name are told apart by their
/// place in the list.
///
/// # Errors
///
/// [`Error::File`], where a folder holds no evaluation, or a file is damaged; [`Error::Io`].
pub fn of_folders(folders: &[PathBuf]) -> Result<ReportInput> {
    let mut report = ReportInput::default();
    for (index, folder) in folders.iter().enumerate() {
        let name = name(folders, index);
        let (mut evaluation, place) = evaluation(folder)?;
        evaluation.name.clone_from(&name);
        let raw = place.join("raw.json");
        if raw.exists() {
            let raw: Evaluation = read_versioned(&raw)?;
            report.before.extend(raw.calibration.map(|found| (name.clone(), found)));
        }
        let log = folder.join("log.jsonl");
        if log.exists() {
            report.history.push((name.clone(), history(&log)?));
        }
        let pictures = place.join("pictures.safetensors");
        if pictures.exists() {
            for picture in load_pictures(&pictures)? {
                let several = folders.len() > 1;
                report.pictures.push(if several { picture.of(&name) } else { picture });
            }
        }
        let settings = folder.join("run.toml");
        if settings.exists() {
            let text = fs::read_to_string(&settings).map_err(Error::io(&settings))?;
            report.settings.push((format!("{name}, run.toml"), text.trim_end().to_owned()));
        }
        report.evaluations.push(evaluation);
    }
    let names: Vec<&str> = report.evaluations.iter().map(|found| found.name.as_str()).collect();
    report.title = names.join(", ");
    report.provenance = Provenance::of_command(&format!("sconce report {}", names.join(" ")));
    Ok(report)
}

/// The folder's own name, with its place in the list where another has the same.
fn name(folders: &[PathBuf], index: usize) -> String {
    let own = |folder: &Path| {
        // `.` and `..` have no name of their own.
        let path = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.unwrap_or_default().to_string_lossy().into_owned()
    };
    let name = own(&folders[index]);
    let repeated = folders.iter().filter(|folder| own(folder) == name).count() > 1;
    if repeated { format!("{name} ({})", index + 1) } else { name }
}

/// The evaluation of a run or a model, and the folder that it lies in.
fn evaluation(path: &Path) -> Result<(Evaluation, PathBuf)> {
    let file = evaluation_file(path)?;
    let place = file.parent().unwrap_or(Path::new("")).to_owned();
    Ok((read_versioned(&file)?, place))
}

/// The epochs of a log, each as it was done last: a resumed run does some again.
fn history(path: &Path) -> Result<Vec<EpochSummary>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let mut epochs = BTreeMap::new();
    let last = text.lines().count();
    for (index, line) in text.lines().enumerate() {
        let wrong = |error: serde_json::Error| Error::File {
            path: path.to_owned(),
            reason: format!("line {} is no entry of a log: {error}", index + 1),
        };
        let entry: Value = match serde_json::from_str(line) {
            Ok(entry) => entry,
            // A run that was killed may have left half a line.
            Err(_) if index + 1 == last => break,
            Err(error) => return Err(wrong(error)),
        };
        if entry["event"] != "epoch" {
            continue;
        }
        let epoch: EpochSummary = serde_json::from_value(entry).map_err(wrong)?;
        epochs.insert(epoch.epoch, epoch);
    }
    Ok(epochs.into_values().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::file::write_json;
    use crate::report::{example, html, save_pictures};

    fn run(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let run = folder.join(name);
        let validation = run.join("validation");
        fs::create_dir_all(&validation)?;
        write_json(&validation.join("summary.json"), &example::full("calibrated", 1, 0.01))?;
        write_json(&validation.join("raw.json"), &example::full("raw", 1, 0.0))?;
        save_pictures(
            &validation.join("pictures.safetensors"),
            &[example::picture("Best: a", 0.1)],
        )?;
        fs::write(run.join("run.toml"), "seed = 1\n")?;
        let mut log = json!({"event": "started", "epoch": 0}).to_string() + "\n";
        let mut summaries = example::epochs(3);
        summaries[1].validation_loss = f64::NAN;
        for epoch in [&summaries[0], &summaries[1], &summaries[1], &summaries[2]] {
            let mut line = json!(epoch);
            line["event"] = "epoch".into();
            log.push_str(&line.to_string());
            log.push('\n');
        }
        fs::write(run.join("log.jsonl"), log + "{\"event\": \"st")?;
        Ok(run)
    }

    #[test]
    fn a_run_shows_all_that_it_has() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let run = run(folder.path(), "kidney")?;

        let report = of_folders(&[run])?;

        assert_eq!(report.title, "kidney");
        assert_eq!(report.evaluations[0].name, "kidney");
        assert_eq!((report.before.len(), report.pictures.len()), (1, 1));
        assert_eq!(report.history[0].1.len(), 3);
        assert!(report.history[0].1[1].validation_loss.is_nan());
        assert_eq!(report.settings, [("kidney, run.toml".to_owned(), "seed = 1".to_owned())]);
        let page = html(&report);
        assert!(page.contains("kidney, before · Pooled ECE 0.0412"));
        assert!(page.contains("kidney, calibrated · Pooled ECE 0.0312"));
        Ok(())
    }

    #[test]
    fn evaluations_by_themselves_are_compared() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (one, two) = (folder.path().join("one"), folder.path().join("two.json"));
        fs::create_dir(&one)?;
        write_json(&one.join("summary.json"), &example::full("a", 1, 0.0))?;
        write_json(&two, &example::full("b", 2, 0.1))?;

        let report = of_folders(&[one, two])?;

        assert_eq!(report.title, "one, two");
        let page = html(&report);
        assert!(page.contains("<section id=\"comparison\">") && page.contains("one − two"));
        Ok(())
    }

    #[test]
    fn runs_of_one_name_are_told_apart() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (one, two) = (run(folder.path(), "a/run")?, run(folder.path(), "b/run")?);

        let report = of_folders(&[one, two])?;

        assert_eq!(report.title, "run (1), run (2)");
        assert!(html(&report).contains("<h3>run (2), Best: a</h3>"));
        Ok(())
    }

    #[test]
    fn folders_without_evaluation_are_refused_with_a_remedy() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        let error = of_folders(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("it holds no evaluation; give a run that was trained"), "{error}");
        let error = of_folders(&[folder.path().join("none")]).unwrap_err().to_string();
        assert!(error.contains("it is not there"), "{error}");
        Ok(())
    }

    #[test]
    fn a_log_that_is_damaged_in_the_middle_is_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "{\n{}\n")?;

        let error = history(&path).unwrap_err().to_string();

        assert!(error.contains("line 1 is no entry of a log"), "{error}");
        Ok(())
    }
}
