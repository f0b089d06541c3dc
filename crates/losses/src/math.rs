//! Powers, magnitudes and quotients that never become NaN, and whose gradients do not either.

use candle::{DType, Tensor};

use crate::Result;

/// So small that no sum of voxels is, and large enough that its square is not 0.
pub(crate) fn floor(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-150 } else { 1e-18 }
}

/// `x^exponent` for `x ≥ 0`.
///
/// Exponents below 1 have an infinite slope at 0, and rounding may bring `x` below 0: both end at
/// a floor, with a gradient of 0.
pub(crate) fn power(x: &Tensor, exponent: f64) -> Result<Tensor> {
    #[expect(clippy::float_cmp, reason = "settings are exact")]
    if exponent == 0.0 {
        Ok(x.ones_like()?)
    } else if exponent == 1.0 {
        Ok(x.clone())
    } else if exponent == 2.0 {
        Ok(x.sqr()?)
    } else {
        Ok(x.maximum(floor(x.dtype()))?.powf(exponent)?)
    }
}

/// `|x|` with a slope of 0 at 0, where candle's `abs` has 1.
pub(crate) fn magnitude(x: &Tensor) -> Result<Tensor> {
    Ok((x * x.sign()?.detach())?)
}

/// `numerator / denominator`, where a denominator of 0 counts as a tiny one.
pub(crate) fn quotient(numerator: &Tensor, denominator: &Tensor) -> Result<Tensor> {
    Ok((numerator / denominator.maximum(floor(denominator.dtype()))?)?)
}

/// `p` kept `margin` away from 0 and 1; the gradient beyond is 0.
pub(crate) fn clip(p: Tensor, margin: f64) -> Result<Tensor> {
    if margin > 0.0 { Ok(p.clamp(margin, 1.0 - margin)?) } else { Ok(p) }
}

/// `ln p` of probabilities kept `margin` away from 0 and 1, given `ln p`.
pub(crate) fn clip_log(log_p: Tensor, margin: f64) -> Result<Tensor> {
    if margin > 0.0 { Ok(clip(log_p.exp()?, margin)?.log()?) } else { Ok(log_p) }
}

#[cfg(test)]
mod tests {
    use candle::{Device, Var};

    use super::*;

    #[test]
    fn roots_of_zero_and_of_rounding_errors_are_flat() -> anyhow::Result<()> {
        let x = Var::new(&[-1e-17f64, 0., 0.25], &Device::Cpu)?;

        let y = power(&x, 0.5)?;
        let slope = y.sum_all()?.backward()?;

        assert!(y.to_vec1::<f64>()?.into_iter().all(|y| (0.0..=0.5).contains(&y)));
        assert_eq!(slope.get(&x).unwrap().to_vec1::<f64>()?, [0., 0., 1.]);
        Ok(())
    }

    #[test]
    fn a_magnitude_is_flat_at_zero() -> anyhow::Result<()> {
        let x = Var::new(&[-2f64, 0., 3.], &Device::Cpu)?;

        let y = magnitude(&x)?;
        let slope = y.sum_all()?.backward()?;

        assert_eq!(y.to_vec1::<f64>()?, [2., 0., 3.]);
        assert_eq!(slope.get(&x).unwrap().to_vec1::<f64>()?, [-1., 0., 1.]);
        Ok(())
    }

    #[test]
    fn nothing_divided_by_nothing_is_nothing() -> anyhow::Result<()> {
        let zero = Tensor::zeros(1, DType::F32, &Device::Cpu)?;

        assert_eq!(quotient(&zero, &zero)?.to_vec1::<f32>()?, [0.]);
        Ok(())
    }
}
