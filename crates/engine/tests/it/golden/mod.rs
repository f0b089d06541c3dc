//! nnU-Net's own sliding window, predictions, scores and model folders.

mod folders;
mod half;
mod model_folder;
mod predictor;

use anyhow::{Context, ensure};
use engine::predict::tiles;
use golden::{Case, Exempt, Group, Tolerance, close, number};
use metrics::{MaskPair, Region};
use ndarray::Array3;
use volume::{Grid, LabelMap};

/// What this crate does not support; nothing.
const EXEMPT: &[Exempt] = &[];

#[test]
fn golden_nnunet() {
    // Preprocessing is checked where it is done.
    let mine = |case: &Case| case.function != "DefaultPreprocessor.run_case";
    Group::load("nnunet").check(mine, EXEMPT, |case| match case.function.as_str() {
        "compute_steps_for_sliding_window" => steps(case),
        "compute_gaussian" => gaussian(case),
        "compute_metrics" => scores(case),
        "nnUNetPredictor" => predictor::run(case),
        other => anyhow::bail!("{other} is not supported"),
    });
}

fn steps(case: &Case) -> anyhow::Result<()> {
    let (image, tile) = (case.param_list("image_size")?, case.param_list("tile_size")?);
    let step = case.param("tile_step_size")?;
    let expected: Vec<Vec<usize>> = serde_json::from_value(case.expected.clone())?;

    let actual: Vec<Vec<usize>> = image
        .iter()
        .zip(&tile)
        .map(|(&image, &tile)| tiles::positions(image, tile, step))
        .collect();

    ensure!(actual == expected, "{actual:?}, but the reference is {expected:?}");
    Ok(())
}

fn gaussian(case: &Case) -> anyhow::Result<()> {
    let size = case.param_list("tile_size")?;
    let mut tile = [1; 3];
    tile[3 - size.len()..].copy_from_slice(&size);

    let map =
        tiles::gaussian(tile, case.param("sigma_scale")?, case.param("value_scaling_factor")?);

    let actual: Vec<f64> = map.iter().map(|&value| f64::from(value)).collect();
    case.expect("f32", &size, &actual, Tolerance::new(1e-5, 0.0))
}

fn scores(case: &Case) -> anyhow::Result<()> {
    let read = |role: &str| -> anyhow::Result<LabelMap> {
        let tensor = case.input(role)?;
        let mut size = [1; 3];
        let rank = tensor.shape.len().min(3);
        size[3 - rank..].copy_from_slice(&tensor.shape[tensor.shape.len() - rank..]);
        let labels =
            tensor.to_u32()?.into_iter().map(u16::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(LabelMap::new(Grid::new(size, [1.0; 3])?, Array3::from_shape_vec(size, labels)?)?)
    };
    let (reference, prediction) = (read("reference")?, read("prediction")?);
    let ignore = case.params["ignore_label"].as_u64().map(u16::try_from).transpose()?;
    for (key, expected) in case.expected.as_object().context("expected")? {
        let labels: Vec<u16> = key.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let region = Region::union(&labels).ignoring(ignore);
        let pair = MaskPair::of_region(&reference, &prediction, &region)?;
        let counts = pair.counts();
        let dice = ratio(2 * counts.true_positives, counts.reference() + counts.prediction());
        let union = counts.true_positives + counts.false_positives + counts.false_negatives;
        let actual = [
            ("TP", counts.true_positives as f64),
            ("FP", counts.false_positives as f64),
            ("FN", counts.false_negatives as f64),
            ("TN", counts.true_negatives as f64),
            ("n_pred", counts.prediction() as f64),
            ("n_ref", counts.reference() as f64),
            ("Dice", dice),
            ("IoU", ratio(counts.true_positives, union)),
        ];
        for (name, actual) in actual {
            let expected = number(&expected[name])?;
            close(&[actual], &[expected], Tolerance::new(1e-12, 0.0))
                .context(format!("{key} {name}"))?;
        }
    }
    Ok(())
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { f64::NAN } else { part as f64 / whole as f64 }
}
