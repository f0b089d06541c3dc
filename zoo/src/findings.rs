//! What is known of a network beyond its weights: only what is of these weights goes on a card.

use std::path::{Path, PathBuf};

use engine::calibrate::CalibrationFit;
use engine::evaluate::Evaluation;
use engine::file::read_versioned;
use engine::{RunFolder, Trained};

use crate::{Error, Result};

/// Scores and calibration, where the run has them.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) evaluation: Option<Evaluation>,
    /// The same before it was calibrated.
    pub(crate) raw: Option<Evaluation>,
    pub(crate) fit: Option<CalibrationFit>,
}

impl Findings {
    /// Those of a run, or the `other` evaluation in place of the run's own.
    ///
    /// # Errors
    ///
    /// [`Error::File`], where a file is damaged, or of other weights than these.
    pub(crate) fn of(run: &RunFolder, trained: &Trained, other: Option<&Path>) -> Result<Self> {
        let weights = trained.weights_hash()?;
        let evaluation = |path: &Path, remedy: &'static str| -> Result<Evaluation> {
            let found: Evaluation = read_versioned(path)?;
            of_these(path, found.weights.as_deref(), &weights, remedy)?;
            Ok(found)
        };
        let own = |name: &str| -> Result<Option<Evaluation>> {
            let path = run.validation().join(name);
            if path.exists() { Ok(Some(evaluation(&path, RESUME)?)) } else { Ok(None) }
        };
        let fit = run.read_calibration()?;
        if let Some(fit) = &fit {
            let path = run.calibration();
            of_these(&path, fit.weights.as_deref(), &weights, RESUME)?;
            let (fitted, used) = (fit.temperature, trained.config.temperature);
            if fitted.to_bits() != used.to_bits() {
                let what = format!("its temperature is {fitted}, but config.json has {used}");
                return Err(refused(path, &what, RESUME));
            }
            if fit.vector != trained.config.vector_scaling {
                let what = "its weights and biases of classes are not those of config.json";
                return Err(refused(path, what, RESUME));
            }
        }
        let (evaluation, raw) = match other {
            Some(path) => (Some(evaluation(path, EVALUATE)?), None),
            None => (own("summary.json")?, own("raw.json")?),
        };
        Ok(Self { evaluation, raw, fit })
    }
}

/// What helps where a run was cut off between its weights and their scores.
const RESUME: &str = "score the run anew: repeat its `sconce train` with --resume";

const EVALUATE: &str = "give what `sconce evaluate --model RUN --data DIR --output FILE` writes";

/// That a file is of the weights that are packed.
fn of_these(path: &Path, found: Option<&str>, weights: &str, remedy: &str) -> Result<()> {
    match found {
        Some(found) if found == weights => Ok(()),
        Some(_) => {
            Err(refused(path.to_owned(), "it is of other weights than model.safetensors", remedy))
        }
        None => Err(refused(path.to_owned(), "it does not say which weights it is of", remedy)),
    }
}

fn refused(path: PathBuf, what: &str, remedy: &str) -> Error {
    Error::File { path, reason: format!("{what}; {remedy}") }
}
