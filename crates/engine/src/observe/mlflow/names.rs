//! What MLflow takes for a name or a value.

use std::collections::BTreeSet;

use toml::Value;

use crate::{Result, RunConfig};

/// Characters of a name, at most.
const NAME: usize = 250;

/// Characters of the value of a parameter, at most.
const VALUE: usize = 6000;

/// Characters of the value of a tag, at most.
const TAG: usize = 5000;

/// A name that every server takes: letters without accents, digits, and what may stand between
/// them; it is a relative path, no part of which is empty or made of dots alone.
pub(super) fn name(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-. ".contains(c) { c } else { '_' };
    let part = |part: &str| -> String {
        let part: String = part.trim().chars().map(allowed).collect();
        if part.chars().all(|c| c == '.') { "_".repeat(part.len().max(1)) } else { part }
    };
    let parts: Vec<String> = text.split('/').map(part).collect();
    parts.join("/").chars().take(NAME).collect()
}

/// Names of classes as parts of a name, told apart where they would become the same.
pub(super) fn names_of_classes(classes: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let one = |(at, class): (usize, &String)| {
        let mut short = name(&class.replace('/', "_"));
        while !taken.insert(short.clone()) {
            short = format!("{short} {}", at + 1);
        }
        short
    };
    classes.iter().enumerate().map(one).collect()
}

/// The value of a tag, cut where it is too long.
pub(super) fn tag(text: &str) -> String {
    cut(text, TAG)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// All settings of a run file, each under its key as `--set` takes it; of a list of tables, each
/// entry by its number, from 0.
pub(super) fn settings(config: &RunConfig) -> Result<Vec<(String, String)>> {
    let wrong = |error: toml::de::Error| crate::Error::Settings(error.to_string());
    let table: toml::Table = toml::from_str(&config.to_toml()?).map_err(wrong)?;
    let mut found = Vec::new();
    flatten("", &Value::Table(table), &mut found);
    Ok(found)
}

fn flatten(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (part, value) in table {
                flatten(&below(part), value, found);
            }
        }
        Value::Array(all) if all.iter().any(Value::is_table) => {
            for (at, value) in all.iter().enumerate() {
                flatten(&below(&at.to_string()), value, found);
            }
        }
        Value::String(text) => found.push((name(key), cut(text, VALUE))),
        other => found.push((name(key), cut(&other.to_string(), VALUE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_every_server_takes_them() {
        assert_eq!(name("dice/Läsion (1)"), "dice/L_sion _1_");
        assert_eq!(name("dice//.."), "dice/_/__");
        assert_eq!(name(&"x".repeat(300)).len(), NAME);
        let classes = ["a+b", "a/b", "a b"].map(str::to_owned);
        assert_eq!(names_of_classes(&classes), ["a_b", "a_b 2", "a b"]);
    }

    #[test]
    fn settings_are_flat() -> anyhow::Result<()> {
        let config = RunConfig::from_text(
            "schema = 1\nseed = 7\n[data.phantom]\n[model.unet]\nfeatures_per_stage = [4, 8]\n\
             [loss.sum]\n[[loss.sum.terms]]\nweight = 1.0\nloss.dice = { smooth = 1e-5 }\n\
             [[loss.sum.terms]]\nweight = 2.0\nloss.cross_entropy = {}\n[optimizer.sgd]\n[schedule.poly]",
        )?;

        let found = settings(&config)?;

        let of = |key: &str| found.iter().find(|entry| entry.0 == key).map(|it| it.1.as_str());
        assert_eq!(of("seed"), Some("7"));
        assert_eq!(of("model.unet.features_per_stage"), Some("[4, 8]"));
        assert_eq!(of("loss.sum.terms.1.weight"), Some("2.0"));
        assert_eq!(of("loss.sum.terms.0.loss.dice.smooth"), Some("0.00001"));
        let mut names: Vec<&String> = found.iter().map(|entry| &entry.0).collect();
        names.dedup();
        assert_eq!(names.len(), found.len());
        Ok(())
    }

    #[test]
    fn long_values_are_cut() {
        let long = "ä".repeat(VALUE + 1);

        assert_eq!(cut(&long, VALUE).chars().count(), VALUE);
        assert!(cut(&long, VALUE).ends_with('…'));
        assert_eq!(tag("short"), "short");
    }
}
