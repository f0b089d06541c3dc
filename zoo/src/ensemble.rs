//! Several networks of one kind as one model: the folds of a cross-validation, which are averaged in prediction.
//!
//! Each fold is a model folder of its own, `fold_0`, `fold_1` and so on; the folder around them has a card, a license and the
//! hashes of all their files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use engine::Trained;
use engine::evaluate::{Evaluation, decimals};
use engine::file::{read_versioned, write_atomic};

use crate::card::{Card, MEAN};
use crate::license::License;
use crate::load::folds;
use crate::pack::{Workshop, pack_one, write_rights};
use crate::{Error, PackOptions, Result, header, manifest};

/// Packs each fold, and what is said of all of them.
pub(crate) fn pack_folds(
    found: &[PathBuf],
    workshop: &Workshop,
    options: &PackOptions,
) -> Result<()> {
    if options.evaluation.is_some() {
        return Err(Error::Option {
            what: "the evaluation",
            value: "of one network".to_owned(),
            reason: "each fold has its own; leave it out".to_owned(),
        });
    }
    for fold in found {
        let name = fold.file_name().unwrap_or_default().to_string_lossy();
        let one = PackOptions { name: format!("{}, {name}", options.name), ..options.clone() };
        pack_one(fold, &workshop.0.join(&*name), &one)?;
    }
    describe(&workshop.0, options)
}

/// Writes the card, the license and the hashes of a folder that has folds.
pub(crate) fn describe(folder: &Path, options: &PackOptions) -> Result<()> {
    let license = License::find(&options.license)?;
    write_rights(folder, options, license)?;
    let folds = folds(folder)?;
    let mut parameters = 0;
    for fold in &folds {
        parameters += header::parameters(&fold.join("model.safetensors"))?;
    }
    let first = folds.first().ok_or_else(|| Error::NotAModel {
        path: folder.to_owned(),
        reason: "it has neither a network nor folds".to_owned(),
    })?;
    let trained = Trained::load(first)?;
    let calibrated = folds.iter().all(|fold| fold.join("calibration.json").exists());
    let scores = scores(&folds)?;
    let card = Card {
        options,
        license,
        trained: &trained,
        parameters,
        evaluation: None,
        calibrated,
        folds: Some(&scores),
    };
    write_atomic(&folder.join("README.md"), card.text().as_bytes())?;
    let hashes = manifest::hash_all(folder)?;
    Ok(write_atomic(&folder.join(manifest::NAME), manifest::write(&hashes).as_bytes())?)
}

/// The table of the folds, for the card.
fn scores(folds: &[PathBuf]) -> Result<String> {
    let mut text = "The mean of these networks is what predicts; each was scored on the cases that it had not seen.\n\n\
                    | fold | cases | Dice, mean of classes |\n|---|--:|--:|\n"
        .to_owned();
    for fold in folds {
        let path = fold.join("eval").join("summary.json");
        let found: Option<Evaluation> =
            if path.exists() { Some(read_versioned(&path)?) } else { None };
        let cases =
            found.as_ref().map_or_else(|| "–".to_owned(), |found| found.cases.len().to_string());
        let dice = found.as_ref().and_then(|found| found.masks.get(MEAN)?.get("dice")?.mean);
        let name = fold.file_name().unwrap_or_default().to_string_lossy();
        _ = writeln!(text, "| `{name}` | {cases} | {} |", decimals(dice, 4));
    }
    Ok(text)
}
