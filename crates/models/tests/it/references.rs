//! Networks that the golden cases lack, beside the definitions that they follow: MONAI 1.6.1 and
//! segmentation-models-pytorch 0.6.0 with timm 1.0.22.
//!
//! Weights and images come from the formula of [`generated`], so that `references.json` holds a few
//! numbers of each: the norm and some values of the logits and of the gradient of their product with
//! formula numbers by the images, and the norm of its gradient by all parameters. Dropout was off.

use anyhow::{Context, Result, ensure};
use candle::{Tensor, Var};
use golden::{Tolerance, close};
use nn::Parameters;
use sconce_models::{Architecture, Input, Interface, ModelConfig, Summary};
use serde::Deserialize;

use crate::device::{device, dtype, floats, values};
use crate::generated;

#[derive(Deserialize)]
struct Reference {
    id: String,
    model: ModelConfig,
    channels: usize,
    classes: usize,
    parameters: usize,
    space: Vec<usize>,
    eval: Pass,
    train: Pass,
}

#[derive(Deserialize)]
struct Pass {
    logits: Sample,
    grad_input: Sample,
    grad_norm: f64,
}

#[derive(Deserialize)]
struct Sample {
    shape: Vec<usize>,
    norm: f64,
    at: Vec<usize>,
    values: Vec<f64>,
}

fn references() -> Result<Vec<Reference>> {
    Ok(serde_json::from_str(include_str!("../fixtures/references.json"))?)
}

/// Those that `of` names, one test each for some, so that they run side by side.
fn check(of: impl Fn(&str) -> bool) -> Result<()> {
    for reference in references()?.iter().filter(|reference| of(&reference.id)) {
        run(reference).with_context(|| reference.id.clone())?;
    }
    Ok(())
}

fn run(reference: &Reference) -> Result<()> {
    let Reference { channels, classes, .. } = *reference;
    let interface = Interface { channels, classes, rank: reference.space.len() };
    let summary = Summary::of(&reference.model, interface)?;
    ensure!(summary.parameters == reference.parameters, "{} parameters", summary.parameters);

    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let model = reference.model.build(interface, parameters.builder())?;
    generated::fill(&parameters)?;
    let shape = [&[2, channels], reference.space.as_slice()].concat();
    let images = generated::tensor("input", &shape, 1.7)?;
    for (train, expected) in [(false, &reference.eval), (true, &reference.train)] {
        let images = Var::from_tensor(&images)?;
        let logits = model.forward_t(&Input::images(images.as_tensor().clone()), train)?;
        let logits = logits.main();
        let direction = generated::tensor("grad_output", logits.dims(), 1.0)?;
        let gradients = (logits * direction)?.sum_all()?.backward()?;
        let gradient = gradients.get(&images).context("images have no gradient")?;
        expected.logits.agrees(logits).with_context(|| format!("logits, train: {train}"))?;
        expected
            .grad_input
            .agrees(gradient)
            .with_context(|| format!("gradient, train: {train}"))?;
        let mut squares = 0.0;
        for (_, var) in parameters.vars() {
            if let Some(gradient) = gradients.get(&var) {
                squares += values(gradient)?.iter().map(|value| value * value).sum::<f64>();
            }
        }
        close(&[squares.sqrt()], &[expected.grad_norm], Tolerance::new(1e-6, 0.0).on_device())
            .with_context(|| format!("gradients of parameters, train: {train}"))?;
    }
    Ok(())
}

impl Sample {
    fn agrees(&self, actual: &Tensor) -> Result<()> {
        ensure!(actual.dims() == self.shape, "{:?} is not {:?}", actual.dims(), self.shape);
        let all = values(actual)?;
        let norm = all.iter().map(|value| value * value).sum::<f64>().sqrt();
        close(&[norm], &[self.norm], Tolerance::new(1e-7, 0.0).on_device()).context("norm")?;
        let some: Vec<f64> = self.at.iter().map(|&at| all[at]).collect();
        let size = self.norm / (all.len() as f64).sqrt();
        close(&some, &self.values, Tolerance::new(1e-7, 1e-7 * size).on_device())
    }
}

#[test]
fn networks_of_monai_agree() -> Result<()> {
    check(|id| {
        ["attention", "monai", "basic", "dyn", "segresnet"].iter().any(|name| id.starts_with(name))
    })
}

#[test]
fn decoders_on_residual_networks_agree() -> Result<()> {
    check(|id| id.ends_with("resnet18"))
}

#[test]
fn a_bottleneck_network_agrees() -> Result<()> {
    check(|id| id.ends_with("resnet50"))
}

#[test]
fn decoders_on_mix_transformers_agree() -> Result<()> {
    check(|id| id.ends_with("mit_b0"))
}

#[test]
fn decoders_on_inverted_residuals_agree() -> Result<()> {
    check(|id| id.ends_with("mobilenet_v2") || id.ends_with("efficientnet_b0"))
}

#[test]
fn every_reference_belongs_to_a_test() -> Result<()> {
    let tested = [
        "attention",
        "monai_unet_adn",
        "basic_unet",
        "dyn_unet",
        "segresnet",
        "_resnet18",
        "_resnet50",
        "_mit_b0",
        "_mobilenet_v2",
        "_efficientnet_b0",
    ];
    for reference in references()? {
        let id = &reference.id;
        assert!(tested.iter().any(|name| id.starts_with(name) || id.ends_with(name)), "{id}");
    }
    Ok(())
}

#[test]
fn networks_of_default_size_have_the_parameters_of_their_definitions() -> Result<()> {
    let flat = Interface { channels: 1, classes: 2, rank: 2 };
    let deep = Interface { rank: 3, ..flat };
    for (name, interface, expected) in [
        ("monai_unet", deep, 1_979_610),
        ("basic_unet", deep, 5_749_410),
        ("dyn_unet", deep, 5_600_930),
        ("segresnet", deep, 1_176_186),
        ("attention_unet", deep, 5_909_130),
        ("smp_unet", flat, 24_430_242),
        ("fpn", flat, 23_149_250),
        ("deeplabv3", flat, 26_001_090),
        ("deeplabv3_plus", flat, 22_431_442),
        ("pspnet", flat, 21_436_322),
        ("upernet", flat, 29_593_666),
        ("segformer", flat, 3_711_522),
        // 26.10 M: the paper's.
        ("w_net", Interface { channels: 3, classes: 1, rank: 2 }, 26_097_602),
    ] {
        let model: ModelConfig = toml::from_str(&format!("[{name}]"))?;
        assert_eq!(Summary::of(&model, interface)?.parameters, expected, "{name}");
    }
    let model: ModelConfig = toml::from_str("[smp_unet]\nencoder = \"resnet50\"")?;
    assert_eq!(Summary::of(&model, flat)?.parameters, 32_514_978);
    Ok(())
}

#[test]
fn what_stands_in_for_weights_is_what_the_formula_says() -> Result<()> {
    // Of the golden case `smp_fpn_resnet18`: `encoder.bn1.weight`.
    let values = generated::values("encoder.bn1.weight", 3, 0.3, 1.0);

    let expected = [1.054_101_347_923_278_8, 1.278_252_363_204_956, 1.272_162_199_020_385_7];
    close(&values, &expected, Tolerance::new(0.0, 1e-7))?;
    assert_eq!(floats(&values, &[3])?.dims(), [3]);
    Ok(())
}
