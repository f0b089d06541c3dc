//! Regions that overlap: a network says of each by itself whether a voxel is in it.

use engine::calibrate::LogitScaling;
use engine::evaluate::{EvaluateConfig, Scalings, on_dataset};
use engine::{Outcome, PredictConfig, Predictor, RunConfig};
use losses::{Activation, LossConfig};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, train_into, validated};

fn loss(text: &str) -> LossConfig {
    toml::from_str(text).expect("a loss")
}

fn sigmoid(epochs: usize) -> RunConfig {
    let loss = loss(
        "[[sum.terms]]
         weight = 1.0
         loss.cross_entropy = { activation = \"sigmoid\" }
         [[sum.terms]]
         weight = 1.0
         loss.dice = { activation = \"sigmoid\" }",
    );
    RunConfig { loss, ..config(3, epochs) }
}

#[test]
fn a_network_learns_a_region_and_another_inside_it() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (config, balls) = (sigmoid(12), Balls::nested(6, [8, 18, 20]));

    let outcome: Outcome = train_into(folder.path(), &config, &balls, false, None)?;

    let network = &outcome.trained.config;
    assert_eq!((network.interface.classes, network.activation), (2, Activation::Sigmoid));
    assert_eq!(network.regions_class_order, [1, 2]);
    assert_eq!(outcome.history[11].validation_dice.len(), 2);
    let validation = validated(folder.path(), &config, &balls, &outcome)?;
    for region in ["whole", "core"] {
        let dice = validation.raw.masks[region]["dice"].mean.unwrap_or_default();
        let patches = &outcome.history.last().map(|epoch| &epoch.validation_dice);
        assert!(dice > 0.85, "held-out Dice of {region} is {dice}, of patches {patches:?}");
        // A temperature moves no probability across one half.
        assert_eq!(validation.raw.masks[region], validation.calibrated.masks[region]);
    }
    assert_eq!(validation.raw.probabilities["case_ece"].defined, 2);
    assert!(validation.raw.definitions["case_ece"].text.contains("mean over the regions"));
    assert!(validation.fit.nll_before.is_finite() && validation.fit.voxels > 0);
    Ok(())
}

#[test]
fn regions_are_painted_in_their_order_and_agree_with_their_probabilities() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let balls = Balls::nested(6, [8, 18, 20]);
    let outcome = train_into(folder.path(), &sigmoid(6), &balls, false, None)?;
    let predictor = Predictor::new(&outcome.trained, PredictConfig::default(), &device())?;

    let case = data::Dataset::read(&balls, "ball_0")?;
    let prediction = predictor.predict_case(&case)?;
    let (labels, image) = (prediction.labels()?, prediction.probability_image()?);

    assert_eq!(image.channels(), 2);
    for ((z, y, x), &label) in labels.data.indexed_iter() {
        let [whole, core] = [0, 1].map(|region| image.data[[region, z, y, x]]);
        assert!([whole, core].iter().all(|p| (0.0..=1.0).contains(p)));
        let expected = match (whole > 0.5, core > 0.5) {
            (_, true) => 2,
            (true, false) => 1,
            (false, false) => 0,
        };
        assert_eq!(label, expected, "{whole} and {core}");
    }
    let error = prediction.probabilities().unwrap_err().to_string();
    assert!(error.contains("may overlap"), "{error}");

    let other = Balls::new(6, [8, 18, 20]);
    let (ids, own) = (["ball_0".to_owned()], Scalings::uniform(LogitScaling::default()));
    let error =
        on_dataset(&predictor, &other, &ids, &own, ("run", &EvaluateConfig::default()), &mut [])
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network tells apart background, whole, core, but the data set Balls has background, \
         ball; evaluate it on data with the same classes"
    );
    Ok(())
}

#[test]
fn a_loss_that_does_not_suit_the_labels_is_refused_before_anything_is_read() -> anyhow::Result<()> {
    let refusal = |text: &str, balls: &Balls| -> anyhow::Result<String> {
        let config = RunConfig { loss: loss(text), ..config(3, 1) };
        let refused = train_into(tempdir()?.path(), &config, balls, false, None);
        Ok(refused.expect_err("a refusal").to_string())
    };
    let (apart, nested) = (Balls::new(6, [8, 18, 20]), Balls::nested(6, [8, 18, 20]));

    assert_eq!(
        refusal("[dice]", &nested)?,
        "loss.dice.activation is \"softmax\", but regions may overlap; set it to \"sigmoid\""
    );
    assert_eq!(
        refusal("[dice]\nactivation = \"sigmoid\"", &apart)?,
        "loss.dice.activation is \"sigmoid\", but classes exclude each other; set it to \"softmax\""
    );
    let error = refusal("[dice]\nactivation = \"sigmoid\"\ninclude_background = false", &nested)?;
    assert!(error.starts_with("loss.dice.include_background is false"), "{error}");
    Ok(())
}
