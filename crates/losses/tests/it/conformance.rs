//! What every row of the table satisfies, with its default settings and with sigmoid.

mod batch;
mod invariance;
mod stability;

use anyhow::Result;
use candle::{DType, Tensor, Var};
use nn::Leaf;
use sconce_losses::{Activation, Loss, LossConfig, Target};

use batch::{Batch, agree, kinds, value, with_maps};

use crate::device::{dtype, floats, values};

#[test]
fn gradient_agrees_with_central_differences() -> Result<()> {
    // Of the difference, single precision leaves few digits.
    let (step, tolerance) = if dtype() == DType::F64 { (1e-5, 1e-8) } else { (1e-2, 2e-3) };
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let var = Var::from_tensor(&logits)?;
        let gradient = loss.forward(&var, &target)?.backward()?;
        let gradient = values(gradient.get(&var).unwrap())?;
        let flat = values(&logits)?;
        for at in [0, 7, 59, 60, 119] {
            let shifted = |by: f64| -> Result<f64> {
                let mut flat = flat.clone();
                flat[at] += by;
                value(&loss, &floats(&flat, logits.dims())?, &target)
            };
            let expected = (shifted(step)? - shifted(-step)?) / (2.0 * step);
            agree(gradient[at], expected, tolerance, &name);
        }
    }
    Ok(())
}

#[test]
fn a_leaf_is_left_the_gradient_that_candle_computes() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let logits = logits.to_dtype(DType::F32)?;
        // Beside a reader whose gradient comes by way of candle, and one more of its own kind.
        let all = |logits: &Tensor| -> Result<Tensor> {
            let loss = (loss.forward(logits, &target)? + loss.forward(logits, &target)?)?;
            Ok((loss + logits.sqr()?.mean_all()?)?)
        };
        let var = Var::from_tensor(&logits)?;
        let expected = all(&var)?.backward()?;
        let expected = values(expected.get(&var).unwrap())?;

        let leaf = Leaf::new(&logits)?;
        for _ in 0..2 {
            let gradients = all(leaf.values())?.backward()?;
            let gradient = values(&leaf.take_gradient(&gradients)?.unwrap())?;

            for (actual, expected) in gradient.iter().zip(&expected) {
                agree(*actual, *expected, 1e-6, &name);
            }
        }
    }
    Ok(())
}

#[test]
fn one_hot_soft_labels_and_regions_cost_what_hard_labels_cost() -> Result<()> {
    for (name, loss) in kinds()? {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let one_hot = target.probabilities(&logits)?;
        let hard = value(&loss, &logits, &target)?;

        let regions = with_maps(Target::regions(one_hot.to_dtype(DType::U8)?), &[4, 5])?;
        agree(value(&loss, &logits, &regions)?, hard, 1e-14, &name);
        // Which classes are active may be set for hard and soft labels apart: here all are.
        let soft = value(&loss, &logits, &with_maps(Target::soft(one_hot), &[4, 5])?)?;
        agree(soft, hard, 1e-14, &name);
    }
    Ok(())
}

#[test]
fn soft_targets_are_taken_or_refused_as_the_loss_says() -> Result<()> {
    for loss in LossConfig::defaults() {
        let Batch { logits, target } = Batch::of(&[4, 5])?;
        let soft = with_maps(Target::soft(target.probabilities(&logits)?), &[4, 5])?;

        let outcome = loss.forward(&logits, &soft);

        if loss.soft_label_ready() {
            assert!(outcome.is_ok(), "{}", loss.name());
        } else {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains("allow_soft = true"), "{}: {error}", loss.name());
        }
    }
    Ok(())
}

#[test]
fn predicting_a_soft_target_is_a_minimum_where_the_loss_says_so() -> Result<()> {
    for loss in LossConfig::defaults().into_iter().filter(LossConfig::soft_label_ready) {
        let Batch { logits, .. } = Batch::of(&[4, 5])?;
        let soft = candle_nn::ops::softmax(&logits, 1)?;
        let target = with_maps(Target::soft(soft.clone()), &[4, 5])?;
        let least = value(&loss, &soft.log()?, &target)?;

        for (seed, size) in [(1.0, 0.1), (2.0, 0.1), (3.0, 1.0)] {
            let aside = ((&logits * seed)?.sin()? * size)?;
            let there = value(&loss, &(soft.log()? + aside)?, &target)?;
            assert!(there > least, "{}: {there} is not above {least}", loss.name());
        }
    }
    Ok(())
}

#[test]
fn every_kind_suits_the_activation_that_it_is_set_to_and_no_other() -> Result<()> {
    for (name, loss) in kinds()? {
        let text = toml::to_string(&loss)?;
        let sigmoid = text.contains("activation = \"sigmoid\"");
        let (own, other) = if sigmoid {
            (Activation::Sigmoid, Activation::Softmax)
        } else {
            (Activation::Softmax, Activation::Sigmoid)
        };
        // What a blob loss has within is of two classes.
        let is_whole = !name.starts_with("blob");
        let without_background = is_whole && sigmoid && text.contains("include_background = false");
        assert_eq!(loss.suits(own).is_ok(), !without_background, "{name}");
        let error = loss.suits(other).unwrap_err().to_string();
        assert!(error.contains(loss.name()) && error.contains("activation"), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn a_sum_names_the_term_and_the_setting_that_do_not_suit() -> Result<()> {
    let sum: LossConfig = toml::from_str(
        "[[sum.terms]]
         weight = 1.0
         loss.cross_entropy = { activation = \"sigmoid\" }
         [[sum.terms]]
         weight = 1.0
         loss.dice = { activation = \"sigmoid\", include_background = false }",
    )?;

    let refusal = |activation| sum.suits(activation).unwrap_err().to_string();

    assert_eq!(
        refusal(Activation::Softmax),
        "sum.terms[0].loss.cross_entropy.activation is \"sigmoid\", but classes exclude each other; \
         set it to \"softmax\""
    );
    assert_eq!(
        refusal(Activation::Sigmoid),
        "sum.terms[1].loss.dice.include_background is false, but the first region is no background; \
         set it to true"
    );
    Ok(())
}
