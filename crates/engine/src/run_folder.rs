//! Where a run keeps its files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use data::Fold;

use crate::calibrate::CalibrationFit;
use crate::file::{create_folder, read_json, read_versioned, remove_partial};
use crate::trained::weights_path;
use crate::{Error, Result, RunProvenance};

/// The folder of one run.
///
/// ```text
/// run/
/// ├── run.toml                  the settings, every default written out
/// ├── plan.json                 what was planned from the data
/// ├── config.json               the network, its channels and classes
/// ├── provenance.json           program, command, seed, and a hash of each case
/// ├── split.json                which cases were trained on and which held out
/// ├── log.jsonl                 one line for each step and epoch
/// ├── tensorboard/              the curves of the run for TensorBoard, one file for each start
/// ├── mlflow.json               which run of an MLflow server it is, where it is one
/// ├── checkpoint.safetensors    to go on from; replaced after each epoch, and every few minutes
/// ├── best.safetensors          the weights of the best epoch, where they are kept
/// ├── model.safetensors         the weights, once training is done
/// ├── text/                     what makes embeddings of words, where the network is told in words what to segment
/// ├── prepared/                cases for which there is no memory, until the run ends
/// ├── calibration.json          how logits are scaled, found on held-out cases
/// └── validation/               scores and pictures of held-out cases
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Opens a folder for a run, and makes it where it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; and [`Error::Settings`], where `resume` is not asked for and the folder
    /// holds a checkpoint or a network, which would be lost, or where it is asked for and there is
    /// no checkpoint.
    pub fn create(root: &Path, resume: bool) -> Result<Self> {
        let folder = Self { root: root.to_owned() };
        let holds = folder.checkpoint().exists();
        if !holds && !resume && weights_path(root).exists() {
            return Err(Error::Settings(format!(
                "{} holds a trained network already; choose another folder",
                root.display()
            )));
        }
        if holds && !resume {
            return Err(Error::Settings(format!(
                "{} holds a run already; continue it with --resume, or choose another folder",
                root.display()
            )));
        }
        if resume && !holds {
            return Err(Error::Settings(format!(
                "{} holds no checkpoint to resume from; start without --resume",
                root.display()
            )));
        }
        create_folder(root)?;
        Ok(folder)
    }

    /// The folder of a run that is there already, without looking into it.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether there is a checkpoint to go on from.
    pub fn has_checkpoint(&self) -> bool {
        self.checkpoint().exists()
    }

    /// Keeps every other process from training into this folder while the guard lives, and removes
    /// what a process that was killed left half-written.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where another process trains in it.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join(".lock");
        let file = File::create(&path).map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {
                remove_partial(&self.root)?;
                remove_partial(&self.validation())?;
                Ok(file)
            }
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::Settings(format!(
                "another process is training in {}; wait for it, or choose another folder",
                self.root.display()
            ))),
            Err(std::fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `run.toml`.
    pub fn settings(&self) -> PathBuf {
        self.root.join("run.toml")
    }

    /// `origins.json`: the hashes of the networks that the run began with, where there are any.
    pub fn origins(&self) -> PathBuf {
        self.root.join("origins.json")
    }

    /// `provenance.json`.
    pub fn provenance(&self) -> PathBuf {
        self.root.join("provenance.json")
    }

    /// What the run comes from; `None` where the folder does not say.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`].
    pub fn read_provenance(&self) -> Result<Option<RunProvenance>> {
        RunProvenance::read(&self.provenance())
    }

    /// `split.json`.
    pub fn split(&self) -> PathBuf {
        self.root.join("split.json")
    }

    /// Which cases were trained on and which held out; `None` where the folder does not say.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`].
    pub fn read_split(&self) -> Result<Option<Fold>> {
        let path = self.split();
        if path.exists() { Ok(Some(read_json(&path)?)) } else { Ok(None) }
    }

    /// How logits are to be scaled, and how that was found; `None` where none was fitted.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`].
    pub fn read_calibration(&self) -> Result<Option<CalibrationFit>> {
        let path = self.calibration();
        if path.exists() { Ok(Some(read_versioned(&path)?)) } else { Ok(None) }
    }

    /// Removes what was found out about weights that are about to be replaced: scores, pictures
    /// and temperature.
    pub(crate) fn forget_scores(&self) -> Result<()> {
        let validation = self.validation();
        for path in [
            self.calibration(),
            validation.join("summary.json"),
            validation.join("raw.json"),
            validation.join("pictures.safetensors"),
        ] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Io { path, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `prepared`.
    pub(crate) fn prepared(&self) -> PathBuf {
        self.root.join("prepared")
    }

    /// Removes prepared cases that were kept for this run alone.
    pub(crate) fn forget_prepared(&self) -> Result<()> {
        let path = self.prepared();
        if path.exists() { fs::remove_dir_all(&path).map_err(Error::io(&path)) } else { Ok(()) }
    }

    /// `log.jsonl`.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }

    /// `tensorboard/`.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// `checkpoint.safetensors`.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint.safetensors")
    }

    /// `best.safetensors`: the weights after the epoch of the least validation loss, where a run keeps those.
    pub(crate) fn best(&self) -> PathBuf {
        self.root.join("best.safetensors")
    }

    /// `calibration.json`.
    pub fn calibration(&self) -> PathBuf {
        self.root.join("calibration.json")
    }

    /// `validation/`.
    pub fn validation(&self) -> PathBuf {
        self.root.join("validation")
    }
}
