//! Values and gradients are finite wherever the logits are.

use anyhow::Result;
use candle::{DType, Tensor, Var};
use sconce_losses::{Loss, LossConfig, Target};

use super::batch::{Batch, agree, kinds, with_maps};
use crate::device::{self, device};

fn assert_finite(name: &str, loss: &LossConfig, logits: &Tensor, target: &Target) -> Result<()> {
    let var = Var::from_tensor(logits)?;
    let value = loss.forward(&var, target)?;
    let gradient = value.backward()?;
    let value = device::value(&value)?;
    assert!(value.is_finite(), "{name} is {value}");
    let Some(gradient) = gradient.get(&var) else { return Ok(()) };
    let gradient = device::values(gradient)?;
    assert!(gradient.iter().all(|slope| slope.is_finite()), "{name} has slopes {gradient:?}");
    Ok(())
}

#[test]
fn saturated_logits_stay_finite_in_single_precision() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let target = Target::hard(target.probabilities(&logits)?.argmax(1)?);
        let target = with_maps(target, &[4, 5])?;
        let one_hot = target.probabilities(&logits)?;
        let right = (one_hot - 0.5)?;
        for logits in [logits, right.clone(), right.neg()?] {
            for factor in [1e-4, 30.0, 1e4] {
                let logits = (logits.to_dtype(DType::F32)? * factor)?;
                assert_finite(&format!("{name} × {factor}"), &loss, &logits, &target)?;
            }
        }
    }
    Ok(())
}

#[test]
fn absent_and_full_classes_stay_finite() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, .. } = Batch::of(&[4, 5])?;
        for class in [0u32, 2] {
            let target = Target::hard(Tensor::full(class, (2, 4, 5), &device())?);
            let target = with_maps(target, &[4, 5])?;
            for factor in [1.0, 1e4] {
                let logits = (logits.to_dtype(DType::F32)? * factor)?;
                let name = format!("{name} of class {class} × {factor}");
                assert_finite(&name, &loss, &logits, &target)?;
            }
        }
        let nothing = Target::regions(Tensor::zeros((2, 3, 4, 5), DType::U8, &device())?);
        let nothing = with_maps(nothing, &[4, 5])?;
        let logits = logits.to_dtype(DType::F32)?;
        assert_finite(&format!("{name} of nothing"), &loss, &logits, &nothing)?;
    }
    Ok(())
}

#[test]
fn a_batch_in_which_every_voxel_is_ignored_stays_finite() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let target = target.with_weight(Tensor::zeros((2, 4, 5), DType::F32, &device())?);
        for factor in [1.0, 1e4] {
            let logits = (logits.to_dtype(DType::F32)? * factor)?;
            assert_finite(&format!("{name}, all ignored"), &loss, &logits, &target)?;
        }
    }
    Ok(())
}

#[test]
fn logits_of_half_precision_are_summed_in_single_precision() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        for dtype in [DType::F16, DType::BF16] {
            let logits = logits.to_dtype(dtype)?;
            let value = loss.forward(&logits, &target)?;
            assert_eq!(value.dtype(), DType::F32, "{name}");
            let same = loss.forward(&logits.to_dtype(DType::F32)?, &target)?;
            agree(value.to_scalar::<f32>()?.into(), same.to_scalar::<f32>()?.into(), 0.0, &name);
        }
    }
    Ok(())
}
