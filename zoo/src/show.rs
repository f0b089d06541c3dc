use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use engine::NetworkConfig;
use engine::calibrate::Calibration;
use engine::evaluate::{Evaluation, decimals};
use engine::file::read_versioned;
use preprocess::Plan;
use serde::Serialize;

use crate::load::folds;
use crate::{Error, Result, card, header, manifest};

/// What a model folder holds, or why it does not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The folder.
    pub folder: PathBuf,
    /// The model, or what is wrong with it.
    #[serde(flatten)]
    pub content: Content,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A model.
    Model(Box<Details>),
    /// Something that looks like a model and cannot be read.
    Problem(String),
}

/// What a model is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Details {
    /// Its name.
    pub name: String,
    /// The network, as run files call it.
    pub architecture: String,
    /// Spatial axes: 2 or 3.
    pub rank: usize,
    /// How many networks are averaged: more than one where it has folds.
    pub networks: usize,
    /// The number of values in its weights, of all networks.
    pub parameters: u64,
    /// The data set that it was trained on.
    pub dataset: String,
    /// What each channel of an image is.
    pub channels: Vec<String>,
    /// Its classes, background first.
    pub classes: Vec<String>,
    /// What makes embeddings of prompts, where it is told in words what to segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_encoder: Option<String>,
    /// What the network sees at once, voxels, slowest axis first.
    pub patch_size: Vec<usize>,
    /// The spacing that images are brought to, mm, slowest axis first; `None` where they keep their
    /// own.
    pub spacing: Option<Vec<f64>>,
    /// What logits are divided by before they become probabilities, where that is how it is calibrated.
    pub temperature: f64,
    /// How it is calibrated.
    pub calibration: Calibration,
    /// Its scores on the evaluation that it came with: means over classes and cases.
    pub scores: Vec<Headline>,
    /// How many cases these are over; 0 without an evaluation.
    pub cases: usize,
    /// The license of the weights, as the hub names it; `None` where the card names none.
    pub license: Option<String>,
    /// The size of all files, bytes.
    pub bytes: u64,
}

/// One score of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Headline {
    /// Which one, such as `dice`.
    pub score: String,
    /// Its mean; `None` where it is undefined.
    pub value: Option<f64>,
    /// `mm`, or empty for a fraction.
    pub unit: String,
}

/// Says what a model is, without reading its weights or checking hashes.
///
/// # Errors
///
/// [`Error::NotAModel`], where the folder has no `SHA256SUMS`; else where a file that is needed is
/// missing or damaged.
pub fn show(folder: &Path) -> Result<Summary> {
    manifest::read(folder)?;
    let folds = folds(folder)?;
    let first = folds.first().map_or(folder, PathBuf::as_path);
    let config: NetworkConfig = read_versioned(&first.join("config.json"))?;
    let plan: Plan = read_versioned(&first.join("plan.json"))?;
    let mut parameters = 0;
    for network in folds.iter().map(PathBuf::as_path).chain(folds.is_empty().then_some(folder)) {
        parameters += header::parameters(&network.join("model.safetensors"))?;
    }
    let path = folder.join("README.md");
    let card = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let (name, license) = card::name_and_license(&card);
    let path = folder.join("eval").join("summary.json");
    let evaluation: Option<Evaluation> =
        if path.exists() { Some(read_versioned(&path)?) } else { None };
    let mut bytes = 0;
    for name in manifest::files(folder)? {
        let path = folder.join(name);
        bytes += fs::metadata(&path).map_err(Error::io(&path))?.len();
    }
    let axes = 3 - config.interface.rank.min(3);
    let own_name = || folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let details = Details {
        name: name.unwrap_or_else(own_name),
        architecture: config.architecture.name().to_owned(),
        rank: config.interface.rank,
        networks: folds.len().max(1),
        parameters,
        dataset: config.dataset,
        channels: config.channels,
        classes: config.classes.into_iter().map(|class| class.name).collect(),
        text_encoder: config.text.map(|text| text.encoder),
        patch_size: plan.patch_size[axes..].to_vec(),
        spacing: plan.resample.then(|| plan.spacing[axes..].to_vec()),
        temperature: config.temperature,
        calibration: config.predict.calibration,
        scores: evaluation.as_ref().map(headlines).unwrap_or_default(),
        cases: evaluation.map_or(0, |evaluation| evaluation.cases.len()),
        license,
        bytes,
    };
    Ok(Summary { folder: folder.to_owned(), content: Content::Model(Box::new(details)) })
}

fn headlines(evaluation: &Evaluation) -> Vec<Headline> {
    let unit = |score: &str| {
        evaluation.definitions.get(score).map_or_else(String::new, |found| found.unit.clone())
    };
    let only = evaluation.classes.first().filter(|_| evaluation.classes.len() == 1);
    let class = only.filter(|_| !evaluation.masks.contains_key(card::MEAN));
    let class = class.map_or(card::MEAN, String::as_str);
    let masks = evaluation.masks.get(class).into_iter().flatten();
    let mut headlines: Vec<Headline> = masks
        .chain(&evaluation.probabilities)
        .map(|(score, found)| Headline {
            score: score.clone(),
            value: found.mean,
            unit: unit(score),
        })
        .collect();
    if let Some(calibration) = &evaluation.calibration {
        let (score, value) = ("pooled_ece".to_owned(), Some(calibration.pooled_ece));
        headlines.push(Headline { score, value, unit: String::new() });
    }
    headlines
}

impl Summary {
    /// The model on one line, for a list.
    pub fn one_line(&self) -> String {
        let folder = self.folder.display();
        let details = match &self.content {
            Content::Problem(problem) => return format!("{folder}: NOT usable: {problem}"),
            Content::Model(details) => details,
        };
        let dice = details.scores.iter().find(|headline| headline.score == "dice");
        let dice = match dice.and_then(|headline| headline.value) {
            Some(value) => format!(", Dice {}", decimals(Some(value), 3)),
            None => String::new(),
        };
        format!(
            "{folder}: {}, {} {}D, {} parameters{dice}, {}, {}",
            details.name,
            details.architecture,
            details.rank,
            details.parameters,
            details.license.as_deref().unwrap_or("no license"),
            size(details.bytes)
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = match &self.content {
            Content::Problem(_) => return write!(f, "{}", self.one_line()),
            Content::Model(details) => details,
        };
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            writeln!(f, "{name:<13} {value}")
        };
        let license = details.license.as_deref().unwrap_or("none is named");
        let patch: Vec<String> = details.patch_size.iter().map(ToString::to_string).collect();
        row(f, "name", &details.name)?;
        row(f, "architecture", &format!("{}, {}D", details.architecture, details.rank))?;
        let several = match details.networks {
            1 => String::new(),
            several => format!(", of {several} networks"),
        };
        row(f, "parameters", &format!("{}{several}", details.parameters))?;
        row(f, "trained on", &details.dataset)?;
        row(f, "channels", &details.channels.join(", "))?;
        row(f, "classes", &details.classes.join(", "))?;
        if let Some(encoder) = &details.text_encoder {
            row(
                f,
                "prompts",
                &format!("those and other words for them, by the text encoder {encoder}"),
            )?;
        }
        row(f, "patch", &format!("{} voxels", patch.join(" × ")))?;
        match &details.spacing {
            Some(spacing) => {
                let spacing: Vec<String> = spacing.iter().map(ToString::to_string).collect();
                row(f, "spacing", &format!("{} mm", spacing.join(" × ")))?;
            }
            None => row(f, "spacing", &"that of the image")?,
        }
        match details.calibration {
            Calibration::None => row(f, "calibration", &"none")?,
            Calibration::Temperature => row(f, "temperature", &details.temperature)?,
            Calibration::Vector => row(f, "calibration", &"a weight and a bias for each class")?,
        }
        row(f, "license", &license)?;
        row(f, "size", &size(details.bytes))?;
        if details.scores.is_empty() {
            return write!(f, "scores        packed without an evaluation");
        }
        write!(f, "scores        mean of {} cases", details.cases)?;
        for headline in &details.scores {
            let value = format!("{} {}", decimals(headline.value, 4), headline.unit);
            write!(f, "\n  {:<19} {}", headline.score, value.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes for people, in powers of 1000.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // Not 1000.0: what rounds to it belongs to the next unit.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(
            [0, 999, 1000, 999_999, 31_400_000].map(size),
            ["0 B", "999 B", "1.0 kB", "1.0 MB", "31.4 MB"]
        );
    }
}
