//! Model folders: a trained network, its card, and the means to check both.
//!
//! ```text
//! kidney-3d/
//! ├── README.md             the card: what it is for, how well it does, its license
//! ├── model.safetensors     the weights
//! ├── config.json           the network, its channels and classes
//! ├── plan.json             how images are made ready for it
//! ├── run.toml              the settings that it was trained with, where they are known
//! ├── split.json            which cases it was trained on, where that is known
//! ├── postprocess.json      what is done to labels afterwards, where a rule was found
//! ├── calibration.json      how its temperature was found, where one was fitted
//! ├── eval/summary.json     the evaluation behind the card, where there is one
//! ├── eval/raw.json         the same before a temperature was fitted, where it is known
//! ├── golden.safetensors    a small input, and the logits that it gave where it was packed
//! ├── datasets.json         the data sets that it was trained on, and their licenses, where they were named
//! ├── LICENSE
//! ├── CITATION.cff         how to cite it and what it was made of
//! ├── SHA256SUMS            the hash of every other file; `sha256sum -c` reads it
//! └── SHA256SUMS.minisig    a signature of that, where it was signed
//! ```
//!
//! A model of several networks, which are averaged, has such a folder for each, `fold_0`, `fold_1` and so on, and a card, a license and the
//! hashes of all files around them.
//!
//! Neither time, host nor path goes in: packing a run twice gives byte-identical folders. A model
//! folder is also a repository of the Hugging Face hub, as it is.
//!
//! | to do | use |
//! |---|---|
//! | make a model folder of a finished run | [`pack`], [`PackOptions`], [`DataSet`], [`Work`], [`Packed`] |
//! | check a model folder | [`verify`], [`Verification`], [`FileCheck`], [`FileState`], [`GoldenCheck`] |
//! | read the network, several that are averaged, those before them in a cascade | [`load`], [`load_all`], [`load_previous`], [`first`], [`members`] |
//! | take over what nnU-Net has trained | [`import_nnunet`], [`read_nnunet`], [`NnunetOptions`], giving [`Imported`], [`NnunetModel`] |
//! | take over a bundle of MONAI | [`import_monai`], [`read_monai`], [`MonaiOptions`], giving [`Imported`], [`ImportedModel`] |
//! | take over a network of segmentation-models-pytorch | [`import_smp`], [`read_smp`], [`SmpOptions`], [`SmpNormalization`] |
//! | have nnU-Net predict with a model | [`export_nnunet`], giving [`Exported`] |
//! | have any other program compute one, as an ONNX file | [`export_onnx`], giving [`ExportedOnnx`] |
//! | say who made it, and see who did | [`generate_keys`], [`sign`](fn@sign), [`verify_signature`], giving [`Keys`], [`Signed`], [`SignatureCheck`] |
//! | see whether it may be used for money | [`license_warning`] |
//! | see how two models differ | [`diff`](fn@diff), giving [`Difference`] |
//! | say what a model is | [`show`], [`list`], [`Summary`], [`Content`], [`Details`], [`Headline`] |
//! | find a model by name | [`resolve`], [`Reference`], [`HubReference`] |
//! | get a model from the hub, find one, publish one | `hub::fetch`, `hub::search`, `hub::push` and more, with the feature `hub` |
//! | a run file that comes with the program | [`recipe`], [`RECIPES`], [`Recipe`] |
//! | what a model of `zoo/models` is made of | [`shipped()`], [`SHIPPED`], [`Shipped`] |
//!
//! Only this crate opens sockets, and only with the feature `hub`. It trains and predicts nothing.

mod card;
mod citation;
mod data_sets;
mod diff;
mod ensemble;
mod error;
mod export;
mod findings;
mod golden;
mod header;
#[cfg(feature = "hub")]
pub mod hub;
mod import;
mod license;
mod list;
mod load;
mod manifest;
mod pack;
mod recipes;
mod reference;
mod scores;
mod shipped;
mod show;
mod sign;
mod verify;

pub use crate::citation::Work;
pub use crate::data_sets::{DataSet, license_warning};
pub use crate::diff::{
    Difference, FileDifference, ScoreDifference, SettingDifference, WeightsDifference, diff,
};
pub use crate::error::{Error, Result};
pub use crate::export::{Exported, ExportedOnnx, export_nnunet, export_onnx};
pub use crate::golden::GoldenCheck;
pub use crate::import::{
    Imported, ImportedModel, MonaiOptions, NnunetModel, NnunetOptions, SmpNormalization,
    SmpOptions, import_monai, import_nnunet, import_smp, read_monai, read_nnunet, read_smp,
};
pub use crate::list::list;
pub use crate::load::{first, load, load_all, load_previous, members};
pub use crate::pack::{PackOptions, Packed, pack};
pub use crate::recipes::{RECIPES, Recipe, recipe};
pub use crate::reference::{HubReference, Reference, resolve};
pub use crate::shipped::{SHIPPED, Shipped, shipped};
pub use crate::show::{Content, Details, Headline, Summary, show};
pub use crate::sign::{Keys, SignatureCheck, Signed, generate_keys, sign, verify_signature};
pub use crate::verify::{FileCheck, FileState, Verification, verify};
