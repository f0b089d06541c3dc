//! Networks of other programs, made model folders.

mod nnunet;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use engine::Trained;
use serde::Serialize;

use crate::load::PREVIOUS;
use crate::pack::{Workshop, check_vacant};
use crate::{PackOptions, Result, pack};

pub use self::nnunet::{NnunetModel, NnunetOptions, read_nnunet};

/// What has been imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The model folder.
    pub folder: PathBuf,
    /// What it was, such as `nnUNetTrainer__nnUNetPlans__3d_fullres`.
    pub origin: String,
    /// The folds, by the names of their folders; empty where there is one network, in the folder itself.
    pub folds: Vec<String>,
    /// How many numbers each network has learnt.
    pub parameters: usize,
    /// Of a cascade, what speaks first, in the folder `previous`.
    pub previous: Option<String>,
}

/// Makes a model folder of a network that nnU-Net v2 has trained.
///
/// `source` is a folder `TRAINER__PLANS__CONFIGURATION`, one that holds such folders, or a ZIP archive of one, as
/// `nnUNetv2_export_model_to_zip` writes it. One fold becomes a model folder; several become a folder with a model folder
/// for each, which are averaged in prediction; a cascade becomes a folder of folds with the stage before in its folder `previous`.
/// Nothing in the checkpoints is run: see the crate `pytorch`.
///
/// The folder appears whole or not at all.
///
/// # Errors
///
/// As [`read_nnunet`] and [`pack`](fn@pack).
pub fn import_nnunet(
    source: &Path,
    output: &Path,
    options: &NnunetOptions,
    card: &PackOptions,
) -> Result<Imported> {
    check_vacant(output)?;
    let found = read_nnunet(source, options)?;
    let card = PackOptions {
        description: if card.description.is_empty() {
            found.description()
        } else {
            card.description.clone()
        },
        ..card.clone()
    };
    let workshop = Workshop::beside(output)?;
    let made = workshop.0.join("made");
    let parameters = found.networks.first().map_or(0, |(_, network)| elements(network));
    let several = found.networks.len() > 1 || found.previous.is_some();
    write_all(&found, &workshop.0, &made, several, &card)?;
    let mut stage = &found;
    let mut place = made.clone();
    while let Some(previous) = &stage.previous {
        place = place.join(PREVIOUS);
        let card = PackOptions { name: format!("{}, before", card.name), ..card.clone() };
        let several = previous.networks.len() > 1 || previous.previous.is_some();
        write_all(previous, &workshop.0, &place, several, &card)?;
        stage = previous;
    }
    let previous = found.previous.as_ref().map(|previous| previous.origin.clone());
    Workshop(made).rename(output)?;
    let names = found.networks.into_iter().map(|(name, _)| name);
    let folds = if several { names.collect() } else { Vec::new() };
    Ok(Imported { folder: output.to_owned(), origin: found.origin, folds, parameters, previous })
}

/// Writes the networks of a folder: one by itself, several each in a folder of its own.
fn write_all(
    found: &NnunetModel,
    workshop: &Path,
    made: &Path,
    several: bool,
    card: &PackOptions,
) -> Result<()> {
    for (name, trained) in &found.networks {
        let staged = workshop.join("staged");
        std::fs::create_dir_all(&staged).map_err(crate::Error::io(&staged))?;
        trained.save(&staged)?;
        let place = if several { made.join(name) } else { made.to_owned() };
        let card = PackOptions {
            name: if several { format!("{}, {name}", card.name) } else { card.name.clone() },
            ..card.clone()
        };
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(crate::Error::io(parent))?;
        }
        pack(&staged, &place, &card)?;
    }
    Ok(())
}

fn elements(trained: &Trained) -> usize {
    trained.parameters.values().map(candle::Tensor::elem_count).sum()
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, origin, folds, parameters, previous } = self;
        write!(f, "imported {origin} into {}: {parameters} parameters", folder.display())?;
        if !folds.is_empty() {
            write!(f, ", {} networks that are averaged: {}", folds.len(), folds.join(", "))?;
        }
        if let Some(previous) = previous {
            write!(f, "; they see what {previous} says before them")?;
        }
        Ok(())
    }
}
