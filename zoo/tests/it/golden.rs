use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use candle::{Device, Tensor};
use engine::{PredictConfig, Predictor};
use golden::{Case, Exempt, Group};
use preprocess::Plan;
use pytorch::Checkpoint;
use sconce_zoo::{self as zoo, NnunetOptions, PackOptions};
use volume::Image;

use crate::fixture;

const EXEMPT: &[Exempt] = &[];

fn is_model_folder(case: &Case) -> bool {
    case.params["model_folder"].is_string()
}

/// One for each folder: what its networks predict, stage by stage.
fn is_stages(case: &Case) -> bool {
    case.function == "stages"
}

/// Every model folder of the reference data is imported, and predicts what nnU-Net did; one of our own verifies. What
/// each stage of a prediction comes to is checked in `engine`, which needs no import for it.
#[test]
fn golden_model_folders() -> anyhow::Result<()> {
    let group = Group::load("nnunet");
    // The compact copy has none.
    if group.cases().iter().any(is_model_folder) {
        group.check(is_model_folder, EXEMPT, |case| {
            let name = case.params["model_folder"].as_str().unwrap_or_default();
            let place = tempfile::tempdir()?;
            imported(&case.file("nnunet", name), place.path())?;
            Ok(())
        });
    }
    Group::load_folders("nnunet_models").check(is_stages, EXEMPT, |case| {
        let place = tempfile::tempdir()?;
        let source = case.file("", "model");
        let model = imported(&source, place.path())?;
        predicts_the_same(case, &model)?;
        // And back: the same names, the same values.
        let exported = place.path().join("exported");
        zoo::export_nnunet(&model, &exported)?;
        same_checkpoints(&source, &exported)?;
        let again = zoo::read_nnunet(&exported, &NnunetOptions::default())?;
        let once = zoo::load_all(&model)?;
        for ((_, again), once) in again.networks.iter().zip(&once) {
            ensure!(
                again.plan == Plan { median_size: again.plan.median_size, ..once.plan.clone() }
            );
            ensure!(again.weights_hash()? == once.weights_hash()?, "other weights");
        }
        Ok(())
    });
    let folder = tempfile::tempdir()?;
    let verification = zoo::verify(&fixture::packed(folder.path(), 1, "model")?, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    Ok(())
}

fn imported(source: &Path, place: &Path) -> anyhow::Result<PathBuf> {
    let model = place.join("model");
    let card = PackOptions { name: "imported".to_owned(), ..PackOptions::default() };
    let made = zoo::import_nnunet(source, &model, &NnunetOptions::default(), &card)?;
    let folders = if made.folds.is_empty() { vec![String::new()] } else { made.folds };
    for fold in folders {
        let verification = zoo::verify(&model.join(fold), &Device::Cpu)?;
        ensure!(verification.ok(), "{verification}");
    }
    Ok(model)
}

/// At least 99 % of the voxels that nnU-Net wrote: it adds logits in half precision, where the edges of its Gaussian are one or
/// two units in the last place, and these patches are nearly all edge. Added like that, 99.9 % are the same: see `engine`.
fn predicts_the_same(case: &Case, model: &Path) -> anyhow::Result<()> {
    let channels = (0..)
        .map(|channel| case.file("", &format!("case_{channel:04}.nii.gz")))
        .take_while(|path| path.is_file())
        .map(|path| Ok(data::read_image(&path)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let image = Image::stack(&channels)?;
    let networks = zoo::load_all(model)?;
    for (way, mirror) in [("notta", false), ("tta", true)] {
        let settings = PredictConfig { mirror, ..PredictConfig::default() };
        let predictor = Predictor::ensemble(&networks, settings, &Device::Cpu)?;
        let labels = predictor.config().to_files(predictor.predict(&image)?.labels()?);
        let theirs = data::read_label_map(case.file("", &format!("pred_{way}.nii.gz")))?;
        let other = labels.data.iter().zip(&theirs.data).filter(|(a, b)| a != b).count();
        ensure!(labels.data.dim() == theirs.data.dim() && labels.grid.matches(&theirs.grid));
        ensure!(other * 100 <= labels.data.len(), "{other} voxels of {way} differ");
    }
    Ok(())
}

fn same_checkpoints(one: &Path, other: &Path) -> anyhow::Result<()> {
    let mut folds = 0;
    for fold in 0..5 {
        let path = |folder: &Path| folder.join(format!("fold_{fold}/checkpoint_final.pth"));
        if !path(one).is_file() {
            continue;
        }
        folds += 1;
        let (one, other) = (tensors(&path(one))?, tensors(&path(other))?);
        ensure!(one.keys().eq(other.keys()), "{:?} and {:?}", one.keys(), other.keys());
        for (name, tensor) in one {
            let values = |it: &Tensor| it.flatten_all()?.to_vec1::<f32>();
            ensure!(tensor.dims() == other[&name].dims(), "{name}");
            ensure!(values(&tensor)? == values(&other[&name])?, "{name}");
        }
    }
    ensure!(folds > 0, "no folds");
    Ok(())
}

fn tensors(path: &Path) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let mut checkpoint = Checkpoint::open(path)?;
    let weights = checkpoint.root().get("network_weights").context("no weights")?;
    let found = weights.tensors().map_err(anyhow::Error::msg)?;
    let found: Vec<_> = found.into_iter().map(|(name, it)| (name.to_owned(), it.clone())).collect();
    found.into_iter().map(|(name, info)| Ok((name, checkpoint.load(&info)?))).collect()
}
