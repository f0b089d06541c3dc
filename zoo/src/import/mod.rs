//! Networks of other programs, made model folders.

mod monai;
mod nnunet;
mod smp;
mod source;
mod weights;

use std::fmt;
use std::path::{Path, PathBuf};

use engine::Trained;
use serde::Serialize;

use crate::ensemble::describe;
use crate::load::PREVIOUS;
use crate::pack::{Workshop, check_vacant};
use crate::{PackOptions, Result, pack};

pub use self::monai::{MonaiOptions, read_monai};
pub use self::nnunet::{NnunetModel, NnunetOptions, read_nnunet};
pub use self::smp::{SmpNormalization, SmpOptions, read_smp};

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
    /// What whoever predicts with it should know, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a model of another program holds.
#[derive(Clone, Debug)]
pub struct ImportedModel {
    /// What has trained it.
    pub(crate) program: &'static str,
    /// What it is called there.
    pub origin: String,
    /// By the name of the fold; one without a name where there is but one.
    pub networks: Vec<(String, Trained)>,
    /// What whoever predicts with it should know, a sentence each.
    pub notes: Vec<String>,
    /// Of a cascade, the networks that speak first.
    pub(crate) previous: Option<Box<ImportedModel>>,
}

impl ImportedModel {
    /// Whether it takes folders within its own.
    fn is_several(&self) -> bool {
        self.networks.len() > 1 || self.previous.is_some()
    }

    /// One paragraph for a model card.
    fn description(&self) -> String {
        format!("Imported from {}: {}.", self.program, self.origin)
    }
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
    let card = described(card, found.description());
    packed(found.into(), output, &card)
}

/// Makes a model folder of a bundle of MONAI.
///
/// `source` is a bundle, or a ZIP archive of one: `configs/inference.json` or `.yaml`, `configs/metadata.json`, and a state
/// dict, `models/model.pt` or `.safetensors`. Known are the networks UNet, BasicUNet, DynUNet and SegResNet, the
/// `SlidingWindowInferer`, and the usual transforms; what is not known is refused by name, and no expression is evaluated.
///
/// The folder appears whole or not at all.
///
/// # Errors
///
/// As [`read_monai`] and [`pack`](fn@pack).
pub fn import_monai(
    source: &Path,
    output: &Path,
    options: &MonaiOptions,
    card: &PackOptions,
) -> Result<Imported> {
    check_vacant(output)?;
    let found = read_monai(source, options)?;
    let card = described(card, found.description());
    packed(found, output, &card)
}

/// Makes a model folder of a network of segmentation-models-pytorch.
///
/// `source` is a folder that `save_pretrained` wrote, or a file with a state dict, of safetensors or of `torch.save`. Known
/// are `Unet`, `FPN` and `DeepLabV3Plus` with a ResNet of 18, 34 or 50 layers as encoder, for pictures.
///
/// The folder appears whole or not at all.
///
/// # Errors
///
/// As [`read_smp`] and [`pack`](fn@pack).
pub fn import_smp(
    source: &Path,
    output: &Path,
    options: &SmpOptions,
    card: &PackOptions,
) -> Result<Imported> {
    check_vacant(output)?;
    let found = read_smp(source, options)?;
    let card = described(card, found.description());
    packed(found, output, &card)
}

/// The card, with this paragraph where it has none.
fn described(card: &PackOptions, text: String) -> PackOptions {
    let description = if card.description.is_empty() { text } else { card.description.clone() };
    PackOptions { description, ..card.clone() }
}

fn packed(found: ImportedModel, output: &Path, card: &PackOptions) -> Result<Imported> {
    let workshop = Workshop::beside(output)?;
    let made = workshop.0.join("made");
    let parameters = found.networks.first().map_or(0, |(_, network)| elements(network));
    write_all(&found, &workshop.0, &made, card)?;
    let previous = found.previous.as_ref().map(|previous| previous.origin.clone());
    Workshop(made).rename(output)?;
    let several = found.is_several();
    let ImportedModel { origin, networks, notes, .. } = found;
    let names = networks.into_iter().map(|(name, _)| name);
    let folds = if several { names.collect() } else { Vec::new() };
    Ok(Imported { folder: output.to_owned(), origin, folds, parameters, previous, notes })
}

impl From<NnunetModel> for ImportedModel {
    fn from(found: NnunetModel) -> Self {
        let NnunetModel { origin, networks, previous } = found;
        let previous = previous.map(|previous| Box::new(Self::from(*previous)));
        Self { program: "nnU-Net", origin, networks, notes: Vec::new(), previous }
    }
}

/// Writes the networks of a folder, one by itself, several each in a folder of its own; those that speak before them; and what is to be
/// said of all together.
fn write_all(
    found: &ImportedModel,
    workshop: &Path,
    made: &Path,
    card: &PackOptions,
) -> Result<()> {
    let several = found.is_several();
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
    if let Some(previous) = &found.previous {
        let card = PackOptions { name: format!("{}, before", card.name), ..card.clone() };
        write_all(previous, workshop, &made.join(PREVIOUS), &card)?;
    }
    if several { describe(made, card) } else { Ok(()) }
}

fn elements(trained: &Trained) -> usize {
    trained.parameters.values().map(candle::Tensor::elem_count).sum()
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, origin, folds, parameters, previous, notes } = self;
        write!(f, "imported {origin} into {}: {parameters} parameters", folder.display())?;
        if !folds.is_empty() {
            write!(f, ", {} networks that are averaged: {}", folds.len(), folds.join(", "))?;
        }
        if let Some(previous) = previous {
            write!(f, "; they see what {previous} says before them")?;
        }
        for note in notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}
