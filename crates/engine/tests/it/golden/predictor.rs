use anyhow::{Context, ensure};
use engine::{PredictConfig, Prediction, Predictor, Trained};
use golden::{Case, Tolerance, close, number};
use ndarray::Array4;
use volume::Image;

use super::model_folder;
use crate::fixture::device;

/// Predicts with the trained networks of a case, from files to labels.
pub(super) fn run(case: &Case) -> anyhow::Result<()> {
    let files = case.inputs["files"].as_array().context("no files")?;
    let channels: Vec<Image> = files
        .iter()
        .map(|name| {
            let name = name.as_str().context("not the name of a file")?;
            Ok(data::read_image(case.file("nnunet", name))?)
        })
        .collect::<anyhow::Result<_>>()?;
    let image = Image::stack(&channels)?;
    let predictor = predictor(case)?;

    let prepared = predictor.plan().prepare(&image, None)?;
    let expected = case.input("preprocessed")?;
    ensure!(prepared.image.shape() == expected.shape, "prepared: {:?}", prepared.image.shape());
    let tolerance = case.tolerance("preprocessed", Tolerance::new(0.0, 1e-3));
    close(&wide(&prepared.image), &expected.values, tolerance).context("preprocessed")?;

    compare(case, &predictor.predict(&image)?)
}

fn predictor(case: &Case) -> anyhow::Result<Predictor> {
    let text = |name: &str| case.params[name].as_str().context(name.to_owned());
    let flag = |name: &str| case.params[name].as_bool().context(name.to_owned());
    let folder = case.file("nnunet", text("model_folder")?);
    // Named by its plans, such as nnUNetPlans_3d_fullres.
    let configuration = text("configuration")?;
    let configuration = configuration.split_once('_').map_or(configuration, |(_, name)| name);
    let axes: Vec<usize> = serde_json::from_value(case.expected["allowed_mirroring_axes"].clone())?;
    let folds: Vec<u64> = serde_json::from_value(case.params["folds"].clone())?;
    let folds: Vec<Trained> = folds
        .into_iter()
        .map(|fold| model_folder::read(&folder, configuration, fold, &axes))
        .collect::<anyhow::Result<_>>()?;
    let settings = PredictConfig {
        step_size: case.param("tile_step_size")?,
        gaussian: flag("use_gaussian")?,
        mirror: flag("use_mirroring")?,
        ..PredictConfig::default()
    };
    Ok(Predictor::ensemble(&folds, settings, &device())?)
}

fn compare(case: &Case, prediction: &Prediction) -> anyhow::Result<()> {
    if case.outputs.contains_key("logits_preprocessed_space") {
        let logits = prediction.logits();
        let tolerance = Tolerance::new(1e-4, 1e-3);
        case.expect("logits_preprocessed_space", logits.shape(), &wide(logits), tolerance)?;
    }
    let probabilities = prediction.probability_image()?.data;
    let tolerance = Tolerance::new(0.0, 2e-4);
    case.expect("probabilities_f32", probabilities.shape(), &wide(&probabilities), tolerance)?;

    let labels = prediction.labels()?.data;
    let expected = case.output("segmentation_f32")?;
    ensure!(labels.shape() == expected.shape, "labels of size {:?}", labels.shape());
    let different =
        labels.iter().zip(expected.to_u32()?).filter(|&(&a, e)| u32::from(a) != e).count();
    let allowed = number(&case.tolerance["segmentation_f32"]["max_mismatch_fraction"])?;
    ensure!(different as f64 <= allowed * labels.len() as f64, "{different} labels differ");
    Ok(())
}

fn wide(array: &Array4<f32>) -> Vec<f64> {
    array.iter().map(|&value| f64::from(value)).collect()
}
