//! Classes that some samples do not label.

use anyhow::Result;
use candle::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use sconce_losses::{Loss as _, LossConfig, Target};

/// Losses of classes that are decided each by itself.
fn losses() -> Vec<LossConfig> {
    let all = [
        "[cross_entropy]",
        "[dice]",
        "[dice]\npool_batch = true",
        "[dice_semimetric]",
        "[tversky]",
        "[focal]",
    ];
    let sum = "[[sum.terms]]\nweight = 1.0\nloss.cross_entropy = { activation = \"sigmoid\" }\n\
               [[sum.terms]]\nweight = 0.5\nloss.dice = { activation = \"sigmoid\" }";
    let sigmoid = all.map(|text| format!("{text}\nactivation = \"sigmoid\""));
    let all = sigmoid.iter().map(String::as_str).chain([sum]);
    all.map(|text| toml::from_str(text).expect(text)).collect()
}

const SHAPE: (usize, usize, usize) = (3, 4, 5);

fn numbers(seed: f64) -> Vec<f64> {
    (0..60).map(|at| 3.0 * (seed + f64::from(at) * 1.7).sin()).collect()
}

fn tensor(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::from_vec(values.to_vec(), SHAPE, &Device::Cpu)?)
}

fn target(labelled: &[Vec<bool>]) -> Result<Target> {
    let masks = tensor(&numbers(0.4))?.gt(0f64)?.to_dtype(DType::U8)?;
    Ok(Target::regions(masks).with_labelled(labelled.to_vec())?)
}

fn labelled() -> impl Strategy<Value = Vec<Vec<bool>>> {
    prop::collection::vec(prop::collection::vec(any::<bool>(), SHAPE.1), SHAPE.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_not_labelled_makes_no_difference_and_has_no_gradient(
        labelled in labelled(), seed in 0.0..9.0f64, other in 0.0..9.0f64,
    ) {
        check(&labelled, seed, other).unwrap();
    }
}

fn check(labelled: &[Vec<bool>], seed: f64, other: f64) -> Result<()> {
    let (own, others) = (numbers(seed), numbers(other));
    let known = |at: usize| labelled[at / 20][at / 5 % 4];
    let changed: Vec<f64> =
        (0..60).map(|at| if known(at) { own[at] } else { others[at] }).collect();
    for loss in losses() {
        let target = target(labelled)?;
        let var = Var::from_tensor(&tensor(&own)?)?;
        let cost = target.loss(&loss, &var)?;
        let gradient = cost.backward()?;
        let gradient = gradient.get(&var).map(|it| it.flatten_all()?.to_vec1::<f64>());
        let gradient = gradient.transpose()?.unwrap_or_else(|| vec![0.0; 60]);

        let same = target.loss(&loss, &tensor(&changed)?)?.to_scalar::<f64>()?;

        let cost = cost.to_scalar::<f64>()?;
        assert_eq!(cost.to_bits(), same.to_bits(), "{}", loss.name());
        for (at, slope) in gradient.iter().enumerate().filter(|(at, _)| !known(*at)) {
            assert_eq!(slope.abs().to_bits(), 0, "{} at {at}", loss.name());
        }
        for at in [0, 17, 33, 59] {
            let shifted = |by: f64| -> Result<f64> {
                let mut values = own.clone();
                values[at] += by;
                Ok(target.loss(&loss, &tensor(&values)?)?.to_scalar()?)
            };
            let expected = (shifted(1e-5)? - shifted(-1e-5)?) / 2e-5;
            approx::assert_abs_diff_eq!(gradient[at], expected, epsilon = 1e-7);
        }
    }
    Ok(())
}

#[test]
fn each_sample_counts_alike_and_costs_what_it_costs_alone() -> Result<()> {
    let labelled = [[true, false, false, true], [false, true, true, true], [false; 4]];
    let labelled = labelled.map(|of_sample| of_sample.to_vec());
    let logits = tensor(&numbers(2.0))?;
    let masks = tensor(&numbers(0.4))?.gt(0f64)?.to_dtype(DType::U8)?;
    for loss in losses() {
        let found = target(&labelled)?.loss(&loss, &logits)?.to_scalar::<f64>()?;

        let mut expected = 0.0;
        for (sample, labelled) in labelled.iter().enumerate().take(2) {
            let classes: Vec<u32> = (0..4).filter(|&class| labelled[class as usize]).collect();
            let classes = Tensor::new(classes, &Device::Cpu)?;
            let part =
                |all: &Tensor| all.narrow(0, sample, 1)?.contiguous()?.index_select(&classes, 1);
            let alone = loss.forward(&part(&logits)?, &Target::regions(part(&masks)?))?;
            expected += alone.to_scalar::<f64>()? / 3.0;
        }
        approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-12);
    }
    Ok(())
}

#[test]
fn weights_and_coarser_resolutions_go_along() -> Result<()> {
    let weight = Tensor::new(&[[1f64, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]], &Device::Cpu)?;
    let masks =
        Tensor::new(&[[[1u8, 1, 0, 0], [0, 1, 1, 0]], [[0, 0, 1, 1], [1, 0, 0, 1]]], &Device::Cpu)?;
    let labelled = vec![vec![true, false], vec![true, true]];
    let whole = Target::regions(masks).with_weight(weight);
    let target = whole.clone().with_labelled(labelled.clone())?.at_resolution(&[2])?;

    assert_eq!(target.labelled(), Some(&labelled[..]));
    let logits =
        Tensor::new(&[[[0.3f64, -1.0], [2.0, 0.1]], [[0.5, 0.2], [-0.7, 1.1]]], &Device::Cpu)?;
    for loss in losses() {
        assert!(target.loss(&loss, &logits)?.to_scalar::<f64>()?.is_finite());
    }
    // All that is labelled is no part.
    assert!(whole.with_labelled(vec![vec![true; 2]; 2])?.labelled().is_none());
    Ok(())
}

#[test]
fn what_takes_the_unknown_for_absent_is_refused() -> Result<()> {
    let logits = tensor(&numbers(2.0))?;
    let partial = target(&[vec![true; 4], vec![false; 4], vec![true; 4]])?;
    for loss in losses() {
        let error = loss.forward(&logits, &partial).unwrap_err().to_string();
        assert!(error.contains("Target::loss"), "{}: {error}", loss.name());
    }
    let hard = Target::hard(Tensor::zeros((3, 5), DType::U32, &Device::Cpu)?);
    assert!(hard.with_labelled(vec![vec![true, false]; 3]).is_err());
    let masks = Tensor::zeros(SHAPE, DType::U8, &Device::Cpu)?;
    assert!(Target::regions(masks).with_labelled(vec![vec![false; 4]; 2]).is_err());
    Ok(())
}
