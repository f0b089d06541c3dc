//! How a network looks at images that are not what it was trained on.

use engine::{Ensemble, Precision, PredictConfig, Predictor, Trained, Wanted};
use ndarray::{Axis, s};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, train_into};

fn trained(rank: usize, size: [usize; 3]) -> anyhow::Result<Trained> {
    let folder = tempdir()?;
    train_into(folder.path(), &config(rank, 1), &Balls::new(6, size), false, None)?;
    Ok(Trained::load(folder.path())?)
}

#[test]
fn a_network_for_slices_sees_each_slice_of_a_volume_by_itself() -> anyhow::Result<()> {
    let trained = trained(2, [1, 18, 20])?;
    let predictor = Predictor::new(&trained, PredictConfig::default(), &device())?;
    let volume = data::Dataset::read(&Balls::new(1, [5, 18, 20]), "ball_0")?.image.data;

    let whole = predictor.logits(&volume)?;

    for z in 0..5 {
        let slice = predictor.logits(&volume.slice(s![.., z..=z, .., ..]).to_owned())?;
        for (alone, within) in slice.iter().zip(&whole.index_axis(Axis(1), z)) {
            approx::assert_abs_diff_eq!(alone, within, epsilon = 1e-5);
        }
    }
    Ok(())
}

#[test]
fn a_network_for_volumes_takes_a_single_slice() -> anyhow::Result<()> {
    let trained = trained(3, [8, 18, 20])?;
    let predictor = Predictor::new(&trained, PredictConfig::default(), &device())?;
    let slice = data::Dataset::read(&Balls::new(1, [1, 18, 20]), "ball_0")?;

    let prediction = predictor.predict_case(&slice)?;

    assert_eq!(prediction.labels()?.grid, slice.image.grid);
    let sums = prediction.probabilities()?.data.sum_axis(Axis(0));
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    Ok(())
}

#[test]
fn labels_are_the_most_probable_classes_after_resampling() -> anyhow::Result<()> {
    let mut trained = trained(3, [8, 18, 20])?;
    trained.plan.spacing = [1.7, 1.3, 0.8];
    let predictor = Predictor::new(&trained, PredictConfig::default(), &device())?;
    let case = data::Dataset::read(&Balls::new(1, [8, 18, 20]), "ball_0")?;

    let prediction = predictor.predict_case(&case)?;
    let (labels, soft) = (prediction.labels()?, prediction.probabilities()?);

    for ((z, y, x), &label) in labels.data.indexed_iter() {
        let [background, ball] = [0, 1].map(|class| soft.data[[class, z, y, x]]);
        assert!(if label == 1 { ball >= background } else { background >= ball });
    }
    Ok(())
}

#[test]
fn a_network_whose_output_is_not_finite_is_told_from_a_bad_image() -> anyhow::Result<()> {
    let mut trained = trained(3, [8, 18, 20])?;
    let name = trained.parameters.keys().next().expect("a parameter").clone();
    let broken = (trained.parameters[&name].ones_like()? * f64::NAN)?;
    trained.parameters.insert(name, broken);
    let predictor = Predictor::new(&trained, PredictConfig::default(), &device())?;
    let case = data::Dataset::read(&Balls::new(1, [8, 18, 20]), "ball_0")?;

    let error = predictor.predict_case(&case).unwrap_err().to_string();

    let reason = "the network's output is not finite, so that its weights are of no use;";
    assert!(error.starts_with(&format!("case ball_0: {reason}")), "{error}");
    Ok(())
}

#[test]
fn networks_are_averaged_where_they_mean_the_same() -> anyhow::Result<()> {
    let one = trained(3, [8, 18, 20])?;
    let mut sharper = one.clone();
    sharper.config.temperature = 0.5;
    let settings = PredictConfig { mirror: false, ..PredictConfig::default() };
    let device = device();
    let image = data::Dataset::read(&Balls::new(1, [8, 18, 20]), "ball_0")?.image.data;
    let logits = |networks: &[Trained]| -> engine::Result<_> {
        Predictor::ensemble(networks, settings.clone(), &device)?.logits(&image)
    };

    let (alone, both) = (logits(std::slice::from_ref(&one))?, logits(&[one.clone(), sharper])?);

    // The mean of z and 2 z.
    for (both, alone) in both.iter().zip(&alone) {
        approx::assert_relative_eq!(*both, 1.5 * alone, max_relative = 1e-4, epsilon = 1e-6);
    }
    let mut other = one.clone();
    other.plan.spacing[0] *= 2.0;
    let error = logits(&[one, other]).unwrap_err().to_string();
    assert!(error.starts_with("network 2 of the ensemble"), "{error}");
    assert!(logits(&[]).is_err());
    Ok(())
}

#[test]
fn networks_of_different_plans_are_averaged_on_the_grid_of_the_image() -> anyhow::Result<()> {
    let one = trained(3, [8, 18, 20])?;
    let mut other = trained(3, [8, 18, 20])?;
    other.plan.spacing = other.plan.spacing.map(|spacing| 1.3 * spacing);
    other.config.temperature = 0.5;
    let image = data::Dataset::read(&Balls::new(1, [8, 18, 20]), "ball_0")?.image;
    let settings = |_: &Trained| PredictConfig { mirror: false, ..PredictConfig::default() };
    let device = device();
    let alone = |network: &Trained| -> anyhow::Result<_> {
        let predictor = Predictor::new(network, settings(network), &device)?;
        Ok(predictor.predict(&image)?.probability_image()?.data)
    };
    let (a, b) = (alone(&one)?, alone(&other)?);

    // Of the first there are two: each network counts as much.
    let networks = [one.clone(), other.clone(), one.clone()];
    let wanted = Wanted { probabilities: true, ..Wanted::default() };
    let mean = Ensemble::new(&networks, settings, &device)?.predict(&image, wanted)?;

    let expected = (&a * 2.0 + &b) / 3.0;
    let found = mean.probabilities.as_ref().expect("as wanted").data.clone();
    for (found, expected) in found.iter().zip(&expected) {
        approx::assert_relative_eq!(*found, *expected, epsilon = 1e-6, max_relative = 1e-5);
    }
    let (labels, classes) = (&mean.labels, found.dim().0);
    for ((z, y, x), &label) in labels.data.indexed_iter() {
        let greatest = (0..classes).map(|class| found[[class, z, y, x]]).fold(0.0, f32::max);
        let first = (0..classes).find(|&class| found[[class, z, y, x]] >= greatest);
        assert_eq!(first, Some(usize::from(label)));
    }
    assert!(mean.soft_labels().is_ok());
    let single = Ensemble::new(&networks[..1], settings, &device)?.predict(&image, wanted)?;
    assert_eq!(single.probabilities.expect("as wanted").data, a);
    // Who is named first does not matter, even where one may not be mirrored.
    let mut unmirrored = one.clone();
    unmirrored.config.mirror_axes = [false; 3];
    let mirrored = |_: &Trained| PredictConfig::default();
    let both = [one.clone(), unmirrored];
    let probabilities = |networks: &[Trained]| -> engine::Result<_> {
        let said = Ensemble::new(networks, mirrored, &device)?.predict(&image, wanted)?;
        Ok(said.probabilities.expect("as wanted"))
    };
    let forth = probabilities(&both)?;
    let turned = [both[1].clone(), both[0].clone()];
    let back = probabilities(&turned)?;
    for (forth, back) in forth.data.iter().zip(&back.data) {
        approx::assert_relative_eq!(*forth, *back, epsilon = 1e-6);
    }
    let mut foreign = other;
    foreign.config.classes[1].values = vec![7];
    let error = Ensemble::new(&[one, foreign], settings, &device).unwrap_err().to_string();
    assert!(
        error.starts_with("network 2 of the ensemble has classes other than the first"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_fast_prediction_is_nearly_an_exact_one() -> anyhow::Result<()> {
    let trained = trained(3, [16, 24, 24])?;
    let device = device();
    let image = data::Dataset::read(&Balls::new(1, [16, 24, 24]), "ball_0")?.image.data;
    let logits = |precision: Precision| -> engine::Result<_> {
        let settings = PredictConfig { precision, mirror: false, ..PredictConfig::default() };
        Predictor::new(&trained, settings, &device)?.logits(&image)
    };

    let (exact, fast) = (logits(Precision::Exact)?, logits(Precision::Fast)?);

    let largest = exact.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
    for (exact, fast) in exact.iter().zip(&fast) {
        approx::assert_abs_diff_eq!(exact, fast, epsilon = 1e-4 * largest);
    }
    Ok(())
}

#[test]
fn axes_that_training_did_not_mirror_stay_as_they_are() -> anyhow::Result<()> {
    let mut trained = trained(3, [8, 18, 20])?;
    let device = device();
    let image = data::Dataset::read(&Balls::new(1, [8, 18, 20]), "ball_0")?.image.data;
    let mut logits = |axes: [bool; 3], mirror: bool| -> engine::Result<_> {
        trained.config.mirror_axes = axes;
        let settings = PredictConfig { mirror, ..PredictConfig::default() };
        Predictor::new(&trained, settings, &device)?.logits(&image)
    };

    let plain = logits([true; 3], false)?;

    assert_eq!(logits([false; 3], true)?, plain);
    assert!(logits([true, false, false], true)? != plain);
    Ok(())
}
