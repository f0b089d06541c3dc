use candle::{DType, Result, Tensor};

use super::{activate, softmax};
use crate::{Act, ClassActivation, ClassLabels, ClassSums, Summand};

/// See [`class_sums`](crate::class_sums()).
pub(crate) fn class_sums(
    logits: &Tensor,
    labels: &ClassLabels,
    weight: Option<&Tensor>,
    settings: &ClassSums,
) -> Result<Tensor> {
    let logits = &settings.tempered(logits)?;
    let dtype = logits.dtype();
    let t = match labels {
        ClassLabels::Indices(indices) => {
            let mut shape = vec![1; logits.rank()];
            shape[1] = logits.dim(1)?;
            let classes = u32::try_from(shape[1]).map_err(candle::Error::wrap)?;
            let range = Tensor::arange(0, classes, logits.device())?.reshape(shape)?;
            let indices = indices.to_dtype(DType::U32)?.unsqueeze(1)?;
            indices.broadcast_eq(&range)?.to_dtype(dtype)?
        }
        ClassLabels::Shares(shares) => shares.to_dtype(dtype)?,
    };
    let clip = |p: Tensor| -> Result<Tensor> {
        if settings.clip > 0.0 { p.clamp(settings.clip, 1.0 - settings.clip) } else { Ok(p) }
    };
    let logarithm = |log: Tensor| -> Result<Tensor> {
        if settings.clip > 0.0 { clip(log.exp()?)?.log() } else { Ok(log) }
    };
    let log_p = match settings.activation {
        ClassActivation::Softmax => softmax(logits, 1, true)?,
        ClassActivation::Sigmoid => activate(logits, Act::LogSigmoid)?,
    };
    let p = || clip(log_p.exp()?);
    let terms = match settings.of {
        Summand::Overlap { squared } => {
            let p = p()?;
            let shared = (&p * &t)?;
            if squared { vec![shared, p.sqr()?, t.sqr()?] } else { vec![shared, p, t] }
        }
        Summand::Difference { exponent } => {
            let p = p()?;
            let apart = (&p - &t)?;
            // With a slope of 0 at 0, where candle's `abs` has 1.
            let size = (&apart * apart.sign()?.detach())?;
            vec![power(&p, exponent)?, power(&t, exponent)?, power(&size, exponent)?]
        }
        Summand::Errors { exponent } => {
            let p = p()?;
            let shared = (&p * &t)?;
            let wrong = power(&(&p - &shared)?, exponent)?;
            let missed = power(&(&t - &shared)?, exponent)?;
            let left = ((1.0 - t)? * (1.0 - p)?)?;
            vec![shared, wrong, missed, left]
        }
        Summand::CrossEntropy => {
            let always = logarithm(log_p)?.neg()?;
            let never = match settings.activation {
                ClassActivation::Softmax => always.zeros_like()?,
                ClassActivation::Sigmoid => {
                    logarithm(activate(&logits.neg()?, Act::LogSigmoid)?)?.neg()?
                }
            };
            vec![(&t * &always)?, always, ((1.0 - t)? * &never)?, never]
        }
        Summand::Divergence => {
            let floor = if dtype == DType::F64 { 1e-150 } else { 1e-18 };
            let log_t = t.maximum(floor)?.log()?;
            vec![(&t * (log_t - logarithm(log_p)?)?)?]
        }
        Summand::Focal { exponent, gamma } => {
            let p = p()?;
            let not_p = (1.0 - &p)?;
            let cost = (&t * logarithm(log_p)?)?.neg()?;
            let wrong = power(&((1.0 - &t)? * &p)?, exponent)?;
            let missed = (&t * power(&not_p, exponent)?)?;
            let focal = (power(&not_p, gamma)? * &cost)?;
            vec![(p * t)?, wrong, missed, cost, focal]
        }
    };
    let weight = match weight {
        Some(weight) => Some(weight.to_dtype(dtype)?.unsqueeze(1)?),
        None => None,
    };
    let sum = |values: Tensor| -> Result<Tensor> {
        let values = match &weight {
            Some(weight) => values.broadcast_mul(weight)?,
            None => values,
        };
        // One trailing axis: the shape for which candle's sum is fast.
        values.flatten_from(2)?.sum(2)
    };
    let sums = terms.into_iter().map(sum).collect::<Result<Vec<_>>>()?;
    Tensor::stack(&sums, 0)
}

/// `x^exponent` for `x ≥ 0`; exponents below 1 have an infinite slope at 0, and rounding may bring `x`
/// below 0: below a floor the power is 0, with a gradient of 0.
#[expect(clippy::float_cmp, reason = "settings are exact")]
fn power(x: &Tensor, exponent: f64) -> Result<Tensor> {
    let floor = if x.dtype() == DType::F64 { 1e-150 } else { 1e-18 };
    if exponent == 0.0 {
        x.ones_like()
    } else if exponent == 1.0 {
        Ok(x.clone())
    } else if exponent == 2.0 {
        x.sqr()
    } else {
        let above = x.detach().gt(floor)?.to_dtype(x.dtype())?;
        x.maximum(floor)?.powf(exponent)? * above
    }
}
