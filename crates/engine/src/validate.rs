//! What a trained network is worth on the cases that it never saw.

use ndarray::Array4;
use preprocess::Truth;
use volume::Label;

use crate::calibrate::{self, Sample, TemperatureFit};
use crate::evaluate::{Evaluation, Evaluator, Reference};
use crate::file::{create_folder, write_json};
use crate::train::tell;
use crate::trained::config_path;
use crate::{Error, Event, Observer, Outcome, Prediction, Predictor, Result, Run, report};

/// Logits that are kept rather than computed twice, bytes.
const KEPT_LOGITS: usize = 1 << 30;

/// Voxels of a case that help to choose the temperature: more tell no more of one number.
const VOXELS_OF_A_CASE: usize = 20_000;

/// The scores of a run's held-out cases, before and after calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// As the network says it.
    pub raw: Evaluation,
    /// With each half of the cases calibrated on the other half.
    pub calibrated: Evaluation,
    /// The temperature fitted to all of them, which goes into `config.json`.
    pub fit: TemperatureFit,
}

/// Predicts and scores the held-out cases of a run, fits a temperature, and writes all of it into
/// the run's folder: `validation/raw.json`, `validation/summary.json`, pictures of the best, median
/// and worst case, `calibration.json`, and the temperature into `config.json`.
///
/// The calibrated scores are cross-fitted: the temperature that a case is scored with was chosen
/// without it.
///
/// # Errors
///
/// Where a case cannot be read, predicted or scored, or a file cannot be written.
pub fn validate(
    run: &Run<'_>,
    outcome: &Outcome,
    observers: &mut [&mut dyn Observer],
) -> Result<Validation> {
    let predictor = Predictor::new(&outcome.trained, run.config.predict.clone(), run.device)?;
    let name = run.folder.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let classes = outcome.trained.config.classes.len();
    let ignore = run.dataset.description().ignore;
    let total = outcome.held_out.len();
    let mut raw = Evaluator::of_network(&name, predictor.config());
    let (mut samples, mut kept, mut budget) = (Vec::new(), Vec::new(), KEPT_LOGITS);
    for (done, id) in outcome.held_out.iter().enumerate() {
        let (prediction, reference) = one(run, &predictor, id, classes, ignore)?;
        score(&mut raw, id, &prediction, &reference)?;
        samples.push(sample(run, &predictor, id, &prediction)?);
        let bytes = 4 * prediction.logits().len();
        if bytes <= budget {
            budget -= bytes;
            kept.push(Some(prediction));
        } else {
            kept.push(None);
        }
        tell(observers, &Event::Predicted { id, done: done + 1, total: 2 * total })?;
    }

    let fit = calibrate::fit(&samples);
    let half = |parity: usize| -> Vec<&Sample> {
        samples.iter().enumerate().filter(|(at, _)| at % 2 == parity).map(|it| it.1).collect()
    };
    let of_the_other_half = [calibrate::temperature(&half(1)), calibrate::temperature(&half(0))];
    let mut calibrated = Evaluator::of_network(&name, predictor.config());
    for (at, (id, prediction)) in outcome.held_out.iter().zip(kept).enumerate() {
        let case = run.dataset.read(id)?;
        let prediction = match prediction {
            Some(prediction) => prediction,
            None => predictor.predict_case(&case)?,
        };
        let reference = reference(id, case.label.as_ref(), classes, ignore)?;
        let prediction = prediction.at_temperature(of_the_other_half[at % 2]);
        score(&mut calibrated, id, &prediction, &reference)?;
        tell(observers, &Event::Predicted { id, done: total + at + 1, total: 2 * total })?;
    }

    let validation = Validation { raw: raw.finish(), calibrated: calibrated.finish(), fit };
    let folder = run.folder.validation();
    create_folder(&folder)?;
    write_json(&folder.join("raw.json"), &validation.raw)?;
    write_json(&folder.join("summary.json"), &validation.calibrated)?;
    write_json(&run.folder.calibration(), &validation.fit)?;
    let pictures = report::pictures(&predictor, run.dataset, &validation.calibrated)?;
    report::save_pictures(&folder.join("pictures.safetensors"), &pictures)?;
    let mut config = outcome.trained.config.clone();
    config.temperature = validation.fit.temperature;
    write_json(&config_path(run.folder.root()), &config)?;
    Ok(validation)
}

fn one(
    run: &Run<'_>,
    predictor: &Predictor,
    id: &str,
    classes: usize,
    ignore: Option<u16>,
) -> Result<(Prediction, Reference)> {
    let case = run.dataset.read(id)?;
    let reference = reference(id, case.label.as_ref(), classes, ignore)?;
    Ok((predictor.predict_case(&case)?, reference))
}

fn reference(
    id: &str,
    label: Option<&Label>,
    classes: usize,
    ignore: Option<u16>,
) -> Result<Reference> {
    let label = label.ok_or_else(|| {
        Error::Settings("it has no label to be scored against".to_owned()).in_case(id)
    })?;
    Reference::of(label, classes, ignore).map_err(|error| error.in_case(id))
}

fn score(
    evaluator: &mut Evaluator,
    id: &str,
    prediction: &Prediction,
    reference: &Reference,
) -> Result<()> {
    let probabilities = prediction.probabilities()?;
    evaluator
        .add(id, &prediction.labels()?, Some(&probabilities), reference)
        .map_err(|error| error.in_case(id))
}

/// Some voxels of a case on the network's grid, evenly spread over the neighbourhood of its
/// foreground, where confidence is not a foregone conclusion.
fn sample(
    run: &Run<'_>,
    predictor: &Predictor,
    id: &str,
    prediction: &Prediction,
) -> Result<Sample> {
    let classes = predictor.config().interface.classes;
    let case = run.dataset.read(id)?;
    let mut sample = Sample::new(classes);
    let Some(label) = &case.label else { return Ok(sample) };
    let mut rng = preprocess::rng(run.config.seed, 0, &format!("calibrate/{id}"));
    let fusion = preprocess::Fusion::Mean;
    let annotation = Some((label, classes, &fusion, &mut rng));
    let truth = predictor.plan().prepare(&case.image, annotation)?.truth;
    let Some(truth) = truth else { return Ok(sample) };
    let (weight, truth) = (truth.weight(classes), Truth::to_soft(&truth, classes));
    let voxels = neighbourhood(&truth);
    let stride = (voxels.len() / VOXELS_OF_A_CASE).max(1);
    let (mut logits, mut targets) = (vec![0.0; classes], vec![0.0; classes]);
    for &[z, y, x] in voxels.iter().step_by(stride) {
        if weight.as_ref().is_some_and(|weight| weight[[z, y, x]] <= 0.0) {
            continue;
        }
        for class in 0..classes {
            logits[class] = prediction.logits()[[class, z, y, x]];
            targets[class] = truth[[class, z, y, x]];
        }
        sample.push(&logits, &targets);
    }
    Ok(sample)
}

/// The voxels within ten of the foreground's bounding box; all where there is no foreground.
fn neighbourhood(truth: &Array4<f32>) -> Vec<[usize; 3]> {
    const MARGIN: usize = 10;
    let (_, d, h, w) = truth.dim();
    let size = [d, h, w];
    let (mut low, mut high) = (size, [0; 3]);
    for ((class, z, y, x), &probability) in truth.indexed_iter() {
        if class > 0 && probability > 0.0 {
            for (axis, at) in [z, y, x].into_iter().enumerate() {
                low[axis] = low[axis].min(at);
                high[axis] = high[axis].max(at + 1);
            }
        }
    }
    if high[0] == 0 {
        (low, high) = ([0; 3], size);
    }
    let range =
        |axis: usize| low[axis].saturating_sub(MARGIN)..(high[axis] + MARGIN).min(size[axis]);
    let mut voxels = Vec::new();
    for z in range(0) {
        for y in range(1) {
            voxels.extend(range(2).map(|x| [z, y, x]));
        }
    }
    voxels
}
