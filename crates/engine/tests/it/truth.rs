//! Calibration against the exact probabilities of the phantom, which no rater knows.

use std::path::Path;

use data::{Dataset, Layout as _, LayoutConfig, Phantom, PhantomConfig};
use engine::calibrate::LogitScaling;
use engine::evaluate::{
    EvaluateConfig, Evaluation, Evaluator, Predicted, Reference, Scalings, on_dataset,
};
use engine::{PredictConfig, Predictor, RunConfig};
use ndarray::{Array3, Axis};
use preprocess::{Fusion, Truth, fuse, rng};
use tempfile::tempdir;
use volume::{Label, LabelMap, SoftLabelMap};

use crate::fixture::{config, device, train_into};

const CLASSES: usize = 3;

fn phantom(cases: usize) -> anyhow::Result<Phantom> {
    let config = PhantomConfig { cases, size: [8, 32, 32], seed: 5, ..PhantomConfig::default() };
    Ok(Phantom::new(config)?)
}

/// The most probable class of each voxel.
fn hardened(soft: &SoftLabelMap) -> anyhow::Result<LabelMap> {
    let labels = Array3::from_shape_fn(soft.grid.size, |(z, y, x)| {
        let p = |class: &u16| soft.data[[usize::from(*class), z, y, x]];
        (0..3).max_by(|a, b| p(a).total_cmp(&p(b)).then(b.cmp(a))).unwrap_or(0)
    });
    Ok(LabelMap::new(soft.grid.clone(), labels)?)
}

/// The scores, against the truth, of what `predict` makes of each case.
fn against_truth(
    phantom: &Phantom,
    predict: impl Fn(&str) -> anyhow::Result<SoftLabelMap>,
) -> anyhow::Result<Evaluation> {
    let values = [(1, "organ".to_owned()), (2, "lesion".to_owned())];
    let mut evaluator =
        Evaluator::of_values("prediction", "phantom", &values, &EvaluateConfig::default());
    for id in phantom.ids() {
        let predicted = predict(id)?;
        let reference = Reference::of(&Label::Soft(phantom.truth(id)?), CLASSES, None)?;
        evaluator.add(id, &hardened(&predicted)?, Predicted::Classes(&predicted), &reference)?;
    }
    Ok(evaluator.finish())
}

/// The mean opinion of a case's raters.
fn raters(phantom: &Phantom, id: &str) -> anyhow::Result<SoftLabelMap> {
    let case = phantom.read(id)?;
    let label = case.label.expect("raters mark every case");
    let Truth::Soft(mean) = fuse(&label, CLASSES, &Fusion::Mean, &mut rng(0, 0, "mean"))? else {
        anyhow::bail!("a mean is soft")
    };
    Ok(SoftLabelMap::new(case.image.grid, mean)?)
}

fn calibration_error(evaluation: &Evaluation) -> [f64; 2] {
    let pooled = evaluation.calibration.as_ref().map_or(f64::NAN, |it| it.pooled_ece);
    [pooled, evaluation.probabilities["case_ece"].mean.unwrap_or(f64::NAN)]
}

#[test]
fn the_truth_is_calibrated_and_raters_as_well_as_their_number_allows() -> anyhow::Result<()> {
    let phantom = phantom(12)?;

    let exact = against_truth(&phantom, |id| Ok(phantom.truth(id)?))?;
    let opinions = against_truth(&phantom, |id| raters(&phantom, id))?;

    for error in calibration_error(&exact) {
        assert!(error < 1e-6, "the truth is off by {error}");
    }
    // The deviation of a mean of four opinions from the probability p that it estimates is
    // √(p (1 − p) / 4); its mean over voxels, here of the class that most raters chose.
    let mut spread = 0.0;
    for id in phantom.ids() {
        let (truth, chosen) = (phantom.truth(id)?.data, hardened(&raters(&phantom, id)?)?.data);
        let deviation = chosen.indexed_iter().map(|((z, y, x), &class)| {
            let p = f64::from(truth[[usize::from(class), z, y, x]]);
            (p * (1.0 - p) / 4.0).max(0.0).sqrt()
        });
        spread += deviation.sum::<f64>() / chosen.len() as f64 / 12.0;
    }
    let [pooled, by_case] = calibration_error(&opinions);
    assert!(by_case <= spread, "raters are off by {by_case}, their spread is {spread}");
    // Four opinions are still no certainty.
    assert!(by_case > 1e-4 && pooled > 1e-3, "raters are off by {by_case} and {pooled}");
    let (truth, four) = (&exact.probabilities["brier"], &opinions.probabilities["brier"]);
    assert!(truth.mean < four.mean, "{truth:?} {four:?}");
    Ok(())
}

/// The data set in `folder`, read as a run file's `[data]` says.
fn open(folder: &Path, layout: &str) -> anyhow::Result<Box<dyn Dataset>> {
    let layout: LayoutConfig = toml::from_str(layout)?;
    Ok(layout.open(folder)?)
}

#[test]
fn a_network_is_scored_against_the_truth_of_finer_classes_than_its_own() -> anyhow::Result<()> {
    let (data, run) = (tempdir()?, tempdir()?);
    phantom(6)?.write(data.path(), |_, _| ())?;
    let opinions = open(
        data.path(),
        r#"[raters]
        channels = ["CT"]
        classes = [{ name = "background", values = [0] }, { name = "organ", values = [1, 2] }]"#,
    )?;
    let mut config: RunConfig = config(3, 1);
    config.loss = toml::from_str("[dice_semimetric]")?;
    let outcome = train_into(run.path(), &config, opinions.as_ref(), false, None)?;
    let settings = PredictConfig { mirror: false, ..PredictConfig::default() };
    let predictor = Predictor::new(&outcome.trained, settings, &device())?;

    let truth = open(
        data.path(),
        r#"[pairs]
        image = "{id}/image.nii.gz"
        label = "{id}/truth.nii.gz"
        soft = true
        channels = ["CT"]
        classes = [
            { name = "background", values = [0] },
            { name = "organ", values = [1] },
            { name = "lesion", values = [2] },
        ]"#,
    )?;
    let (ids, own) = (&outcome.held_out, Scalings::uniform(LogitScaling::default()));
    let found = on_dataset(
        &predictor,
        truth.as_ref(),
        ids,
        &own,
        ("run", &EvaluateConfig::default()),
        &mut [],
    )?;

    assert_eq!(found.classes, ["organ"]);
    assert!(calibration_error(&found).iter().all(|error| error.is_finite()));
    // The same by hand: organ and lesion are one.
    let mut evaluator =
        Evaluator::of_network("run", predictor.config(), &EvaluateConfig::default());
    for id in ids {
        let case = truth.read(id)?;
        let Some(Label::Soft(soft)) = &case.label else { anyhow::bail!("the truth is soft") };
        let [background, organ, lesion] = [0, 1, 2].map(|it| soft.data.index_axis(Axis(0), it));
        let merged = ndarray::stack![Axis(0), background, &organ + &lesion];
        let label = Label::Soft(SoftLabelMap::new(soft.grid.clone(), merged)?);
        let prediction = predictor.predict_case(&case)?;
        evaluator.add_prediction(id, &prediction, &Reference::of(&label, 2, None)?)?;
    }
    let expected = evaluator.finish();
    assert_eq!(found.probabilities, expected.probabilities);
    assert_eq!(found.calibration, expected.calibration);
    assert_eq!(found.masks, expected.masks);
    // Of a data set without lesions, nobody knows what became of them.
    let fewer = open(
        data.path(),
        r#"[raters]
        channels = ["CT"]
        classes = [
            { name = "background", values = [0] },
            { name = "organ", values = [1] },
            { name = "cyst", values = [3] },
        ]"#,
    )?;
    let error = on_dataset(
        &predictor,
        fewer.as_ref(),
        ids,
        &own,
        ("run", &EvaluateConfig::default()),
        &mut [],
    )
    .unwrap_err();
    assert!(error.to_string().starts_with("the network tells apart background, organ, but"));
    Ok(())
}
