//! What is said beside predictions of what made them: `CASE_prediction.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sconce::data::ImageFiles;
use sconce::engine::{NetworkConfig, Postprocess, PredictConfig, file};
use serde::{Deserialize, Serialize};

/// What made all predictions of a command.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    /// The version of the program.
    pub(super) version: &'static str,
    /// The networks.
    pub(super) networks: Vec<Network>,
    /// Those that spoke first, of a cascade.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) previous: Vec<Network>,
    /// What was done to labels once they had spoken.
    #[serde(skip_serializing_if = "Postprocess::is_none")]
    pub(super) postprocess: Postprocess,
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

/// Where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manifest<'a> {
    path: &'a Path,
}

impl<'a> Manifest<'a> {
    pub(super) fn at(path: &'a Path) -> Self {
        Self { path }
    }

    /// What it says; nothing, where it is of another program, which says nothing of ours.
    fn read(self) -> Option<Content> {
        if self.path.exists() { file::read_json(self.path).ok() } else { None }
    }

    /// Takes files out of what is said of them, where anything is.
    pub(super) fn forget(self, files: &[PathBuf]) -> anyhow::Result<()> {
        let Some(mut content) = self.read() else { return Ok(()) };
        let before = content.outputs.len();
        content.outputs.retain(|place, _| !files.iter().any(|path| self.place(path) == *place));
        if content.outputs.len() < before {
            file::write_json(self.path, &content)?;
        }
        Ok(())
    }

    /// Where a file lies below the output folder.
    fn place(self, path: &Path) -> String {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// Says what made each of the files; those that stay were made by what is said already.
    pub(super) fn add(
        self,
        case: &ImageFiles,
        config: &NetworkConfig,
        written: &[PathBuf],
        made: &Made,
    ) -> anyhow::Result<()> {
        let name =
            |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut outputs = self.read().map(|before| before.outputs).unwrap_or_default();
        for path in written {
            outputs.insert(self.place(path), serde_json::to_value(made)?);
        }
        let classes = config.classes.iter().map(|class| class.name.clone());
        let content = Content {
            schema: 1,
            image: case.files.iter().map(name).collect(),
            labels: classes.zip(config.label_values()).collect(),
            outputs,
        };
        Ok(file::write_json(self.path, &content)?)
    }
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    schema: u32,
    /// The files of the image, by their names alone.
    image: Vec<String>,
    /// The value of each class in the label file.
    labels: Vec<(String, u16)>,
    /// What made each file, by its place below the output folder.
    outputs: BTreeMap<String, serde_json::Value>,
}
