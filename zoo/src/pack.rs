use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use candle::Device;
use engine::file::{write_atomic, write_json};
use engine::{Postprocess, RunFolder, TextRecord, Trained};
use serde::Serialize;

use crate::card::Card;
use crate::ensemble::pack_folds;
use crate::findings::Findings;
use crate::license::{License, OTHER};
use crate::load::folds;
use crate::{DataSet, Error, Result, Work, citation, data_sets, golden, header, manifest, verify};

/// What a model folder is to say, beyond what the run knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// The model's name, one line.
    pub name: String,
    /// The license of the weights, as the hub names it: `cc-by-4.0`, or `other`. Weights follow the
    /// license of the data.
    pub license: String,
    /// A file with the license's text; `None` for a pointer to it.
    pub license_text: Option<PathBuf>,
    /// What the model is for, in Markdown; may be empty.
    pub description: String,
    /// The data sets that it was trained on.
    pub datasets: Vec<DataSet>,
    /// What it is not for, in Markdown, beyond what every card says; may be empty.
    pub not_for: String,
    /// Whose it is, for `CITATION.cff`: persons as `Family, Given`, else institutions or groups. Empty: "the authors of" it.
    pub authors: Vec<String>,
    /// What else is to be cited: the data, the method.
    pub works: Vec<Work>,
    /// A `CITATION.cff` to take instead of one that is made of `authors` and `works`.
    pub citation: Option<PathBuf>,
    /// Of a student: the teacher, as the hub names it, `owner/name`.
    pub base_model: Option<String>,
    /// The evaluation for the card, which must be of these weights; `None` for
    /// `validation/summary.json` of the run, where it has one.
    pub evaluation: Option<PathBuf>,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            license: OTHER.to_owned(),
            license_text: None,
            description: String::new(),
            datasets: Vec::new(),
            not_for: String::new(),
            authors: Vec::new(),
            works: Vec::new(),
            citation: None,
            base_model: None,
            evaluation: None,
        }
    }
}

/// A model folder that has been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// Where it is.
    pub folder: PathBuf,
    /// Its files, sorted, `SHA256SUMS` left out.
    pub files: Vec<String>,
    /// The size of all of them, bytes.
    pub bytes: u64,
}

/// Makes a model folder of a finished run, or of another folder that holds a network; of one that holds the folds of a
/// cross-validation, a model of several networks, which are averaged.
///
/// The folder appears whole or not at all: it is written under another name beside `output`,
/// verified, and renamed. Packing the same run twice makes byte-identical folders. Pictures of cases
/// stay in the run: they show patients.
///
/// What the network computes for a small input, `golden.safetensors`, is computed on the CPU wherever
/// it was trained, so that every machine can verify it; [`verify`](crate::verify) compares any
/// device with it.
///
/// # Errors
///
/// [`Error::Occupied`], where `output` is there and not empty; [`Error::Option`], where a name or
/// license cannot go into a card; [`Error::NotAModel`], where the run has no weights yet;
/// [`Error::Unverified`], where what was written does not verify; [`Error::File`], where scores or
/// a temperature are not those of these weights, such as after a run was prolonged and cut off; else
/// where a file of the run is missing or damaged, or one cannot be written.
pub fn pack(run_folder: &Path, output: &Path, options: &PackOptions) -> Result<Packed> {
    License::find(&options.license)?;
    check_name(&options.name)?;
    check_vacant(output)?;
    let folds = folds(run_folder)?;
    if folds.is_empty() && !run_folder.join("model.safetensors").exists() {
        return Err(Error::NotAModel {
            path: run_folder.to_owned(),
            reason: "it has no model.safetensors; give the folder of a finished run".to_owned(),
        });
    }
    let workshop = Workshop::beside(output)?;
    if folds.is_empty() {
        pack_one(run_folder, &workshop.0, options)?;
    } else {
        pack_folds(&folds, &workshop, options)?;
    }
    // The CPU is the one device that every machine has: see decision 9.
    let verification = verify(&workshop.0, &Device::Cpu)?;
    if !verification.ok() {
        return Err(Error::Unverified { findings: verification.findings().join("; ") });
    }
    let files: Vec<String> = verification.files.into_iter().map(|file| file.name).collect();
    let mut bytes = 0;
    for name in &files {
        let path = workshop.0.join(name);
        bytes += fs::metadata(&path).map_err(Error::io(&path))?.len();
    }
    workshop.rename(output)?;
    Ok(Packed { folder: output.to_owned(), files, bytes })
}

/// Writes all files of one network into a folder.
pub(crate) fn pack_one(run: &Path, folder: &Path, options: &PackOptions) -> Result<()> {
    let license = License::find(&options.license)?;
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let mut trained = Trained::load(run)?;
    trained.config = trained.config.described(&trained.plan);
    let run = RunFolder::at(run);
    let findings = Findings::of(&run, &trained, options.evaluation.as_deref())?;
    trained.save(folder)?;
    golden::write(&golden::path(folder), &trained)?;
    copy(&run.settings(), &folder.join("run.toml"))?;
    copy(&run.root().join(Postprocess::FILE), &folder.join(Postprocess::FILE))?;
    // What makes embeddings of prompts, where the network takes any.
    let from = run.root().join(TextRecord::FOLDER);
    if trained.config.text.is_some() && from.is_dir() {
        let to = folder.join(TextRecord::FOLDER);
        fs::create_dir(&to).map_err(Error::io(&to))?;
        for name in TextRecord::FILES {
            copy(&from.join(name), &to.join(name))?;
        }
    }
    if let Some(split) = run.read_split()? {
        write_json(&folder.join("split.json"), &split)?;
    }
    if let Some(fit) = &findings.fit {
        write_json(&folder.join("calibration.json"), fit)?;
    }
    if let Some(evaluation) = &findings.evaluation {
        let path = folder.join("eval");
        fs::create_dir(&path).map_err(Error::io(&path))?;
        write_json(&path.join("summary.json"), evaluation)?;
        if let Some(raw) = &findings.raw {
            write_json(&path.join("raw.json"), raw)?;
        }
    }
    write_rights(folder, options, license)?;
    let card = Card {
        options,
        license,
        trained: &trained,
        parameters: header::parameters(&folder.join("model.safetensors"))?,
        evaluation: findings.evaluation.as_ref(),
        calibrated: findings.fit.is_some(),
        folds: None,
    };
    write_atomic(&folder.join("README.md"), card.text().as_bytes())?;
    let hashes = manifest::hash_all(folder)?;
    Ok(write_atomic(&folder.join(manifest::NAME), manifest::write(&hashes).as_bytes())?)
}

/// Writes whose it is: the license, how to cite it, and the data sets with their licenses.
pub(crate) fn write_rights(folder: &Path, options: &PackOptions, license: License) -> Result<()> {
    given(options.license_text.as_deref(), &folder.join("LICENSE"), || {
        license.text(&options.name)
    })?;
    given(options.citation.as_deref(), &folder.join(citation::NAME), || {
        citation::text(options, license)
    })?;
    data_sets::write(folder, options, license)
}

/// Copies the file that was given, or writes the text that stands for it.
fn given(file: Option<&Path>, to: &Path, text: impl FnOnce() -> String) -> Result<()> {
    match file {
        Some(file) if !copy(file, to)? => {
            let source = std::io::ErrorKind::NotFound.into();
            Err(Error::Io { path: file.to_owned(), source })
        }
        Some(_) => Ok(()),
        None => Ok(write_atomic(to, text().as_bytes())?),
    }
}

/// Copies a file, durably; says whether there is one.
fn copy(from: &Path, to: &Path) -> Result<bool> {
    if !from.exists() {
        return Ok(false);
    }
    write_atomic(to, &fs::read(from).map_err(Error::io(from))?)?;
    Ok(true)
}

fn check_name(name: &str) -> Result<()> {
    let reason = if name.trim().is_empty() {
        "it is empty; give the model a name"
    } else if name.chars().any(char::is_control) {
        "it has more than one line or control characters"
    } else if name.chars().count() > 96 {
        "it has more than 96 characters"
    } else {
        return Ok(());
    };
    let value = name.to_owned();
    Err(Error::Option { what: "the name", value, reason: reason.to_owned() })
}

/// Refuses to write over anything.
pub(crate) fn check_vacant(output: &Path) -> Result<()> {
    let taken = match fs::read_dir(output) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => output.exists(),
    };
    if taken { Err(Error::Occupied { path: output.to_owned() }) } else { Ok(()) }
}

/// A folder beside the one that is to be made, gone unless it was renamed.
#[derive(Debug)]
pub(crate) struct Workshop(pub(crate) PathBuf);

impl Workshop {
    pub(crate) fn beside(output: &Path) -> Result<Self> {
        let wrong = || Error::Option {
            what: "the output folder",
            value: output.display().to_string(),
            reason: "it has no name; give the folder that is to be made".to_owned(),
        };
        let name = output.file_name().ok_or_else(wrong)?.to_string_lossy();
        let path = output.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        // Left by a process of the same number that was killed.
        if path.exists() {
            fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
        fs::create_dir_all(&path).map_err(Error::io(&path))?;
        Ok(Self(path))
    }

    /// Makes it the model folder, durably.
    pub(crate) fn rename(&self, output: &Path) -> Result<()> {
        // Not every system renames a folder onto an empty one.
        if output.exists() {
            fs::remove_dir(output).map_err(Error::io(output))?;
        }
        sync(&self.0.join("eval"));
        sync(&self.0.join(TextRecord::FOLDER));
        sync(&self.0);
        fs::rename(&self.0, output).map_err(Error::io(output))?;
        if let Some(parent) = output.parent() {
            sync(parent);
        }
        Ok(())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // Nothing more can be done about a temporary folder that will not go; after a rename there
        // is none.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes the entries of a folder durable, where the file system can.
fn sync(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        _ = folder.sync_all();
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, files) = (self.folder.display(), self.files.len());
        write!(f, "packed {folder}: {files} files, {}", crate::show::size(self.bytes))
    }
}
