//! What a trained network is worth on the cases that it never saw.

use data::Case;
use preprocess::Fusion;

use crate::calibrate::{self, Calibration, CalibrationFit, LogitScaling, Sample};
use crate::evaluate::{EvaluateConfig, Evaluation, Evaluator, Reference, Scaling, Scalings};
use crate::file::{create_folder, write_json};
use crate::guard::guarded;
use crate::train::tell;
use crate::trained::config_path;
use crate::{
    Error, Event, LabelSpace, Observer, Outcome, PredictConfig, Prediction, Predictor, Result, Run,
    neighborhood, report,
};

/// Logits that are kept rather than computed twice, bytes.
const KEPT_LOGITS: usize = 1 << 30;

/// Voxels of a case that help to calibrate: more tell no more of so few numbers.
const VOXELS_OF_A_CASE: usize = 20_000;

/// The scores of a run's held-out cases, before and after calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// As the network says it.
    pub raw: Evaluation,
    /// With each half of the cases calibrated on the other half: see [`calibrate::fit`].
    pub calibrated: Evaluation,
    /// What was fitted to all of them, which goes into `config.json`.
    pub fit: CalibrationFit,
}

/// Predicts and scores the held-out cases of a run, calibrates it, and writes all of it into
/// the run's folder: `validation/raw.json`, `validation/summary.json`, pictures of the worst
/// cases, the median and the best one, `calibration.json`, and the scalings into `config.json`.
///
/// The calibrated scores are cross-fitted: what the logits of a case are scaled by was chosen
/// without it, and without any case of its [group](data::Dataset::group). Scores and scalings
/// say which weights they are of.
///
/// # Errors
///
/// Where a case cannot be read, predicted or scored, or a file cannot be written.
pub fn validate(
    run: &Run<'_>,
    outcome: &Outcome,
    observers: &mut [&mut dyn Observer],
) -> Result<Validation> {
    let kind = run.config.predict.calibration;
    let settings = PredictConfig { calibration: Calibration::None, ..run.config.predict.clone() };
    let predictor = Predictor::new(&outcome.trained, settings, run.device)?;
    let name = run.folder.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let space = LabelSpace::of(run.dataset.description())?;
    let held_out = HeldOut { run, predictor: &predictor, space: &space };
    let total = outcome.held_out.len();
    let mut raw = Evaluator::of_network(&name, predictor.config(), &EvaluateConfig::default());
    let (mut samples, mut kept, mut budget) = (Vec::new(), Vec::new(), KEPT_LOGITS);
    for (done, id) in outcome.held_out.iter().enumerate() {
        let (case, reference) = held_out.case(id)?;
        let prediction = predictor.predict_case(&case)?;
        raw.add_prediction(id, &prediction, &reference).map_err(|error| error.in_case(id))?;
        let sample = || held_out.sample(&case, &prediction).map_err(|error| error.in_case(id));
        samples.push(guarded(id, sample)?);
        let bytes = 4 * prediction.logits().len();
        if bytes <= budget {
            budget -= bytes;
            kept.push(Some(prediction));
        } else {
            kept.push(None);
        }
        tell(observers, &Event::Predicted { id, done: done + 1, total: 2 * total })?;
    }

    let ids = &outcome.held_out;
    let groups: Vec<&str> = ids.iter().map(|id| run.dataset.group(id)).collect();
    let weights = Some(outcome.trained.weights_hash()?);
    let fit = calibrate::fit(ids, &groups, &samples);
    let fit = CalibrationFit { weights: weights.clone(), ..fit };
    let scalings = Scalings::cross_fitted(&fit, kind, LogitScaling::default());
    let mut calibrated =
        Evaluator::of_network(&name, predictor.config(), &EvaluateConfig::default());
    for (at, (id, prediction)) in ids.iter().zip(kept).enumerate() {
        let (case, reference) = held_out.case(id)?;
        let prediction = match prediction {
            Some(prediction) => prediction,
            None => predictor.predict_case(&case)?,
        };
        let prediction = prediction.scaled(scalings.of(id));
        calibrated
            .add_prediction(id, &prediction, &reference)
            .map_err(|error| error.in_case(id))?;
        tell(observers, &Event::Predicted { id, done: total + at + 1, total: 2 * total })?;
    }

    let scaling = Some(Scaling::None);
    let provenance = run.folder.read_provenance()?;
    let raw = Evaluation { weights: weights.clone(), scaling, ..raw.finish() };
    let raw = raw.made_by(run.command, provenance.as_ref());
    let scaling = Some(scalings.source(ids));
    let calibrated = Evaluation { weights, scaling, ..calibrated.finish() };
    let calibrated = calibrated.made_by(run.command, provenance.as_ref());
    let validation = Validation { raw, calibrated, fit };
    let folder = run.folder.validation();
    create_folder(&folder)?;
    write_json(&folder.join("raw.json"), &validation.raw)?;
    write_json(&folder.join("summary.json"), &validation.calibrated)?;
    write_json(&run.folder.calibration(), &validation.fit)?;
    let pictures = report::pictures(&predictor, run.dataset, &scalings, &validation.calibrated)?;
    report::save_pictures(&folder.join("pictures.safetensors"), &pictures)?;
    let mut config = outcome.trained.config.clone();
    config.temperature = validation.fit.temperature;
    config.vector_scaling.clone_from(&validation.fit.vector);
    write_json(&config_path(run.folder.root()), &config)?;
    Ok(validation)
}

/// The held-out cases of a run.
struct HeldOut<'a> {
    run: &'a Run<'a>,
    predictor: &'a Predictor,
    space: &'a LabelSpace,
}

impl HeldOut<'_> {
    fn case(&self, id: &str) -> Result<(Case, Reference)> {
        let case = guarded(id, || Ok(self.run.dataset.read(id)?))?;
        let missing = || Error::Settings("it has no label to be scored against".to_owned());
        let label = case.label.as_ref().ok_or_else(|| missing().in_case(id))?;
        let ignore = self.run.dataset.description().ignore;
        let reference =
            Reference::of(label, self.space.labels(), ignore).map_err(|error| error.in_case(id))?;
        let labelled = self.run.dataset.labelled(id);
        Ok((case, reference.labelling(labelled)))
    }

    /// Some voxels of a case on the network's grid, evenly spread over the neighborhood of its
    /// foreground, where confidence is not a foregone conclusion.
    ///
    fn sample(&self, case: &Case, prediction: &Prediction) -> Result<Sample> {
        let space = self.space;
        let channels = space.channels();
        let mut sample = Sample::new(channels, space.activation());
        let Some(label) = &case.label else { return Ok(sample) };
        let mut rng = preprocess::rng(self.run.config.seed, 0, &format!("calibrate/{}", case.id));
        let annotation = Some((label, space.labels(), &Fusion::Mean, &mut rng));
        let truth = self.predictor.plan().prepare(&case.image, annotation)?.truth;
        let Some(truth) = truth else { return Ok(sample) };
        let (weight, truth) = (truth.weight(space.labels()), space.probabilities(&truth));
        let labelled = space.labelled(self.run.dataset.labelled(&case.id));
        let near = neighborhood::of_probabilities(&truth, space.foreground());
        let [d, h, w] = near.size();
        let stride = (d * h * w / VOXELS_OF_A_CASE).max(1);
        let (mut logits, mut targets) = (vec![0.0; channels], vec![0.0; channels]);
        for at in (0..d * h * w).step_by(stride) {
            let [z, y, x] = near.start;
            let (z, y, x) = (z + at / (h * w), y + at / w % h, x + at % w);
            if weight.as_ref().is_some_and(|weight| weight[[z, y, x]] <= 0.0) {
                continue;
            }
            for channel in 0..channels {
                logits[channel] = prediction.logits()[[channel, z, y, x]];
                let known = labelled.as_ref().is_none_or(|labelled| labelled[channel]);
                targets[channel] = if known { truth[[channel, z, y, x]] } else { f32::NAN };
            }
            sample.push(&logits, &targets);
        }
        Ok(sample)
    }
}
