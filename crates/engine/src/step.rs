//! One step of training, and its counterpart without learning.

use models::{Input, Model};
use nn::{Gradients, Optimizer, Parameters};

use crate::supervise::{Progress, Supervision, Term};
use crate::{Batch, Error, Result};

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// The loss of the batch.
    pub loss: f64,
    /// The norm of all gradients, before clipping.
    pub gradient_norm: f64,
}

/// Moves the parameters against the gradient of one batch.
///
/// # Errors
///
/// [`Error::NotFinite`], where the loss or a gradient is not finite: then no parameter has moved.
#[expect(clippy::too_many_arguments, reason = "a step is where all parts of a run meet")]
pub fn step(
    model: &dyn Model,
    parameters: &Parameters,
    optimizer: &mut dyn Optimizer,
    supervision: &dyn Supervision,
    batch: &Batch,
    progress: Progress,
    clip: Option<f64>,
    learning_rate: f64,
) -> Result<StepOutcome> {
    let (loss, mut gradients) = {
        // The graph, and with it every activation, ends with this block.
        let logits = model.forward_t(&Input::images(batch.images.clone()), true)?;
        let total = objective(&supervision.terms(batch, &logits, progress)?, &logits)?;
        let loss = scalar(&total)?;
        let gradients = parameters.gradients(&total)?;
        (loss, gradients)
    };
    let gradient_norm = norm(&mut gradients, clip)?;
    if !loss.is_finite() || !gradient_norm.is_finite() {
        let cases = batch.ids.clone();
        return Err(Error::NotFinite { step: progress.step, loss, gradient_norm, cases });
    }
    optimizer.step(parameters, &gradients, learning_rate)?;
    Ok(StepOutcome { loss, gradient_norm })
}

fn norm(gradients: &mut Gradients, clip: Option<f64>) -> Result<f64> {
    Ok(match clip {
        Some(limit) => nn::clip_grad_norm(gradients, limit)?,
        None => gradients.norm()?,
    })
}

/// The weighted sum of all terms, of which there must be one at least.
fn objective(terms: &[Term<'_>], logits: &models::Logits) -> Result<candle::Tensor> {
    if let Some(term) = terms.iter().find(|term| logits.get(term.head).is_none()) {
        return Err(Error::Settings(format!(
            "the network has no head {}, which is supervised",
            term.head
        )));
    }
    let nothing = || Error::Settings("nothing supervises the network".to_owned());
    weighted_sum(terms, logits)?.ok_or_else(nothing)
}

/// The weighted sum of those terms whose heads are there; `None` where there is no such term.
pub(crate) fn weighted_sum(
    terms: &[Term<'_>],
    logits: &models::Logits,
) -> Result<Option<candle::Tensor>> {
    let mut total: Option<candle::Tensor> = None;
    for term in terms {
        let Some(head) = logits.get(term.head) else { continue };
        #[expect(clippy::float_cmp, reason = "settings are exact")]
        let logits = if term.temperature == 1.0 { head } else { &(head / term.temperature)? };
        let value = (term.loss.forward(logits, &term.target)? * term.weight)?;
        total = Some(match total {
            Some(total) => (total + value)?,
            None => value,
        });
    }
    Ok(total)
}

pub(crate) fn scalar(tensor: &candle::Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(candle::DType::F64)?.to_scalar::<f64>()?)
}
