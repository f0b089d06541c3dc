//! `sconce zoo`: model folders.

mod hub;
mod import;
mod pack;
mod rebuild;
mod schema;
mod sign;

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use sconce::engine::DeviceChoice;
use sconce::zoo::{self, SignatureCheck, Summary, Verification};
use serde::Serialize;

pub(crate) use self::import::Import;
use crate::output::Output;
use crate::resolve::resolve;

/// Make, check, sign, compare and publish model folders, and get those of others
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the models below a folder
    List {
        /// Where to look
        #[arg(default_value = "zoo/models", value_name = "DIR")]
        root: PathBuf,
    },
    /// Make a model folder of a finished run
    Pack(pack::Pack),
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
        /// Also that it was signed with this key: the file KEY.pub, or the line RW… in it
        #[arg(long, value_name = "PUBKEY")]
        signature: Option<String>,
    },
    /// Show what a model is
    Show {
        /// A model folder, or hub:owner/name[@revision]
        model: String,
    },
    /// Show how two models differ: files, settings, scores and weights
    Diff {
        /// A run folder, a model folder, or hub:owner/name[@revision]
        one: String,
        /// Another
        other: String,
    },
    Search(hub::Search),
    Pull(hub::Pull),
    Push(hub::Push),
    Rm(hub::Rm),
    Keygen(sign::Keygen),
    Sign(sign::Sign),
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
        Command::Pack(pack) => pack.run(),
        Command::Diff { one, other } => {
            Ok(Output::of(&zoo::diff(&resolve(one)?, &resolve(other)?)?))
        }
        Command::Search(search) => search.run(),
        Command::Pull(pull) => pull.run(),
        Command::Push(push) => push.run(),
        Command::Rm(rm) => rm.run(),
        Command::Keygen(keygen) => keygen.run(),
        Command::Sign(sign) => sign.run(),
        Command::Verify { models, device, signature } => {
            let folders =
                models.iter().map(|model| resolve(model)).collect::<Result<Vec<_>, _>>()?;
            let device = super::train::open(*device)?;
            let mut rows = Vec::new();
            for folder in folders {
                let signature = signature.as_ref();
                // What is not signed is not worth a computation.
                let signature =
                    signature.map(|key| zoo::verify_signature(&folder, key)).transpose()?;
                rows.push(Row { verification: zoo::verify(&folder, &device)?, signature });
            }
            let failed = rows.iter().any(|row| !row.verification.ok());
            Ok(Output::of(&Verified(rows)).failing_if(failed))
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct List(Vec<Summary>);

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Verified(Vec<Row>);

/// A model, and its signature where that was to be checked.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    verification: Verification,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<SignatureCheck>,
}

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
        for Row { verification, signature } in &self.0 {
            writeln!(f, "{verification}")?;
            if let Some(signature) = signature {
                writeln!(f, "  {signature}")?;
            }
        }
        Ok(())
    }
}
