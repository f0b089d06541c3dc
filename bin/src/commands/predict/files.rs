//! The files that a prediction becomes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::data::{self, ImageFiles};
use sconce::engine::{Ensemble, EnsemblePrediction, PredictConfig, Statistics, file};
use sconce::losses::Activation;
use sconce::volume::{Image, LabelMap};
use serde::{Deserialize, Serialize};

/// What is wanted beside the labels.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Wanted {
    pub(super) probabilities: bool,
    pub(super) entropy: bool,
    pub(super) masks: bool,
    pub(super) statistics: bool,
    pub(super) overwrite: bool,
}

/// What made all predictions of a command.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    /// The version of the program.
    pub(super) version: &'static str,
    /// The networks.
    pub(super) networks: Vec<Network>,
}

/// One of the networks that made a prediction.
#[derive(Debug, Serialize)]
pub(super) struct Network {
    /// The data set that it was trained on.
    pub(super) dataset: String,
    /// The SHA-256 hash of its weights.
    pub(super) weights: String,
    /// How it was asked.
    pub(super) settings: PredictConfig,
}

/// Where the predictions of one image go.
pub(super) struct Files {
    labels: PathBuf,
    probabilities: Option<PathBuf>,
    entropy: Option<PathBuf>,
    /// Of each class but the background.
    masks: Vec<PathBuf>,
    statistics: Option<PathBuf>,
    manifest: PathBuf,
}

impl Files {
    pub(super) fn of(case: &ImageFiles, output: &Path, wanted: Wanted, network: &Ensemble) -> Self {
        let named = |ending: &str| output.join(format!("{}{ending}", case.id));
        let below =
            |folder: &str, ending: &str| output.join(folder).join(format!("{}{ending}", case.id));
        let classes = network.config().classes.iter().skip(1).map(|class| class.name.as_str());
        let mask = |name: String| {
            output.join("masks").join(&case.id).join(format!("{name}{}", case.extension()))
        };
        Self {
            labels: named(case.extension()),
            probabilities: wanted.probabilities.then(|| named("_probabilities.nii.gz")),
            entropy: wanted.entropy.then(|| below("entropy", ".nii.gz")),
            masks: if wanted.masks { file_names(classes).map(mask).collect() } else { Vec::new() },
            statistics: wanted.statistics.then(|| below("statistics", ".json")),
            manifest: named("_prediction.json"),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let one = std::iter::once(&self.labels).chain(&self.probabilities).chain(&self.entropy);
        one.chain(&self.masks).chain(&self.statistics)
    }

    /// Predicts an image, and writes those of its files that are `wanted`; last the one that says what made them.
    pub(super) fn write(
        &self,
        network: &Ensemble,
        case: &ImageFiles,
        wanted: &[PathBuf],
        made: &Made,
    ) -> anyhow::Result<()> {
        let image = case.read(network.channels())?;
        let prediction = network.predict(&image)?;
        for path in wanted {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot create {}", folder.display()))?;
            }
        }
        // What is about to be replaced is no longer what was said of it.
        self.forget(wanted)?;
        let is_wanted = |path: &&PathBuf| wanted.contains(path);
        if let Some(path) = self.probabilities.as_ref().filter(is_wanted) {
            write_probabilities(path, &prediction)?;
        }
        if let Some(path) = self.entropy.as_ref().filter(is_wanted) {
            data::write_image(path, &prediction.entropy()?)?;
        }
        let of_labels = self.masks.iter().chain(&self.statistics).chain([&self.labels]);
        if of_labels.into_iter().any(|path| wanted.contains(path)) {
            let labels = network.config().to_files(prediction.labels()?);
            self.write_labels(network, &labels, &image, wanted)?;
        }
        self.write_manifest(case, network, wanted, made)
    }

    fn write_labels(
        &self,
        network: &Ensemble,
        labels: &LabelMap,
        image: &Image,
        wanted: &[PathBuf],
    ) -> anyhow::Result<()> {
        let values = network.config().label_members();
        for (path, members) in self.masks.iter().zip(&values[1..]) {
            if wanted.contains(path) {
                let mask = labels.data.mapv(|label| u16::from(members.contains(&label)));
                data::write_label_map(path, &LabelMap::new(labels.grid.clone(), mask)?)?;
            }
        }
        if let Some(path) = self.statistics.as_ref().filter(|path| wanted.contains(path)) {
            let statistics = Statistics::of(labels, image, &network.config().classes, &values);
            file::write_json(path, &statistics)?;
        }
        if wanted.contains(&self.labels) {
            data::write_label_map(&self.labels, labels)?;
        }
        Ok(())
    }

    /// Takes files out of what is said of them, where anything is.
    fn forget(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        if !self.manifest.exists() {
            return Ok(());
        }
        // Of another program, it says nothing of ours.
        if let Ok(mut manifest) = file::read_json::<Manifest>(&self.manifest) {
            let before = manifest.outputs.len();
            manifest
                .outputs
                .retain(|place, _| !files.iter().any(|path| self.place(path) == *place));
            if manifest.outputs.len() < before {
                file::write_json(&self.manifest, &manifest)?;
            }
        }
        Ok(())
    }

    /// Where a file lies below the output folder.
    fn place(&self, path: &Path) -> String {
        let folder = self.manifest.parent().unwrap_or(Path::new(""));
        path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// Says beside the predictions what made each of them; those that stay were made by what is said already.
    fn write_manifest(
        &self,
        case: &ImageFiles,
        network: &Ensemble,
        written: &[PathBuf],
        made: &Made,
    ) -> anyhow::Result<()> {
        let name =
            |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let before = if self.manifest.exists() {
            // Of another program, it says nothing of ours.
            file::read_json::<Manifest>(&self.manifest).ok()
        } else {
            None
        };
        let mut outputs = before.map(|before| before.outputs).unwrap_or_default();
        for path in written {
            outputs.insert(self.place(path), serde_json::to_value(made)?);
        }
        let config = network.config();
        let classes = config.classes.iter().map(|class| class.name.clone());
        let manifest = Manifest {
            schema: 1,
            image: case.files.iter().map(name).collect(),
            labels: classes.zip(config.label_values()).collect(),
            outputs,
        };
        Ok(file::write_json(&self.manifest, &manifest)?)
    }
}

/// `CASE_prediction.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    schema: u32,
    /// The files of the image, by their names alone.
    image: Vec<String>,
    /// The value of each class in the label file.
    labels: Vec<(String, u16)>,
    /// What made each file, by its place below the output folder.
    outputs: BTreeMap<String, serde_json::Value>,
}

/// Probabilities of regions that overlap do not sum to 1: they are an image, not a label.
fn write_probabilities(path: &Path, prediction: &EnsemblePrediction) -> anyhow::Result<()> {
    match prediction.activation() {
        Activation::Sigmoid => data::write_image(path, &prediction.probability_image()?)?,
        Activation::Softmax => data::write_soft_labels(path, &prediction.probabilities()?)?,
    }
    Ok(())
}

/// The names of classes, as those of files: no two alike.
fn file_names<'a>(classes: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let mut taken = BTreeSet::new();
    classes.map(move |class| {
        let mut name = file_name(class);
        // Some file systems do not tell capitals from small letters.
        while name.is_empty() || !taken.insert(name.to_lowercase()) {
            name.push('_');
        }
        name
    })
}

/// The name of a class, as that of a file: letters, digits, `-`, `_` and `.`, other characters as `_`.
fn file_name(class: &str) -> String {
    let kept = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = class.chars().map(|it| if kept(it) { it } else { '_' }).collect();
    // Neither hidden nor a folder.
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_lead_nowhere_else() {
        let of = ["left kidney", "../etc/passwd", "T1/T2", ".", "Niere_2", "größe"];
        let names = of.map(file_name);
        assert_eq!(names, ["left_kidney", "_._etc_passwd", "T1_T2", "_", "Niere_2", "größe"]);
    }

    #[test]
    fn no_two_classes_share_a_file() {
        let of = ["T1 x", "T1/x", "t1_X", "T1_x_", "", "_"];
        let names: Vec<String> = file_names(of.into_iter()).collect();
        assert_eq!(names, ["T1_x", "T1_x_", "t1_X__", "T1_x___", "_", "__"]);
    }
}
