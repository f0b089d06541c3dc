//! What is known to be wrong upstream, so that a release which mends it is noticed.

use anyhow::Result;
use candle::{Device, Tensor, Var};

#[test]
fn candle_bce_with_logits_is_not_a_number_for_confident_logits() -> Result<()> {
    let logits = Tensor::new(&[[-200f32, 200.]], &Device::Cpu)?;
    let target = Tensor::new(&[[0f32, 1.]], &Device::Cpu)?;

    let loss = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &target)?;

    assert!(loss.to_scalar::<f32>()?.is_nan());
    Ok(())
}

#[test]
fn candle_abs_has_a_slope_of_one_at_zero() -> Result<()> {
    let x = Var::new(&[0f32], &Device::Cpu)?;

    let slope = x.abs()?.backward()?;

    assert_eq!(slope.get(&x).unwrap().to_vec1::<f32>()?, [1.]);
    Ok(())
}
