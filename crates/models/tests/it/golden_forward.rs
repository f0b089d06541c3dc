//! Networks of MONAI and segmentation-models-pytorch: logits and gradients of one pass.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use candle::{Tensor, Var};
use golden::{Case, Group, Tolerance, close, number};
use nn::Parameters;
use sconce_models::{Architecture, Input, Interface, Model, ModelConfig, canonical_name};
use serde_json::{Value, json};

use crate::device::{device, dtype, floats, values};
use crate::generated;

#[test]
fn golden_forward_passes() {
    Group::load("nets").check(|case| case.params["steps"].is_null(), &[], run);
}

fn run(case: &Case) -> Result<()> {
    let images = case.input("input")?;
    let interface = Interface {
        channels: count(case, "in_channels")?,
        classes: count(case, "out_channels").or_else(|_| count(case, "classes"))?,
        rank: images.shape.len() - 2,
    };
    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let model = architecture(case)?.build(interface, parameters.builder())?;
    parameters.load(&state(case)?)?;

    let images = to_candle(&images)?;
    let pass = |train: bool| pass(case, &parameters, &*model, &images, train);
    if case.generated_state.is_null() {
        pass(false)?.agrees(case, "output_eval", "grad_input", "grad_norm_per_parameter")?;
        let trained = model.forward_t(&Input::images(images.clone()), true)?;
        agrees(case, trained.main(), "output_train")?;
    } else {
        pass(false)?.agrees(case, "output_eval", "grad_input_eval", "grad_norm_eval")?;
        pass(true)?.agrees(case, "output_train", "", "grad_norm_train")?;
    }
    for (name, var) in parameters.vars() {
        let role = format!("buffers_after_train/{name}");
        if case.outputs.contains_key(&role) {
            agrees(case, var.as_tensor(), &role).context(role)?;
        }
    }
    Ok(())
}

/// What a pass gives, and the gradients of its product with the case's `grad_output`.
struct Pass {
    logits: Tensor,
    images: Tensor,
    norms: BTreeMap<String, f64>,
}

fn pass(
    case: &Case,
    parameters: &Parameters,
    model: &dyn Model,
    images: &Tensor,
    train: bool,
) -> Result<Pass> {
    let images = Var::from_tensor(images)?;
    let logits = model.forward_t(&Input::images(images.as_tensor().clone()), train)?;
    let logits = logits.main().clone();
    let loss = (&logits * to_candle(&case.input("grad_output")?)?)?.sum_all()?;
    let gradients = loss.backward()?;
    let gradient = gradients.get(&images).context("images have no gradient")?.clone();
    let mut norms = BTreeMap::new();
    for (name, var) in parameters.vars() {
        if let Some(gradient) = gradients.get(&var) {
            let squares: f64 = values(gradient)?.iter().map(|value| value * value).sum();
            norms.insert(name, squares.sqrt());
        }
    }
    Ok(Pass { logits, images: gradient, norms })
}

impl Pass {
    fn agrees(&self, case: &Case, output: &str, gradient: &str, norms: &str) -> Result<()> {
        agrees(case, &self.logits, output)?;
        if !gradient.is_empty() {
            agrees(case, &self.images, gradient)?;
        }
        let expected = case.expected[norms].as_object().context("norms of gradients")?;
        let largest = self.norms.values().fold(0.0, |a: f64, &b| a.max(b));
        let names: Vec<&String> = self.norms.keys().collect();
        ensure!(names.len() == expected.len(), "gradients of {names:?}");
        for (name, norm) in &self.norms {
            let expected = number(&expected[name]).with_context(|| name.clone())?;
            // Those of biases before norms are 0 but for rounding.
            let tolerance = Tolerance::new(1e-4, 1e-9 * largest).on_device();
            close(&[*norm], &[expected], tolerance).with_context(|| name.clone())?;
        }
        Ok(())
    }
}

/// The settings of ours for those of a case.
fn architecture(case: &Case) -> Result<ModelConfig> {
    let name = match case.function.as_str() {
        "UNet" => "monai_unet",
        "BasicUNet" => "basic_unet",
        "SegResNet" => "segresnet",
        "Unet" => "smp_unet",
        "FPN" => "fpn",
        "DeepLabV3Plus" => "deeplabv3_plus",
        other => bail!("{other} is not one of our networks"),
    };
    let mut settings = case.params.as_object().context("parameters")?.clone();
    for key in ["spatial_dims", "in_channels", "out_channels", "classes"] {
        settings.remove(key);
    }
    if let Some(norm) = settings.get_mut("norm") {
        *norm = match norm.as_array().map(Vec::as_slice) {
            Some([kind, more]) => json!({ kind.as_str().context("a name")?: more }),
            _ => norm.clone(),
        };
    }
    Ok(serde_json::from_value(json!({ name: settings }))?)
}

fn state(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let mut state = BTreeMap::new();
    if let Some(tensors) = case.generated_state.as_array() {
        for tensor in tensors {
            let name = tensor["name"].as_str().context("a name")?;
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone())?;
            let [scale, offset] = [number(&tensor["scale"])?, number(&tensor["offset"])?];
            let values = generated::values(name, shape.iter().product(), scale, offset);
            let first: Vec<f64> = serde_json::from_value(tensor["first"].clone())?;
            close(&values[..first.len()], &first, Tolerance::new(0.0, 1e-7)).context("formula")?;
            state.insert(name.to_owned(), floats(&values, &shape)?);
        }
        return Ok(state);
    }
    for (name, tensor) in case.inputs_below("state")? {
        if let Some(name) = canonical_name(&name) {
            state.insert(name.to_owned(), to_candle(&tensor)?);
        }
    }
    Ok(state)
}

fn count(case: &Case, name: &str) -> Result<usize> {
    let value: &Value = &case.params[name];
    serde_json::from_value(value.clone()).with_context(|| name.to_owned())
}

fn to_candle(tensor: &golden::Tensor) -> Result<Tensor> {
    Ok(floats(&tensor.values, &tensor.shape)?)
}

/// References are rounded to f32 where they are gradients or buffers.
const ROUNDED: Tolerance = Tolerance::new(1e-5, 1e-6);

fn agrees(case: &Case, actual: &Tensor, role: &str) -> Result<()> {
    let expected = case.output(role)?;
    ensure!(actual.dims() == expected.shape, "{:?} is not {:?}", actual.dims(), expected.shape);
    let what = if role.starts_with("output") && !case.tolerance["output"].is_null() {
        "output"
    } else {
        role
    };
    let tolerance = case.tolerance(what, ROUNDED).on_device();
    close(&values(actual)?, &expected.values, tolerance).with_context(|| role.to_owned())
}
