//! How two models differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use candle::{DType, Tensor};
use engine::Trained;
use engine::evaluate::{Evaluation, decimals, evaluation_file};
use engine::file::{read_json, read_versioned};
use serde::Serialize;
use serde_json::Value;

use crate::load::{first, load_all};
use crate::{Result, card, manifest};

/// How two models differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The folders.
    pub models: [PathBuf; 2],
    /// The files that are not the same in both, by name.
    pub files: Vec<FileDifference>,
    /// The settings of network and preparation that are not the same.
    pub settings: Vec<SettingDifference>,
    /// The scores that either was packed with: means over cases.
    pub scores: Vec<ScoreDifference>,
    /// The weights.
    pub weights: WeightsDifference,
}

/// A file that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Its path within the folder, with `/` between folders.
    pub name: String,
    /// In which of the two it is.
    pub there: [bool; 2],
}

/// A setting that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingDifference {
    /// `config.json` or `plan.json`.
    pub file: String,
    /// The key, with `.` between the names of tables.
    pub key: String,
    /// The values; `None` where it is not there.
    pub values: [Option<Value>; 2],
}

/// A score of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreDifference {
    /// The class; `mean` for that over foreground classes.
    pub class: String,
    /// The score, such as `dice`.
    pub score: String,
    /// The means over cases; `None` where one was not computed, or is undefined.
    pub values: [Option<f64>; 2],
}

/// How far apart weights are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsDifference {
    /// They are the same, bit by bit.
    Equal,
    /// They are of the same network.
    Apart {
        /// In how many tensors.
        tensors: usize,
        /// Of so many.
        of: usize,
        /// The largest difference of two values.
        max_abs: f64,
        /// The length of the difference, by that of the first one's weights.
        relative: f64,
    },
    /// They are of networks that are not alike.
    Unlike {
        /// Why they cannot be compared.
        reason: String,
    },
}

/// Compares two model folders or finished runs: their files, their settings, their scores and their weights.
///
/// # Errors
///
/// As [`load_all`]; where a file is missing or damaged.
pub fn diff(one: &Path, other: &Path) -> Result<Difference> {
    let models = [one, other];
    let networks = [load_all(one)?, load_all(other)?];
    let folders = [first(one)?, first(other)?];
    Ok(Difference {
        models: models.map(Path::to_owned),
        files: files(models)?,
        settings: settings([&folders[0], &folders[1]])?,
        scores: scores([&folders[0], &folders[1]])?,
        weights: weights(&networks[0], &networks[1])?,
    })
}

fn files(models: [&Path; 2]) -> Result<Vec<FileDifference>> {
    let [one, other] = [manifest::hash_all(models[0])?, manifest::hash_all(models[1])?];
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let different = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    let there = |name: &str| [one.contains_key(name), other.contains_key(name)];
    Ok(different.map(|name| FileDifference { name: name.clone(), there: there(name) }).collect())
}

fn settings(folders: [&Path; 2]) -> Result<Vec<SettingDifference>> {
    let mut found = Vec::new();
    for file in ["config.json", "plan.json"] {
        let mut flat = [BTreeMap::new(), BTreeMap::new()];
        for (folder, flat) in folders.iter().zip(&mut flat) {
            flatten(&read_json(&folder.join(file))?, "", flat);
        }
        let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
        for key in keys {
            let values = [flat[0].get(key).cloned(), flat[1].get(key).cloned()];
            if values[0] != values[1] {
                let (file, key) = (file.to_owned(), key.clone());
                found.push(SettingDifference { file, key, values });
            }
        }
    }
    Ok(found)
}

/// The values of a table and of those within it; lists are values.
fn flatten(value: &Value, key: &str, into: &mut BTreeMap<String, Value>) {
    let Value::Object(table) = value else {
        into.insert(key.to_owned(), value.clone());
        return;
    };
    for (name, value) in table {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        flatten(value, &key, into);
    }
}

fn scores(folders: [&Path; 2]) -> Result<Vec<ScoreDifference>> {
    let mut all: BTreeMap<(String, String), [Option<f64>; 2]> = BTreeMap::new();
    for (at, folder) in folders.into_iter().enumerate() {
        // Not every model was packed with one.
        let Ok(path) = evaluation_file(folder) else { continue };
        let evaluation: Evaluation = read_versioned(&path)?;
        for (class, score, found) in card::aggregates(&evaluation) {
            all.entry((class.to_owned(), score.to_owned())).or_default()[at] = found.mean;
        }
        for (score, found) in &evaluation.probabilities {
            all.entry(("probabilities".to_owned(), score.clone())).or_default()[at] = found.mean;
        }
    }
    let each = all.into_iter();
    Ok(each.map(|((class, score), values)| ScoreDifference { class, score, values }).collect())
}

fn weights(one: &[Trained], other: &[Trained]) -> Result<WeightsDifference> {
    let unlike = |reason: String| Ok(WeightsDifference::Unlike { reason });
    if one.len() != other.len() {
        return unlike(format!("{} networks, and {}", one.len(), other.len()));
    }
    let (mut tensors, mut of, mut max_abs) = (0, 0, 0f64);
    let (mut apart, mut length) = (0f64, 0f64);
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (&one.parameters, &other.parameters);
        if let Some(name) = one.keys().find(|name| !other.contains_key(*name)) {
            return unlike(format!("only the first has {name}"));
        }
        if let Some(name) = other.keys().find(|name| !one.contains_key(*name)) {
            return unlike(format!("only the second has {name}"));
        }
        for (name, a) in one {
            let b = &other[name];
            if a.shape() != b.shape() {
                return unlike(format!("{name} is {:?}, and {:?}", a.dims(), b.dims()));
            }
            let (a, b) = (values(a)?, values(b)?);
            of += 1;
            tensors += usize::from(a.iter().zip(&b).any(|(a, b)| a.to_bits() != b.to_bits()));
            for (a, b) in a.iter().zip(&b) {
                max_abs = max_abs.max((a - b).abs());
                apart += (a - b).powi(2);
                length += a.powi(2);
            }
        }
    }
    if tensors == 0 {
        return Ok(WeightsDifference::Equal);
    }
    let relative = (apart / length.max(f64::MIN_POSITIVE)).sqrt();
    Ok(WeightsDifference::Apart { tensors, of, max_abs, relative })
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

impl Difference {
    /// Whether nothing that was compared differs.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.weights == WeightsDifference::Equal
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = [self.models[0].display(), self.models[1].display()];
        writeln!(f, "a  {one}\nb  {other}")?;
        write!(f, "weights  {}", self.weights)?;
        if self.files.is_empty() {
            write!(f, "\nfiles    the same")?;
        }
        for FileDifference { name, there } in &self.files {
            let state = match there {
                [true, false] => "only in a",
                [false, true] => "only in b",
                _ => "different",
            };
            write!(f, "\nfile     {name}: {state}")?;
        }
        for SettingDifference { file, key, values } in &self.settings {
            let [a, b] = values
                .each_ref()
                .map(|value| value.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string));
            write!(f, "\nsetting  {file}: {key}: {a} → {b}")?;
        }
        for ScoreDifference { class, score, values } in &self.scores {
            let [a, b] = values.map(|value| decimals(value, 4));
            write!(f, "\nscore    {class}: {score}: {a} → {b}")?;
        }
        Ok(())
    }
}

impl fmt::Display for WeightsDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => write!(f, "the same"),
            Self::Apart { tensors, of, max_abs, relative } => write!(
                f,
                "{tensors} of {of} tensors differ, by at most {max_abs:.3e}; by {:.2} % in all",
                100.0 * relative
            ),
            Self::Unlike { reason } => write!(f, "of networks that are not alike: {reason}"),
        }
    }
}
