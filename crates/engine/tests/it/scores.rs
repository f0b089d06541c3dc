//! Scores are of the weights that they lie beside, and at temperatures that were fitted elsewhere.

use std::collections::BTreeSet;
use std::fs;

use data::Dataset as _;
use engine::calibrate::{Calibration, LogitScaling, VectorScaling};
use engine::evaluate::{EvaluateConfig, Evaluation, Scaling, Scalings, on_dataset};
use engine::report::{self, ReportInput};
use engine::{PredictConfig, Predictor, RunFolder, Trained};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, train_into, validated};

/// The network of a folder on some cases, as `sconce evaluate` scores it.
fn again(
    folder: &std::path::Path,
    balls: &Balls,
    ids: &[String],
    name: &str,
) -> anyhow::Result<Evaluation> {
    let trained = Trained::load(folder)?;
    let (own, run) = (trained.config.predict.clone(), RunFolder::at(folder));
    let scalings = Scalings::of_folder(&run, &trained, balls, own.calibration)?;
    let weights = Some(trained.weights_hash()?);
    let settings = PredictConfig { calibration: Calibration::None, ..own };
    let predictor = Predictor::new(&trained, settings, &device())?;
    let found =
        on_dataset(&predictor, balls, ids, &scalings, (name, &EvaluateConfig::default()), &mut [])?;
    let found = Evaluation { weights, ..found };
    Ok(found.made_by("", run.read_provenance()?.as_ref()))
}

#[test]
fn a_run_that_is_evaluated_again_comes_to_the_scores_that_it_has() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 2), Balls::new(9, [8, 18, 20]));
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;
    let validation = validated(folder.path(), &config, &balls, &outcome)?;
    let name = validation.calibrated.name.clone();

    let found = again(folder.path(), &balls, &outcome.held_out, &name)?;

    assert_eq!(found, validation.calibrated);
    assert_eq!(found.scaling, Some(Scaling::CrossFitted));
    assert_eq!(validation.raw.scaling, Some(Scaling::None));
    let temperatures: Vec<_> = found.cases.iter().map(|case| case.temperature).collect();
    let halves = &validation.fit.halves;
    assert_eq!((outcome.held_out.len(), halves.len()), (3, 2));
    // The half of a case knows nothing of the case.
    assert_eq!(temperatures[0], Some(halves[0].temperature));
    assert_eq!(temperatures[1], Some(halves[1].temperature));
    assert!(temperatures[0] != temperatures[1] && temperatures[0] == temperatures[2]);
    // Cases that the network was trained on are not those that its temperature was fitted to.
    let split = RunFolder::at(folder.path()).read_split()?.expect("it is a run");
    let seen = again(folder.path(), &balls, &split.train[..1], &name)?;
    assert_eq!(seen.scaling, Some(Scaling::Model));
    assert_eq!(seen.cases[0].temperature, Some(validation.fit.temperature));
    Ok(())
}

#[test]
fn a_weight_and_a_bias_for_each_class_are_fitted_stored_and_applied() -> anyhow::Result<()> {
    for balls in [Balls::new(6, [8, 18, 20]), Balls::nested(6, [8, 18, 20])] {
        let folder = tempdir()?;
        let mut config = config(3, 2);
        config.predict.calibration = Calibration::Vector;
        if balls.description().has_regions() {
            config.loss = toml::from_str("[cross_entropy]\nactivation = \"sigmoid\"")?;
        }
        let outcome = train_into(folder.path(), &config, &balls, false, None)?;
        let validation = validated(folder.path(), &config, &balls, &outcome)?;
        let name = validation.calibrated.name.clone();

        let found = again(folder.path(), &balls, &outcome.held_out, &name)?;
        assert_eq!(found, validation.calibrated);
        let case = &found.cases[0];
        assert_eq!(case.temperature, None);
        assert_eq!(case.vector_scaling, validation.fit.halves[0].vector);

        // Prediction has what was fitted to all of them, unless it is told otherwise.
        let trained = Trained::load(folder.path())?;
        assert_eq!(trained.config.vector_scaling, validation.fit.vector);
        assert_eq!(trained.config.temperature.to_bits(), validation.fit.temperature.to_bits());
        let image = balls.read(&outcome.held_out[0])?.image;
        let logits = |calibration| -> anyhow::Result<_> {
            let settings = PredictConfig { calibration, ..trained.config.predict.clone() };
            let predictor = Predictor::new(&trained, settings, &device())?;
            Ok(predictor.predict(&image)?.logits().clone())
        };
        let raw = logits(Calibration::None)?;
        for calibration in [Calibration::Vector, Calibration::Temperature] {
            let mut expected = raw.clone();
            trained.config.scaling(calibration)?.apply(&mut expected);
            let apart = (&logits(calibration)? - &expected).mapv(f32::abs);
            assert!(apart.iter().all(|apart| *apart < 1e-5), "{calibration:?}");
            assert!(expected != raw);
        }
    }
    Ok(())
}

#[test]
fn pictures_show_what_was_scored() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 2), Balls::new(6, [8, 18, 20]));
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;
    let validation = validated(folder.path(), &config, &balls, &outcome)?;
    let trained = Trained::load(folder.path())?;
    let predictor = |calibration| {
        let settings = PredictConfig { calibration, ..PredictConfig::default() };
        Predictor::new(&trained, settings, &device())
    };
    let page = |bias: f64| -> anyhow::Result<String> {
        let scaling = VectorScaling { weights: vec![1.0; 2], biases: vec![bias, 0.0] };
        let scalings = Scalings::uniform(LogitScaling::Vector(scaling));
        let raw = predictor(Calibration::None)?;
        let pictures = report::pictures(&raw, &balls, &scalings, &validation.calibrated)?;
        Ok(report::html(&ReportInput { pictures, ..ReportInput::default() }))
    };

    let nothing = ">prediction (none here)<";
    assert!(page(1e3)?.contains(nothing), "all is background");
    assert!(!page(-1e3)?.contains(nothing), "nothing is");
    let twice = predictor(Calibration::Temperature)?;
    let scalings = Scalings::uniform(LogitScaling::Temperature(2.0));
    let error = report::pictures(&twice, &balls, &scalings, &validation.calibrated).unwrap_err();
    assert!(error.to_string().contains("calibrated twice"), "{error}");
    let ids = &outcome.held_out;
    let settings = EvaluateConfig::default();
    let found = on_dataset(&twice, &balls, ids, &scalings, ("twice", &settings), &mut []);
    assert!(found.is_err_and(|error| error.to_string().contains("calibrated twice")));
    Ok(())
}

#[test]
fn a_network_without_vector_scaling_says_so() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;
    let settings = PredictConfig { calibration: Calibration::Vector, ..PredictConfig::default() };

    let error = Predictor::new(&outcome.trained, settings, &device()).unwrap_err().to_string();

    assert!(error.contains("no weight and bias for each of its 2 channels"), "{error}");
    Ok(())
}

#[test]
fn held_out_cases_are_scored_raw_where_nobody_knows_how_they_were_cross_fitted()
-> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (config(3, 1), Balls::new(6, [8, 18, 20]));
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;
    let validation = validated(folder.path(), &config, &balls, &outcome)?;
    let name = validation.raw.name.clone();
    let path = folder.path().join("calibration.json");
    let hash = outcome.trained.weights_hash()?;
    let text = fs::read_to_string(&path)?;

    // Of other weights.
    fs::write(&path, text.replace(&hash, &hash.replace(['0', '1', '2', '3'], "f")))?;
    assert_eq!(again(folder.path(), &balls, &outcome.held_out, &name)?, validation.raw);
    fs::remove_file(&path)?;
    assert_eq!(again(folder.path(), &balls, &outcome.held_out, &name)?, validation.raw);
    Ok(())
}

#[test]
fn cases_of_one_group_are_scored_at_one_temperature() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, mut balls) = (config(3, 1), Balls::new(18, [8, 18, 20]));
    balls.together = 3;
    let outcome = train_into(folder.path(), &config, &balls, false, None)?;

    let validation = validated(folder.path(), &config, &balls, &outcome)?;

    let halves = &validation.fit.halves;
    let group_of = |id: &String| balls.group(id).to_owned();
    let groups: Vec<BTreeSet<String>> =
        halves.iter().map(|half| half.cases.iter().map(group_of).collect()).collect();
    assert_eq!((outcome.held_out.len(), groups.len()), (6, 2));
    assert!(groups.iter().all(|of_half| of_half.len() == 1), "{groups:?}");
    assert!(halves.iter().all(|half| half.cases.len() == 3), "{halves:?}");
    Ok(())
}

#[test]
fn new_weights_never_lie_beside_the_scores_of_old_ones() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::new(6, [8, 18, 20]);
    let short = config(3, 1);
    let outcome = train_into(folder.path(), &short, &balls, false, None)?;
    let validation = validated(folder.path(), &short, &balls, &outcome)?;
    assert_eq!(validation.calibrated.weights, Some(outcome.trained.weights_hash()?));
    assert_eq!(validation.fit.weights, validation.calibrated.weights);
    let bytes = fs::File::open(folder.path().join("model.safetensors"))?;
    assert_eq!(validation.raw.weights, Some(engine::file::sha256(bytes)?));

    // Prolonged, and killed before it was scored.
    train_into(folder.path(), &config(3, 2), &balls, true, None)?;

    let run = RunFolder::at(folder.path());
    assert_eq!((run.read_calibration()?, fs::read_dir(run.validation())?.count()), (None, 0));
    let error = engine::report::of_folders(&[folder.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("it holds no evaluation"), "{error}");
    Ok(())
}

#[test]
fn a_network_is_predicted_with_as_its_run_says() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let mut config = config(3, 1);
    config.predict.step_size = 0.75;
    train_into(folder.path(), &config, &Balls::new(6, [8, 18, 20]), false, None)?;

    let mut trained = Trained::load(folder.path())?;

    assert_eq!(trained.config.predict, config.predict);
    assert!(!trained.config.predict.mirror);
    trained.config.predict.step_size = 0.0;
    let settings = trained.config.predict.clone();
    let error = Predictor::new(&trained, settings, &device()).unwrap_err().to_string();
    assert!(error.starts_with("predict.step_size is 0;"), "{error}");
    Ok(())
}
