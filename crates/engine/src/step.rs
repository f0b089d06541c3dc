//! One step of training.

use candle::{DType, Tensor};
use models::{Input, Model};
use nn::{Gradients, Optimizer, Parameters, Work, working_at};

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
    let dtype = batch.images.dtype();
    let (loss, mut gradients) =
        gradients_of(model, parameters, supervision, batch, progress, (dtype, 1.0))?;
    let gradient_norm = clipped(&mut gradients, clip)?;
    if !loss.is_finite() || !gradient_norm.is_finite() {
        let cases = batch.ids.clone();
        return Err(Error::NotFinite { step: progress.step, loss, gradient_norm, cases });
    }
    optimizer.step(parameters, &gradients, &learning_rate.into())?;
    Ok(StepOutcome { loss, gradient_norm })
}

/// The loss of a batch, and its gradient: that of the loss times `scale`, computed on images of type `dtype`.
pub(crate) fn gradients_of(
    model: &dyn Model,
    parameters: &Parameters,
    supervision: &dyn Supervision,
    batch: &Batch,
    progress: Progress,
    (dtype, scale): (DType, f64),
) -> Result<(f64, Gradients)> {
    // The graph, and with it every activation, ends with this function.
    let images = batch.images.to_dtype(dtype)?;
    let logits = model.forward_t(&Input::images(images), true)?;
    let total = working_at(Work::Loss, || {
        objective(&supervision.terms(batch, &logits, progress)?, &logits)
    })?;
    let loss = scalar(&total)?;
    #[expect(clippy::float_cmp, reason = "it is 1, or it is not")]
    let total = if scale == 1.0 { total } else { (total * scale)? };
    Ok((loss, parameters.gradients(&total)?))
}

/// The norm of gradients, which are clipped to `limit`.
pub(crate) fn clipped(gradients: &mut Gradients, limit: Option<f64>) -> Result<f64> {
    Ok(match limit {
        Some(limit) => nn::clip_grad_norm(gradients, limit)?,
        None => gradients.norm()?,
    })
}

/// The weighted sum of all terms, of which there must be one at least.
fn objective(terms: &[Term<'_>], logits: &models::Logits) -> Result<Tensor> {
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
pub(crate) fn weighted_sum(terms: &[Term<'_>], logits: &models::Logits) -> Result<Option<Tensor>> {
    let mut total: Option<Tensor> = None;
    for term in terms {
        let Some(head) = logits.get(term.head) else { continue };
        #[expect(clippy::float_cmp, reason = "settings are exact")]
        let logits = if term.temperature == 1.0 { head } else { &(head / term.temperature)? };
        let value = (term.target.loss(term.loss.as_ref(), logits)? * term.weight)?;
        total = Some(match total {
            Some(total) => (total + value)?,
            None => value,
        });
    }
    Ok(total)
}

pub(crate) fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.to_scalar::<f64>()?)
}
