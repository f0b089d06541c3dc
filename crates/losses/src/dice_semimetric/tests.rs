use candle::{DType, Device};

use super::*;
use crate::Dice;

fn of(loss: &DiceSemimetric, target: &Target) -> anyhow::Result<f64> {
    // p of either class is 0.5, in two samples of four voxels.
    let logits = Tensor::zeros((2, 2, 4), DType::F64, &Device::Cpu)?;
    Ok(loss.forward(&logits, target)?.to_scalar()?)
}

/// Class 1 fills half of the first sample, and is absent from the second.
fn half_and_none() -> anyhow::Result<Target> {
    Ok(Target::hard(Tensor::new(&[[1u32, 1, 0, 0], [0, 0, 0, 0]], &Device::Cpu)?))
}

fn exact() -> DiceSemimetric {
    DiceSemimetric { smooth: NonNegative::literal(0.0), ..DiceSemimetric::default() }
}

#[test]
fn each_mean_is_over_active_classes() -> anyhow::Result<()> {
    let target = half_and_none()?;
    let only = |batch, image, class| DiceSemimetric {
        batch: NonNegative::literal(batch),
        image: NonNegative::literal(image),
        class: NonNegative::literal(class),
        ..exact()
    };

    // 1 − 2 Σ min / (Σp + Σt): batch 1 − 6/10 and 1 − 2/6; samples 1/2, 1/2; 1 − 4/6, inactive.
    let batch = f64::midpoint(0.4, 2. / 3.);
    approx::assert_abs_diff_eq!(of(&only(1., 0., 0.), &target)?, batch, epsilon = 1e-15);
    let image = f64::midpoint(0.5, 1. / 3.);
    approx::assert_abs_diff_eq!(of(&only(0., 1., 0.), &target)?, image, epsilon = 1e-15);
    let class = f64::midpoint(f64::midpoint(0.5, 1. / 3.), 0.5);
    approx::assert_abs_diff_eq!(of(&only(0., 0., 1.), &target)?, class, epsilon = 1e-15);
    let mixed = batch + 2. * class;
    approx::assert_abs_diff_eq!(of(&only(1., 0., 2.), &target)?, mixed, epsilon = 1e-15);
    Ok(())
}

#[test]
fn the_jaccard_metric_loss_is_its_alpha_and_beta_of_one() -> anyhow::Result<()> {
    let one = NonNegative::literal(1.0);
    let jaccard = DiceSemimetric { alpha: one, beta: one, ..exact() };

    // 1 − Σ min / Σ max: background 1 − 3/7, foreground 1 − 1/5.
    let expected = f64::midpoint(4. / 7., 0.8);
    approx::assert_abs_diff_eq!(of(&jaccard, &half_and_none()?)?, expected, epsilon = 1e-15);
    Ok(())
}

#[test]
fn on_hard_labels_it_is_the_dice_loss() -> anyhow::Result<()> {
    let logits = Tensor::new(&[[[1f64, 2., -1., 0.5], [0., 1., 1., 0.]]], &Device::Cpu)?;
    let target = Target::hard(Tensor::new(&[[1u32, 1, 0, 0]], &Device::Cpu)?);

    let semimetric = DiceSemimetric::default().forward(&logits, &target)?.to_scalar::<f64>()?;
    let dice = Dice { smooth: NonNegative::literal(2e-3), ..Dice::default() };

    let dice = dice.forward(&logits, &target)?.to_scalar::<f64>()?;
    approx::assert_abs_diff_eq!(semimetric, dice, epsilon = 1e-15);
    Ok(())
}

#[test]
fn without_an_active_class_there_is_no_cost() -> anyhow::Result<()> {
    let target = half_and_none()?.with_weight(Tensor::zeros((2, 4), DType::F64, &Device::Cpu)?);
    let loss = DiceSemimetric { image: NonNegative::literal(1.0), ..exact() };

    assert_eq!(of(&loss, &target)?.to_bits(), 0);
    Ok(())
}
