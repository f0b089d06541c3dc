//! `sconce zoo`: model folders.

mod import;
mod rebuild;
mod schema;

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use sconce::engine::DeviceChoice;
use sconce::zoo::{self, PackOptions, Summary, Verification};
use serde::Serialize;

pub(crate) use self::import::Import;
use crate::output::Output;
use crate::resolve::resolve;

/// List, pack, import, export, verify and show model folders
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the models below a folder
    List {
        /// Where to look
        #[arg(default_value = "zoo/models", value_name = "DIR")]
        root: PathBuf,
    },
    /// Make a model folder of a finished run
    Pack {
        /// The run folder
        run: PathBuf,
        /// The model folder to make
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
        /// The model's name; default: the folder's
        #[arg(long)]
        name: Option<String>,
        /// The licence of the weights, which follows the data's, such as cc-by-4.0
        #[arg(long, default_value = "other")]
        license: String,
        /// One paragraph on what the model is for
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        more: More,
    },
    /// Train a model that comes with sconce anew, by its recipe, and pack it
    Rebuild(rebuild::Args),
    /// Make a model folder of a network that another program has trained
    #[command(subcommand)]
    Import(Import),
    /// Write a model as another program reads it
    #[command(subcommand)]
    Export(Export),
    /// Print the JSON Schema of a kind of file, or which there are
    Schema(schema::Args),
    /// Check a model's files, and that it computes here what it computed where it was made
    Verify {
        /// Model folders, or hub:owner/name[@revision]
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<String>,
        /// auto, cpu, cuda, cuda:N or metal
        #[arg(long, default_value_t, value_name = "DEVICE")]
        device: DeviceChoice,
    },
    /// Show what a model is
    Show {
        /// A model folder, or hub:owner/name[@revision]
        model: String,
    },
}

/// What a card and its `CITATION.cff` say beyond the run.
#[derive(Debug, clap::Args)]
pub(crate) struct More {
    /// What the model is not for, beyond what every card says
    #[arg(long, default_value = "")]
    not_for: String,
    /// A data set of the hub that it was trained on, such as owner/name; several times for several
    #[arg(long = "dataset", value_name = "NAME")]
    datasets: Vec<String>,
    /// Whose the model is, for its CITATION.cff: "Family, Given", or a group; several times for several
    #[arg(long = "author", value_name = "NAME")]
    authors: Vec<String>,
    /// A CITATION.cff of your own
    #[arg(long, value_name = "FILE", conflicts_with = "authors")]
    citation: Option<PathBuf>,
    /// A file with the text of the licence
    #[arg(long, value_name = "FILE")]
    license_text: Option<PathBuf>,
    /// Of a distilled network: its teacher on the hub, owner/name
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
}

/// Write a model as another program reads it
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Export {
    /// As the folder of a trained network of nnU-Net v2, for its own predictor
    Nnunet {
        /// A run folder, a model folder, one with a folder for each fold, or hub:owner/name[@revision]
        model: String,
        /// The folder to make
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
    },
    /// As an ONNX file, for any runtime of ONNX
    Onnx {
        /// A run folder, a model folder, one with a folder for each fold, or hub:owner/name[@revision]
        model: String,
        /// The file to make; of several folds, the folder
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Output> {
    match command {
        Command::List { root } if !root.is_dir() => {
            bail!("there is no folder {}; give one with model folders in it", root.display())
        }
        Command::List { root } => Ok(Output::of(&List(zoo::list(root)?))),
        Command::Import(import) => import.run(),
        Command::Export(Export::Nnunet { model, output }) => {
            Ok(Output::of(&zoo::export_nnunet(&resolve(model)?, output)?))
        }
        Command::Export(Export::Onnx { model, output }) => {
            Ok(Output::of(&zoo::export_onnx(&resolve(model)?, output)?))
        }
        Command::Show { model } => Ok(Output::of(&zoo::show(&resolve(model)?)?)),
        Command::Rebuild(args) => args.run(),
        Command::Schema(args) => args.run(),
        Command::Pack { run, output, name, license, description, more } => {
            let title = || super::train::title(output);
            let options = PackOptions {
                name: name.clone().unwrap_or_else(title),
                license: license.clone(),
                description: description.clone(),
                not_for: more.not_for.clone(),
                datasets: more.datasets.clone(),
                authors: more.authors.clone(),
                citation: more.citation.clone(),
                license_text: more.license_text.clone(),
                base_model: more.base_model.clone(),
                ..PackOptions::default()
            };
            Ok(Output::of(&zoo::pack(run, output, &options)?))
        }
        Command::Verify { models, device } => {
            let folders =
                models.iter().map(|model| resolve(model)).collect::<Result<Vec<_>, _>>()?;
            let device = super::train::open(*device)?;
            let mut rows = Vec::new();
            for folder in folders {
                rows.push(zoo::verify(&folder, &device)?);
            }
            let failed = rows.iter().any(|row| !row.ok());
            Ok(Output::of(&Verified(rows)).failing_if(failed))
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct List(Vec<Summary>);

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Verified(Vec<Verification>);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "no models here");
        }
        for summary in &self.0 {
            writeln!(f, "{}", summary.one_line())?;
        }
        Ok(())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            writeln!(f, "{row}")?;
        }
        Ok(())
    }
}
