//! Networks that are told in words what to segment, and cases that label some classes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle::Device;
use data::{Case, Class, Dataset, Description};
use engine::evaluate::{EvaluateConfig, Evaluator, Reference};
use engine::{
    Event, Observer, Origins, Outcome, PredictConfig, Predictor, Run, RunConfig, RunFolder, Trained,
};
use losses::LossConfig;
use models::{ModelConfig, TextUnet};
use tempfile::tempdir;
use text::TextEncoder;

use crate::fixture::{Balls, config, run_from};

/// Balls called kidney, and their cores, called liver: cases take turns in which of the two they label.
#[derive(Debug)]
struct InTurn {
    balls: Balls,
    description: Description,
    labelled: [Vec<usize>; 2],
}

impl InTurn {
    fn new(labelled: [Vec<usize>; 2]) -> Self {
        let balls = Balls::nested(6, [1, 18, 20]);
        let classes = vec![
            Class::new("background", [0]),
            Class::new("kidney", [1, 2]),
            Class::new("liver", [2]),
        ];
        let description = Description { classes, ..balls.description().clone() };
        Self { balls, description, labelled }
    }

    fn is_odd(id: &str) -> bool {
        id.ends_with(['1', '3', '5'])
    }
}

impl Dataset for InTurn {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        self.balls.ids()
    }

    fn read(&self, id: &str) -> data::Result<Case> {
        self.balls.read(id)
    }

    fn labelled(&self, id: &str) -> Option<&[usize]> {
        Some(&self.labelled[usize::from(Self::is_odd(id))])
    }

    fn weight(&self, id: &str) -> f64 {
        if Self::is_odd(id) { 2.0 } else { 1.0 }
    }
}

fn told(epochs: usize) -> RunConfig {
    let loss: LossConfig =
        toml::from_str("[dice_semimetric]\nactivation = \"sigmoid\"").expect("a loss");
    let model = "[text_unet]\nembedding = 64\ncondition = 8\nwidth = 4\n\
                 [text_unet.unet]\nfeatures_per_stage = [4, 8]";
    let model: ModelConfig = toml::from_str(model).expect("a network");
    RunConfig { loss, model, ..config(2, epochs) }
}

fn train(
    folder: &Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    text: Option<&TextEncoder>,
    resume: bool,
) -> engine::Result<Outcome> {
    let folder = RunFolder::create(folder, resume)?;
    let origins = Origins { text, ..Origins::default() };
    let run = Run { resume, ..run_from(config, dataset, &folder, &Device::Cpu, origins) };
    engine::train(&run, &mut [])
}

/// Trains one epoch of several.
fn stopped(
    folder: &Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    encoder: &TextEncoder,
) -> engine::Result<Outcome> {
    struct Stop;
    impl Observer for Stop {
        fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
            let is_epoch = matches!(event, Event::Epoch(_));
            Ok(if is_epoch { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }
    }
    let folder = RunFolder::create(folder, false)?;
    let origins = Origins { text: Some(encoder), ..Origins::default() };
    let run = run_from(config, dataset, &folder, &Device::Cpu, origins);
    engine::train(&run, &mut [&mut Stop])
}

fn bits(trained: &Trained) -> anyhow::Result<BTreeMap<String, Vec<u32>>> {
    let each = trained.parameters.iter().map(|(name, tensor)| {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok((name.clone(), values.into_iter().map(f32::to_bits).collect()))
    });
    each.collect()
}

#[test]
fn a_run_goes_on_to_the_same_bits_and_knows_its_words() -> anyhow::Result<()> {
    let (whole, halves) = (tempdir()?, tempdir()?);
    let (encoder, balls) = (TextEncoder::tiny()?, InTurn::new([vec![1], vec![2]]));
    let all = train(whole.path(), &told(2), &balls, Some(&encoder), false)?;
    // Stopped after the first of its epochs; the checkpoint knows what was made of words.
    stopped(halves.path(), &told(2), &balls, &encoder)?;
    let resumed = train(halves.path(), &told(2), &balls, None, true)?;

    assert_eq!(bits(&all.trained)?, bits(&resumed.trained)?);
    assert_eq!(resumed.trained.config.text, all.trained.config.text);
    let prompts = &resumed.trained.parameters[TextUnet::PROMPTS];
    let expected = encoder.embed(&["kidney", "liver"])?;
    assert_eq!(prompts.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
    let record = all.trained.config.text.clone().expect("a text encoder");
    assert_eq!((record.encoder.as_str(), record.hash), ("tiny", encoder.hash()));
    let own = TextEncoder::open(&whole.path().join("text"))?;
    assert_eq!(own.hash(), encoder.hash());
    assert_eq!(all.history[1].validation_dice.len(), 2);
    Ok(())
}

#[test]
fn a_network_is_told_other_words_and_refuses_those_it_does_not_know() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (encoder, balls) = (TextEncoder::tiny()?, InTurn::new([vec![1], vec![2]]));
    let trained = train(folder.path(), &told(1), &balls, Some(&encoder), false)?.trained;
    let words = |words: &[&str]| words.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    let case = balls.read("ball_0")?;
    let labels = |trained: &Trained| -> anyhow::Result<_> {
        let predictor = Predictor::new(trained, PredictConfig::default(), &Device::Cpu)?;
        Ok(predictor.predict_case(&case)?)
    };
    let plain = labels(&trained)?;

    let told = trained.prompted(&encoder, &words(&["liver", "left kidney", "kidney"]))?;

    assert_eq!(told.config.interface.classes, 3);
    assert_eq!(told.config.label_values(), [0, 1, 2, 3]);
    assert_eq!(told.config.classes[2], Class::new("left kidney", [2]));
    let found = labels(&told)?;
    for (own, before) in [(0, 1), (2, 0)] {
        let own = found.logits().index_axis(ndarray::Axis(0), own);
        let before = plain.logits().index_axis(ndarray::Axis(0), before);
        assert!(own.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    let refusal = |prompts: &[&str]| {
        trained.prompted(&encoder, &words(prompts)).expect_err("a refusal").to_string()
    };
    assert!(
        refusal(&["kidney", "spleen"])
            .starts_with("\"spleen\" is not among what this model knows; nearest: ")
    );
    assert!(refusal(&[]).contains("one at least"));
    assert!(refusal(&["liver", "liver"]).contains("name each prompt once"));
    let mut untold = trained.clone();
    untold.config.text = None;
    let error = untold.prompted(&encoder, &words(&["liver"])).unwrap_err().to_string();
    assert_eq!(error, "the network is told nothing in words; it segments kidney, liver");
    let mut other = trained.clone();
    other.config.text.as_mut().expect("a text encoder").hash = "another".to_owned();
    let error = other.prompted(&encoder, &words(&["liver"])).unwrap_err().to_string();
    assert!(error.contains("has other weights than the one"), "{error}");
    Ok(())
}

#[test]
fn what_is_not_labelled_has_no_score() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let (encoder, balls) = (TextEncoder::tiny()?, InTurn::new([vec![1], vec![2]]));
    let trained = train(folder.path(), &told(1), &balls, Some(&encoder), false)?.trained;
    let predictor = Predictor::new(&trained, PredictConfig::default(), &Device::Cpu)?;
    let mut evaluator = Evaluator::of_network("run", &trained.config, &EvaluateConfig::default());
    for id in ["ball_0", "ball_1"] {
        let case = balls.read(id)?;
        let label = case.label.as_ref().expect("a label");
        let reference = Reference::of(label, 3, None)?.labelling(balls.labelled(id));
        evaluator.add_prediction(id, &predictor.predict_case(&case)?, &reference)?;
    }

    let found = evaluator.finish();

    for (case, own, other) in [(0, "kidney", "liver"), (1, "liver", "kidney")] {
        let case = &found.cases[case];
        assert_eq!(case.not_labelled, [other]);
        assert!(
            case.masks[own]["dice"].is_some() && case.masks[other].values().all(Option::is_none)
        );
        assert!(!case.voxels.contains_key(other) && !case.lesions.contains_key(other));
        assert_eq!(case.masks["mean"]["dice"], case.masks[own]["dice"]);
    }
    assert_eq!(
        (found.masks["liver"]["dice"].defined, found.masks["liver"]["dice"].undefined),
        (1, 1)
    );
    Ok(())
}

#[test]
fn runs_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    let (encoder, balls) = (TextEncoder::tiny()?, InTurn::new([vec![1], vec![2]]));
    let refusal = |config: &RunConfig, dataset: &dyn Dataset, text: Option<&TextEncoder>| {
        let folder = tempdir().expect("a folder");
        train(folder.path(), config, dataset, text, false).expect_err("a refusal").to_string()
    };

    let error = refusal(&told(1), &balls, None);
    assert_eq!(error, "text.encoder was not read: give its encoder");
    let length: ModelConfig = toml::from_str("[text_unet]\nembedding = 7")?;
    let error = refusal(&RunConfig { model: length, ..told(1) }, &balls, Some(&encoder));
    assert!(error.contains("embedding is 7") && error.contains("have 64 numbers"), "{error}");
    let untold = RunConfig {
        text: Some(engine::TextConfig::default()),
        model: config(2, 1).model,
        ..told(1)
    };
    let error = refusal(&untold, &balls, None);
    assert_eq!(error, "model.unet is told nothing in words; remove [text]");
    let excluding = RunConfig { loss: config(2, 1).loss, ..told(1) };
    let error = refusal(&excluding, &Balls::new(6, [1, 18, 20]), Some(&encoder));
    assert!(error.contains("decides each class by itself"), "{error}");
    let error = refusal(&told(1), &InTurn::new([vec![1], vec![1]]), Some(&encoder));
    assert!(error.contains("no case that is trained on labels liver"), "{error}");
    let template =
        engine::TextConfig { template: "the".to_owned(), ..engine::TextConfig::default() };
    let error = RunConfig { text: Some(template), ..told(1) }.checked().unwrap_err().to_string();
    assert!(error.contains("put {} once"), "{error}");
    Ok(())
}
