//! Agreement with PyTorch, forward, backward and over several optimizer steps.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use candle::{DType, Tensor, Var};
use golden::{Case, Exempt, Group, Tolerance, close, number};
use sconce_nn::{
    AdamConfig, AdamWConfig, Gradients, OptimizerConfig, Parameters, RAdamConfig, RmsPropConfig,
    ScheduleConfig, SgdConfig, clip_grad_norm,
};
use serde_json::{Map, Value};

use crate::device::{device, values};
use crate::golden_ops;

const EXEMPT: &[Exempt] = &[];

/// What the manifest allows in double precision.
const DOUBLE: Tolerance = Tolerance::new(1e-9, 1e-10);
/// What single precision allows, whatever the manifest says.
const SINGLE: Tolerance = Tolerance::new(2e-4, 2e-5);

#[test]
fn golden_values_of_the_reference_in_double_precision() {
    // Metal has no double precision.
    let dtype = if device().is_metal() { DType::F32 } else { DType::F64 };
    Group::load("ops").check(|_| true, EXEMPT, |case| run(case, dtype));
}

#[test]
fn golden_values_of_the_kernels_in_single_precision() {
    Group::load("ops").check(|_| true, EXEMPT, |case| run(case, DType::F32));
}

/// A golden tensor on the device under test.
pub(crate) fn tensor(golden: &golden::Tensor, dtype: DType) -> candle::Result<Tensor> {
    let shape = golden.shape.as_slice();
    let cpu = Tensor::from_slice(&golden.values, shape, &candle::Device::Cpu)?;
    cpu.to_dtype(dtype)?.to_device(&device())
}

/// Checks `actual` against the tensor that came out as `role`.
pub(crate) fn expect(case: &Case, role: &str, actual: &Tensor) -> anyhow::Result<()> {
    if actual.dtype() == DType::F64 {
        return case.expect(role, actual.dims(), &values(actual)?, DOUBLE);
    }
    let expected = case.output(role)?;
    if expected.shape != actual.dims() {
        bail!("{role} has shape {:?}, but the reference has {:?}", actual.dims(), expected.shape);
    }
    close(&values(actual)?, &expected.values, SINGLE).context(role.to_owned())
}

fn run(case: &Case, dtype: DType) -> anyhow::Result<()> {
    match case.function.as_str() {
        "clip_grad_norm_" => clip(case, dtype),
        "PolyLRScheduler" => poly(case),
        name => match name.strip_prefix("torch.optim.") {
            Some(optimizer) => optimize(case, &optimizer_config(optimizer, case)?, dtype),
            None => golden_ops::run(case, dtype),
        },
    }
}

/// The settings that `case` names, on top of PyTorch's defaults.
fn optimizer_config(name: &str, case: &Case) -> anyhow::Result<OptimizerConfig> {
    let torch_sgd = SgdConfig { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
    let (tag, defaults) = match name {
        "SGD" => ("sgd", serde_json::to_value(torch_sgd)?),
        "Adam" => ("adam", serde_json::to_value(AdamConfig::default())?),
        "AdamW" => ("adam_w", serde_json::to_value(AdamWConfig::default())?),
        "RMSprop" => ("rms_prop", serde_json::to_value(RmsPropConfig::default())?),
        "RAdam" => ("r_adam", serde_json::to_value(RAdamConfig::default())?),
        _ => bail!("optimizer {name} is not known"),
    };
    let mut settings: Map<String, Value> = serde_json::from_value(defaults)?;
    for (key, value) in case.params.as_object().context("parameters")? {
        if key != "lr" && key != "steps" {
            settings.insert(key.clone(), value.clone());
        }
    }
    Ok(serde_json::from_value(serde_json::json!({ tag: settings }))?)
}

fn optimize(case: &Case, config: &OptimizerConfig, dtype: DType) -> anyhow::Result<()> {
    let parameters = Parameters::with_dtype(0, dtype, &device());
    let start = tensor(&case.input("param")?, dtype)?;
    parameters.builder().get(start.dims(), "param")?;
    parameters.load(&BTreeMap::from([("param".to_owned(), start)]))?;
    let steps = tensor(&case.input("grads")?, dtype)?;
    let learning_rate = case.param("lr")?;

    let mut optimizer = config.build();
    let mut after = Vec::new();
    for step in 0..steps.dim(0)? {
        // A state that is written and read changes nothing.
        let state = optimizer.state()?;
        optimizer = config.build();
        optimizer.load_state(&state)?;
        let gradient = BTreeMap::from([("param".to_owned(), Some(steps.get(step)?))]);
        optimizer.step(&parameters, &Gradients::new(gradient), &learning_rate.into())?;
        after.push(parameters.tensors()?["param"].clone());
    }
    expect(case, "params_after", &Tensor::stack(&after, 0)?)
}

fn clip(case: &Case, dtype: DType) -> anyhow::Result<()> {
    let mut gradients = BTreeMap::new();
    for role in case.inputs.keys() {
        let gradient = Var::from_tensor(&tensor(&case.input(role)?, dtype)?)?;
        gradients.insert(role.clone(), Some(gradient.as_detached_tensor()));
    }
    let mut gradients = Gradients::new(gradients);

    let norm = clip_grad_norm(&mut gradients, case.param("max_norm")?)?;

    let expected = number(&case.expected["total_norm"])?;
    close(&[norm], &[expected], if dtype == DType::F64 { DOUBLE } else { SINGLE })?;
    for (role, gradient) in gradients.iter() {
        let index = role.strip_prefix("grad").context("a gradient is named grad…")?;
        let clipped = format!("clipped{index}");
        expect(case, &clipped, gradient.context("a gradient")?)?;
    }
    Ok(())
}

fn poly(case: &Case) -> anyhow::Result<()> {
    let (start, steps) = (case.param("initial_lr")?, case.param("max_steps")?);
    let schedule = ScheduleConfig::Poly { power: case.param("exponent")? };
    let expected = case.output("lr")?;
    let rates: Vec<f64> =
        (0..expected.values.len()).map(|e| start * schedule.factor(e as f64, steps)).collect();
    case.expect("lr", &expected.shape, &rates, DOUBLE)
}
