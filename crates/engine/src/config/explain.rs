//! Where each setting of a run is from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::RunConfig;
use crate::{Error, Result};

/// Where a setting is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line: `--set`.
    Assignment,
    /// The run file.
    File,
    /// A preset that the run file or the command line names.
    Preset(&'static str),
    /// Nobody: its default.
    Default,
}

/// Where the settings of a run are from, by key; what is not listed is a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// Where the setting `key`, such as `train.epochs`, is from.
    pub fn of(&self, key: &str) -> Source {
        self.0.get(key).copied().unwrap_or(Source::Default)
    }

    /// All that a table sets is from `source`.
    pub(super) fn add(&mut self, table: &Table, source: Source) {
        for (key, _) in leaves(table) {
            self.0.insert(key, source);
        }
    }

    /// The same of what nothing else sets yet.
    pub(super) fn add_absent(&mut self, table: &Table, source: Source) {
        for (key, _) in leaves(table) {
            self.0.entry(key).or_insert(source);
        }
    }

    /// The setting `key`, and what is within it, is from `source`, and from nowhere else.
    pub(super) fn set(&mut self, key: &str, value: &Value, source: Source) {
        let within = format!("{key}.");
        self.0.retain(|other, _| !other.starts_with(&within));
        match value {
            Value::Table(table) => {
                let keys = leaves(table).into_iter().map(|(rest, _)| format!("{key}.{rest}"));
                self.0.extend(keys.map(|key| (key, source)));
            }
            _ => _ = self.0.insert(key.to_owned(), source),
        }
    }
}

/// The values of a table that hold no others by name, with their whole keys.
fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value)),
        }
    }
    found
}

impl RunConfig {
    /// The settings as a run file, every default written out, and behind each one where it is from.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where a value has no TOML form.
    pub fn explained(&self, sources: &Sources) -> Result<String> {
        let table: Table = toml::from_str(&self.to_toml()?)
            .map_err(|error| Error::Settings(error.message().to_owned()))?;
        let mut text = String::new();
        write(&mut text, "", &table, sources);
        Ok(text.trim_start().to_owned())
    }
}

/// Writes what a table sets by itself, then the tables in it.
fn write(text: &mut String, prefix: &str, table: &Table, sources: &Sources) {
    let key = |name: &String| match prefix {
        "" => name.clone(),
        prefix => format!("{prefix}.{name}"),
    };
    let is_inner = |value: &Value| matches!(value, Value::Table(_));
    let (inner, own): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| is_inner(value));
    if !prefix.is_empty() && (!own.is_empty() || inner.is_empty()) {
        _ = writeln!(text, "\n[{prefix}]");
    }
    for (name, value) in own {
        let line = format!("{name} = {value}");
        let source = match sources.of(&key(name)) {
            Source::Assignment => "--set".to_owned(),
            Source::File => "run file".to_owned(),
            Source::Preset(name) => format!("preset {name}"),
            Source::Default => "default".to_owned(),
        };
        _ = writeln!(text, "{line:<48}  # {source}");
    }
    for (name, value) in inner {
        if let Value::Table(inner) = value {
            write(text, &key(name), inner, sources);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_from_what_names_it_last() {
        let table = |text: &str| -> Table { toml::from_str(text).expect("TOML") };
        let mut sources = Sources::default();
        sources.add(&table("[train]\nepochs = 3\n[model.unet]"), Source::File);
        sources.add_absent(&table("[train]\nepochs = 1\nbatch_size = 4"), Source::Preset("it"));
        sources.set(
            "optimizer",
            &table("[value.sgd]\nmomentum = 0.5")["value"],
            Source::Assignment,
        );

        assert_eq!(sources.of("train.epochs"), Source::File);
        assert_eq!(sources.of("train.batch_size"), Source::Preset("it"));
        assert_eq!(sources.of("optimizer.sgd.momentum"), Source::Assignment);
        assert_eq!(sources.of("optimizer.sgd.nesterov"), Source::Default);
        assert_eq!(sources.of("model.unet.norm"), Source::Default);
        assert_eq!(sources.of("train.keep"), Source::Default);
    }
}
