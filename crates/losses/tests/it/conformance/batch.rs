use anyhow::{Context, Result};
use candle::Tensor;
use golden::Tolerance;
use sconce_losses::{Loss, LossConfig, Target};
use serde_json::Value;

use crate::device::{self, device, floats};

/// Logits `(2, 3, *S)` and labels that a fixed formula fills, the same on each run.
pub(crate) struct Batch {
    pub(crate) logits: Tensor,
    pub(crate) target: Target,
}

impl Batch {
    pub(crate) fn of(space: &[usize]) -> Result<Self> {
        let voxels: usize = space.iter().product();
        // None is 0, where a probability of 0.5 would lie between two bins.
        let at = |i: usize| 2.0 * ((i * i % 37) as f64 + 0.01 * i as f64 + 0.3).sin();
        let wave: Vec<f64> = (0..6 * voxels).map(at).collect();
        let class: Vec<u32> = [0, 1, 2].into_iter().cycle().step_by(7).take(2 * voxels).collect();
        let shape = |front: &[usize]| [front, space].concat();
        let target = Target::hard(Tensor::from_vec(class, shape(&[2]), &device())?);
        Ok(Self { logits: floats(&wave, &shape(&[2, 3]))?, target: with_maps(target, space)? })
    }
}

/// The target with distances and components that a fixed formula fills, whatever its labels are: a loss
/// takes them as they are.
pub(crate) fn with_maps(target: Target, space: &[usize]) -> Result<Target> {
    let shape = [&[2, 3], space].concat();
    let count: usize = shape.iter().product();
    let distance: Vec<f64> = (0..count).map(|at| (at * 5 % 7) as f64 - 3.5).collect();
    let components: Vec<u32> = [0, 1, 2].into_iter().cycle().step_by(5).take(count).collect();
    let components = Tensor::from_vec(components, shape.as_slice(), &device())?;
    let target = target.with_distance(floats(&distance, &shape)?);
    Ok(target.with_components(components, vec![vec![2; 3]; 2])?)
}

/// Every row of the table, told to take soft targets; where it has an activation, with either.
pub(crate) fn kinds() -> Result<Vec<(String, LossConfig)>> {
    let mut kinds = Vec::new();
    for loss in LossConfig::defaults() {
        let name = loss.name();
        let mut json = serde_json::to_value(&loss)?;
        set(&mut json, "allow_soft", &Value::Bool(true));
        kinds.push((name.to_owned(), serde_json::from_value(json.clone())?));
        if let Some(blob) = json.get_mut("blob") {
            // The loss of a component is of two classes, whatever the whole is.
            blob["activation"] = "sigmoid".into();
            kinds.push((format!("{name} of sigmoid"), serde_json::from_value(json)?));
        } else if set(&mut json, "activation", &"sigmoid".into()) {
            kinds.push((format!("{name} of sigmoid"), serde_json::from_value(json)?));
        }
    }
    Ok(kinds)
}

/// Sets a field wherever it stands; says whether it stood anywhere.
fn set(json: &mut Value, field: &str, to: &Value) -> bool {
    let mut found = false;
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                if key == field {
                    *value = to.clone();
                    found = true;
                } else {
                    found |= set(value, field, to);
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                found |= set(value, field, to);
            }
        }
        _ => {}
    }
    found
}

pub(crate) fn value(loss: &LossConfig, logits: &Tensor, target: &Target) -> Result<f64> {
    let loss = loss.forward(logits, target).with_context(|| format!("{loss:?}"))?;
    Ok(device::value(&loss)?)
}

/// In double precision; single precision is allowed more.
pub(crate) fn agree(actual: f64, expected: f64, tolerance: f64, name: &str) {
    let apart = (actual - expected).abs();
    let Tolerance { rtol, atol } = Tolerance::new(0.0, tolerance).on_device();
    let near = apart <= atol + rtol * expected.abs();
    assert!(near, "{name}: {actual} and {expected} are {apart:e} apart");
}
