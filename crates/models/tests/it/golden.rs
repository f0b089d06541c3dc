//! Networks, their gradients and their training, beside those of other implementations.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use candle::{Tensor, Var};
use golden::{Case, Exempt, Group, Tolerance, close, number};
use losses::{Loss, LossConfig, Target};
use nn::{Optimizer, Parameters, Sgd, SgdConfig, clip_grad_norm};
use sconce_models::{Architecture, Input, Interface, Logits, Model, ModelConfig, canonical_name};
use serde_json::{Value, json};

use crate::device::{device, dtype, floats, value, values};

const DROPS: &str = "dropout is not one of our layers";

const EXEMPT: &[Exempt] = &[
    Exempt { function: "PlainConvUNet", when: drops, reason: DROPS },
    Exempt { function: "ResidualEncoderUNet", when: drops, reason: DROPS },
];

/// Whether a network leaves out values at random in training.
fn drops(case: &Case) -> bool {
    let given = &case.params["arch_kwargs"];
    // The probability of PyTorch's layers is 0.5 where nothing is said.
    let probability = given["dropout_op_kwargs"]["p"].as_f64().unwrap_or(0.5);
    !given["dropout_op"].is_null() && probability > 0.0
}

/// References are rounded to f32; ours are computed in f64, where the device has it.
const ROUNDED: Tolerance = Tolerance::new(1e-6, 1e-7);

#[test]
fn golden_networks() {
    // Those that were trained; the others are in `golden_forward`.
    Group::load("nets").check(|case| !case.params["steps"].is_null(), EXEMPT, run);
}

fn run(case: &Case) -> Result<()> {
    let architecture = architecture(case)?;
    let (parameters, model) = load(case, &architecture)?;
    let vars = parameters.vars();
    let trained = vars.iter().filter(|(name, _)| !name.contains("running_"));
    let count: usize = trained.map(|(_, var)| var.elem_count()).sum();
    ensure!(count == count_of(&case.expected["n_parameters"])?, "{count} parameters");

    // Running statistics move with each pass in training. Before it trained, the reference made
    // three: for its outputs, and for a central difference.
    for _ in 0..3 {
        model.forward_t(&Input::images(input(case, "input0")?), true)?;
    }
    let mut optimizer = Sgd::new(SgdConfig {
        momentum: option(case, "momentum")?,
        nesterov: case.params["optimizer"]["nesterov"] == true,
        weight_decay: option(case, "weight_decay")?,
        ..SgdConfig::default()
    });
    for step in 0..count_of(&case.params["steps"])? {
        let images = Var::from_tensor(&input(case, &format!("input{step}"))?)?;
        let logits = model.forward_t(&Input::images(images.as_tensor().clone()), true)?;
        let loss = supervised(case, step, &logits)?;
        let expected = number(&case.expected["losses"][step])?;
        agree(case, "loss", &[value(&loss)?], &[expected])?;

        if step == 0 {
            let gradient = loss.backward()?;
            let gradient = gradient.get(&images).context("images have no gradient")?;
            tensor_agrees(case, "grad", gradient, &case.output("grad_input")?)?;
            for (level, head) in logits.heads().iter().enumerate() {
                let expected = case.output(&format!("output{level}"))?;
                tensor_agrees(case, "output", &head.logits, &expected)?;
            }
        }
        let mut gradients = parameters.gradients(&loss)?;
        let untrained: Vec<&str> = gradients.without();
        let untrained = untrained.into_iter().filter(|name| !name.contains("running_"));
        same_names(untrained, &case.expected["params_without_grad"])?;
        if step == 0 {
            for (name, gradient) in gradients.iter() {
                let Some(gradient) = gradient else { continue };
                let expected = case.output(&format!("grad/{name}"))?;
                tensor_agrees(case, "grad", gradient, &expected).context(name.to_owned())?;
            }
        }
        let norm = clip_grad_norm(&mut gradients, case.param("clip_grad_norm")?)?;
        let expected = number(&case.expected["grad_norms_before_clip"][step])?;
        agree(case, "loss", &[norm], &[expected]).context("gradient norm")?;
        optimizer.step(&parameters, &gradients, &option(case, "lr")?.into())?;
        parameters_after(case, step + 1, &parameters)?;
    }
    if case.outputs.contains_key("output0_after_training") {
        let images = Input::images(input(case, "input0")?);
        let logits = model.forward_t(&images, false)?;
        let expected = case.output("output0_after_training")?;
        tensor_agrees(case, "output", logits.main(), &expected).context("after training")?;
    }
    Ok(())
}

/// The settings of ours for those of a case, which are nnU-Net's.
fn architecture(case: &Case) -> Result<ModelConfig> {
    let given = &case.params["arch_kwargs"];
    let name = match case.function.as_str() {
        "PlainConvUNet" => "unet",
        "ResidualEncoderUNet" => "residual_unet",
        other => bail!("{other} is not one of our networks"),
    };
    let mut settings = json!({});
    for key in [
        "features_per_stage",
        "strides",
        "kernel_sizes",
        "conv_bias",
        "n_conv_per_stage",
        "n_blocks_per_stage",
        "n_conv_per_stage_decoder",
        "nonlin_first",
    ] {
        if !given[key].is_null() {
            settings[key] = given[key].clone();
        }
    }
    let norm = given["norm_op"].as_str().unwrap_or_default();
    settings["norm"] = if norm.contains("BatchNorm") { "batch" } else { "instance" }.into();
    settings["norm_eps"] = given["norm_op_kwargs"]["eps"].clone();
    if let Some(slope) = given["nonlin_kwargs"]["negative_slope"].as_f64() {
        settings["negative_slope"] = slope.into();
    }
    Ok(serde_json::from_value(json!({ name: settings }))?)
}

/// The network of a case with its weights.
fn load(case: &Case, architecture: &ModelConfig) -> Result<(Parameters, Box<dyn Model>)> {
    let rank = case.input("input0")?.shape.len() - 2;
    let interface = Interface {
        channels: count_of(&case.params["input_channels"])?,
        classes: count_of(&case.params["num_classes"])?,
        rank,
    };
    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let model = architecture.build(interface, parameters.builder())?;
    let mut state = BTreeMap::new();
    for (name, tensor) in case.inputs_below("state")? {
        if let Some(name) = canonical_name(&name) {
            state.insert(name.to_owned(), to_candle(&tensor)?);
        }
    }
    parameters.load(&state)?;
    Ok((parameters, model))
}

/// nnU-Net's loss with deep supervision.
fn supervised(case: &Case, step: usize, logits: &Logits) -> Result<Tensor> {
    let loss: LossConfig = serde_json::from_value(json!({ "sum": { "terms": [
        { "weight": 1.0, "loss": { "cross_entropy": {} } },
        { "weight": 1.0, "loss": { "dice": {
            "smooth": case.params["smooth"],
            "include_background": case.params["do_bg"],
            "pool_batch": case.params["batch_dice"],
            "cost": "negative",
        } } },
    ] } }))?;
    let weights: Vec<f64> = serde_json::from_value(case.params["ds_weights"].clone())?;
    ensure!(weights.len() == logits.heads().len(), "{} heads", logits.heads().len());
    let full_size = labels(case, &format!("target{step}_0"))?.dims()[1..].to_vec();

    let mut total = floats(&[0.0], &[])?;
    for (level, (head, weight)) in logits.heads().iter().zip(weights).enumerate() {
        let extents = &head.logits.dims()[2..];
        let stride: Vec<usize> =
            full_size.iter().zip(extents).map(|(full, own)| full / own).collect();
        let expected: Vec<usize> =
            serde_json::from_value(case.expected["output_strides"][level].clone())?;
        ensure!(stride == expected, "stride {stride:?} at level {level}");
        // The targets of coarse heads are the reference's own: it took the first voxel of each
        // block, which is neither nnU-Net's way nor ours.
        let target = Target::hard(labels(case, &format!("target{step}_{level}"))?);
        if weight > 0.0 {
            total = (total + (loss.forward(&head.logits, &target)? * weight)?)?;
        }
    }
    Ok((total * case.param("loss_scale")?)?)
}

fn parameters_after(case: &Case, steps: usize, parameters: &Parameters) -> Result<()> {
    for (name, var) in parameters.vars() {
        let role = format!("after{steps}/{name}");
        if case.outputs.contains_key(&role) {
            let expected = case.output(&role)?;
            tensor_agrees(case, "after", var.as_tensor(), &expected).context(role)?;
        }
    }
    Ok(())
}

fn same_names<'a>(actual: impl Iterator<Item = &'a str>, expected: &Value) -> Result<()> {
    let mut actual: Vec<&str> = actual.collect();
    let mut expected: Vec<&str> = serde::Deserialize::deserialize(expected)?;
    actual.sort_unstable();
    expected.sort_unstable();
    ensure!(actual == expected, "{actual:?} have no gradient, but should {expected:?}");
    Ok(())
}

fn option(case: &Case, name: &str) -> Result<f64> {
    number(&case.params["optimizer"][name]).context(name.to_owned())
}

fn count_of(value: &Value) -> Result<usize> {
    Ok(serde_json::from_value(value.clone())?)
}

fn input(case: &Case, role: &str) -> Result<Tensor> {
    to_candle(&case.input(role)?)
}

fn labels(case: &Case, role: &str) -> Result<Tensor> {
    let labels = case.input(role)?;
    Ok(Tensor::from_vec(labels.to_u32()?, labels.shape, &device())?)
}

fn to_candle(tensor: &golden::Tensor) -> Result<Tensor> {
    Ok(floats(&tensor.values, &tensor.shape)?)
}

fn tensor_agrees(
    case: &Case,
    what: &str,
    actual: &Tensor,
    expected: &golden::Tensor,
) -> Result<()> {
    ensure!(actual.dims() == expected.shape, "{:?} is not {:?}", actual.dims(), expected.shape);
    agree(case, what, &values(actual)?, &expected.values)
}

fn agree(case: &Case, what: &str, actual: &[f64], expected: &[f64]) -> Result<()> {
    close(actual, expected, case.tolerance(what, ROUNDED).on_device())
        .with_context(|| what.to_owned())
}
