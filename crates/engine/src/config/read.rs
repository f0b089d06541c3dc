//! From a run file, a preset and assignments to settings.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::preset::{PRESETS, Preset};
use super::{RunConfig, Source, Sources};
use crate::{Error, Result};

/// Tables of which a run file fills in one of several: what it fills in takes the place of a preset's.
const CHOICES: [&str; 6] = ["data", "model", "loss", "optimizer", "schedule", "fusion"];

impl RunConfig {
    /// Reads a run file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Config`], which points at the line; [`Error::File`], where a
    /// number is out of range or settings contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &[])
    }

    /// Reads the text of a run file.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read`].
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Self::from_text_with(Path::new("the run file"), text, &[])?.0)
    }

    /// Reads a run file, and gives some of its settings another value, each written
    /// `key.of.setting=value` with the value as in TOML (text without quotes is taken as text).
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read`]; and [`Error::Settings`], which names the assignment that does not
    /// fit.
    pub fn read_with(path: &Path, assignments: &[String]) -> Result<Self> {
        Ok(Self::read_traced(path, assignments)?.0)
    }

    /// The same, with where each value is from.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::read_with`].
    pub fn read_traced(path: &Path, assignments: &[String]) -> Result<(Self, Sources)> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_text_with(path, &text, assignments)
    }

    fn from_text_with(path: &Path, text: &str, given: &[String]) -> Result<(Self, Sources)> {
        let wrong = |source| Error::Config { path: path.to_owned(), source: Box::new(source) };
        // By itself first: this error points at the line.
        let unchanged: Self = toml::from_str(text).map_err(wrong)?;
        let mut file: Table = toml::from_str(text).map_err(wrong)?;
        let mut sources = Sources::default();
        // An assignment may choose another preset.
        let mut chosen = file.clone();
        for assignment in given {
            assign(&mut chosen, assignment)?;
        }
        let preset = match chosen.get("preset") {
            Some(name) => Some(preset(name).map_err(|reason| match unchanged.preset {
                Some(_) => Error::File { path: path.to_owned(), reason },
                None => Error::Settings(reason),
            })?),
            None => None,
        };
        sources.add(&file, Source::File);
        if let Some(preset) = preset {
            let below: Table = toml::from_str(preset.text).map_err(wrong)?;
            sources.add_absent(&below, Source::Preset(preset.name));
            file = merged(below, file);
        }
        let alone = file.clone().try_into::<Self>().map_err(wrong)?.checked();
        // The file is to blame, unless it is an assignment that made it wrong.
        let blamed = |error: Error| match (error, alone.is_err()) {
            (Error::Settings(reason), true) => Error::File { path: path.to_owned(), reason },
            (error, _) => error,
        };
        if given.is_empty() {
            return Ok((alone.map_err(|error| as_of_file(error, path))?, sources));
        }
        let mut table = file;
        for assignment in given {
            let (key, value) = assign(&mut table, assignment)?;
            sources.set(&key, &value, Source::Assignment);
            // After each one, so that the message names the one that is wrong.
            table
                .clone()
                .try_into::<Self>()
                .map_err(|error| Error::Settings(format!("{assignment}: {}", error.message())))?;
        }
        let config = table.try_into::<Self>().map_err(wrong)?.checked().map_err(blamed)?;
        Ok((config, sources))
    }
}

/// An error of settings, as the file's.
fn as_of_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Settings(reason) => Error::File { path: path.to_owned(), reason },
        error => error,
    }
}

fn preset(name: &Value) -> Result<&'static Preset, String> {
    let name = name.as_str().unwrap_or_default();
    Preset::named(name).ok_or_else(|| {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        format!("there is no preset {name:?}; there are {}", known.join(", "))
    })
}

/// What is `above` where it says something, and what is `below` elsewhere.
fn merged(mut below: Table, above: Table) -> Table {
    for (key, value) in above {
        let value = match (below.remove(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if continues(&key, &below, &above) => {
                Value::Table(merged(below, above))
            }
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}

/// Whether one table says more of what the other is about, rather than choosing something else.
fn continues(key: &str, below: &Table, above: &Table) -> bool {
    !CHOICES.contains(&key) || above.keys().all(|choice| below.contains_key(choice))
}

/// Sets `a.b.c=value` in a table, and makes the tables on the way; the key and the value.
fn assign(table: &mut Table, assignment: &str) -> Result<(String, Value)> {
    let wrong = |reason: &str| Error::Settings(format!("{assignment}: {reason}"));
    let (key, value) =
        assignment.split_once('=').ok_or_else(|| wrong("it is not of the form key=value"))?;
    let value = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut keys: Vec<&str> = key.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| wrong("it names no key"))?;
    let mut inner = table;
    for key in keys {
        inner = inner
            .entry(key)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| wrong(&format!("{key} holds no settings")))?;
    }
    inner.insert(last.to_owned(), value.clone());
    Ok((key.trim().to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("TOML")
    }

    #[test]
    fn assignments_reach_into_tables_and_keep_their_types() -> anyhow::Result<()> {
        let mut table: Table = toml::from_str("seed = 1\n[train]\nepochs = 5")?;

        assign(&mut table, "train.epochs=2")?;
        assign(&mut table, "labels.fusion=majority")?;
        assign(&mut table, "preprocess.spacing=[1.0, 2.0, 3.0]")?;

        let expected = "seed = 1\n[train]\nepochs = 2\n[labels]\nfusion = \"majority\"\n\
                        [preprocess]\nspacing = [1.0, 2.0, 3.0]";
        assert_eq!(table, toml::from_str(expected)?);
        Ok(())
    }

    #[test]
    fn an_assignment_that_does_not_fit_is_named() {
        let mut table = table("seed = 1");

        let error = assign(&mut table, "seed.more=2").unwrap_err();

        assert_eq!(error.to_string(), "seed.more=2: seed holds no settings");
        assert!(assign(&mut table, "seed").is_err());
        assert!(assign(&mut table, "=3").is_err());
    }

    #[test]
    fn a_file_says_more_of_the_same_choice_or_makes_another() {
        let below = "[optimizer.sgd]\nmomentum = 0.9\nnesterov = true\n[train]\nepochs = 3";

        let more = merged(table(below), table("[optimizer.sgd]\nmomentum = 0.5"));
        assert_eq!(more["optimizer"]["sgd"]["momentum"].as_float(), Some(0.5));
        assert_eq!(more["optimizer"]["sgd"]["nesterov"].as_bool(), Some(true));
        assert_eq!(more["train"]["epochs"].as_integer(), Some(3));

        let other = merged(table(below), table("[optimizer.adam_w]\n[train]\nbatch_size = 4"));
        assert_eq!(other["optimizer"], Value::Table(table("[adam_w]")));
        assert_eq!(other["train"], Value::Table(table("epochs = 3\nbatch_size = 4")));
    }
}
